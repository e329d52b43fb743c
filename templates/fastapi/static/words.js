/** Money, times and errors, in the words that people read. No page and no network here. */

const PERIODS = { day: "today", month: "this month" };

/** `$0.000042`, `$0.004`, `$1.50`: exact enough to see a small cost, short enough to read. */
export function dollars(usd, digits = 2) {
  const amount = Math.max(0, Number(usd) || 0);
  if (amount === 0) return "$0";
  const decimals = amount >= 0.1 ? 2 : Math.min(9, digits - 1 - Math.floor(Math.log10(amount)));
  return `$${amount.toFixed(decimals).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
}

/** `at 14:00`, `at midnight`, `tomorrow at 02:00`, `on 1 December`, in the reader's own time zone. */
export function when(iso, now = new Date()) {
  const then = new Date(iso);
  if (Number.isNaN(then.getTime())) return "later";
  const time = then.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  const days = Math.round((startOfDay(then) - startOfDay(now)) / 86_400_000);
  if (days <= 0) return `at ${time}`;
  if (days === 1) return then.getHours() + then.getMinutes() === 0 ? "at midnight" : `tomorrow at ${time}`;
  return `on ${then.toLocaleDateString("en-GB", { day: "numeric", month: "long" })}`;
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** How a budget stands: the sentence for the bar, its parts in percent, and `ok`, `low` or `empty`. */
export function budgetWords(budget, now = new Date()) {
  const limit = Number(budget.limit_usd);
  const spent = Number(budget.spent_usd);
  const held = Number(budget.held_usd ?? 0);
  const used = limit > 0 ? spent / limit : 1;
  const period = PERIODS[budget.window] ?? (budget.hours ? `in ${budget.hours} h` : "");
  const whose = budget.scope === "project" ? "by everybody" : "";
  return {
    spent: [`${dollars(spent, 3)} of ${dollars(limit, 3)} spent`, period, whose].filter(Boolean).join(" "),
    resets: budget.resets_at ? `Resets ${when(budget.resets_at, now)}` : "Prepaid",
    spentPercent: Math.min(100, used * 100),
    heldPercent: Math.min(100 - Math.min(100, used * 100), limit > 0 ? (held / limit) * 100 : 0),
    state: used >= 0.95 ? "empty" : used >= 0.75 ? "low" : "ok",
  };
}

/** The budget that ends first is the one worth showing, of those in dollars that refuse what does not fit. */
export function tightest(budgets) {
  const used = (budget) => (budget.limit_usd > 0 ? budget.spent_usd / budget.limit_usd : 1);
  const shown = budgets.filter((budget) => budget.limit_usd != null && budget.mode !== "shadow");
  return shown.reduce((worst, budget) => (!worst || used(budget) > used(worst) ? budget : worst), null);
}

/**
 * What to tell a person about a refusal or a failure.
 *
 * @param {import("./gateway.js").GatewayError} error
 * @returns {{status: "blocked" | "error", text: string, action: "retry" | "wait" | "sign-in" | null, seconds: number}}
 *   `wait`: try again by itself after `seconds`.
 */
export function explain(error, now = new Date()) {
  const say = (text, action = null, status = "error") => ({ text, action, status, seconds: error.retryAfter ?? 1 });
  switch (error.status) {
    case 401:
      return say("You are signed out. Sign in again to go on.", "sign-in");
    case 402:
      return say(budgetIsUp(error, now), null, "blocked");
    case 403:
      return say("You may not use this chat. Ask whoever runs it.", null, "blocked");
    case 413:
      return say("This message is too long. Send less at a time.", null, "blocked");
    case 429:
      return say("Too many messages at once.", "wait");
    case 451:
      return say("This message was stopped by a content rule. Say it in another way.", null, "blocked");
    case 400:
    case 422:
      return say(`This message can’t be sent: ${error.message}`, null, "blocked");
  }
  if (error.code === "cut_off") return say("The connection broke off, so this reply is incomplete.", "retry");
  if (error.code === "no_token") return say("The app can’t sign you in to the chat right now. Try again in a moment.", "retry");
  if (error.code === "network_error")
    return say(`${error.message} Check your connection, then try again.`, "retry");
  return say("The model could not answer. Nothing is wrong with your message; try again.", "retry");
}

function budgetIsUp({ code, details, message }, now) {
  const { scope, window, hours, limit_usd: limit, spent_usd: spent, held_usd: held = 0, resets_at: resets } = details;
  if (!window) return code === "tier_limit" ? message : "Your budget is used up.";
  if (limit == null) return message; // in tokens or requests: the gateway's own words say how many
  const period = PERIODS[window] ? ` for ${PERIODS[window]}` : hours ? ` for any ${hours} h` : "";
  const whose = `${scope === "project" ? "The budget that everybody here shares" : "Your budget"}${period}`;
  const begins = hours ? "comes back in part" : "starts again";
  const again = resets ? `${begins} ${when(resets, now)}.` : "needs a top-up.";
  const left = Number(limit) - Number(spent) - Number(held);
  if (left > 0.1 * limit) {
    return `${whose} has ${dollars(left)} left, which is too little for this message. A shorter one or a new chat may fit. The budget ${again}`;
  }
  if (Number(held) > Number(limit) - Number(spent) - 0.1 * limit && Number(held) > 0.1 * limit) {
    return `${whose} is taken up by replies that are still being written. Try again when they are done. The budget ${again}`;
  }
  return `${whose} is used up. It ${again}`;
}
