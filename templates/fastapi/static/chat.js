/**
 * The chat page. `gateway.js` speaks to the gateway, `words.js` finds the words, `markdown.js` draws the text; this file
 * keeps the conversation and puts it on the page. The markup's `data-role` and `data-status` are a contract: browser
 * tests and other pages rely on them.
 */
import { Gateway, GatewayError } from "./gateway.js";
import { renderMarkdown } from "./markdown.js";
import { budgetWords, dollars, explain, tightest } from "./words.js";

const MOST_TRIES_BY_ITSELF = 3;
const LONGEST_WAIT_SECONDS = 90;
const NEAR_THE_END_PX = 48;

const find = (role, root = document) => root.querySelector(`[data-role="${role}"]`);
const page = document.body;
const composer = find("composer");
const scroll = find("scroll");
const messages = find("messages");

/** @type {{question: string, answer: string, status: string, view: Element, draw: () => void}[]} */
let turns = [];
/** What is under way, if anything: a reply being streamed, or the wait before another try. */
let current = null;
let gateway;
let me;

start().catch((problem) => {
  find("greeting").textContent = "Something is wrong";
  find("empty").querySelector("p").textContent = `The app does not answer as it should: ${problem.message} Reload the page.`;
});

async function start() {
  const [config, who] = await Promise.all([read("/api/config"), read("/api/me")]);
  if (!who) return location.replace("/sign-in");
  me = who;
  gateway = new Gateway(config.baseUrl);
  document.title = config.name;
  find("app-name").textContent = config.name;
  find("greeting").textContent = `Hello, ${me.name}`;
  find("user-name").textContent = me.name;
  find("user-initial").textContent = me.name[0].toUpperCase();
  find("user-id").textContent = me.id;
  find("user-plan").textContent = me.plan ?? "";
  find("user-plan").hidden = !me.plan;
  find("user").dataset.user = me.id;
  showSendable();
  showBudget();
}

/** Read one of the app's own routes; null when signed out. */
async function read(path) {
  const response = await fetch(path);
  if (response.status === 401) return null;
  if (!response.ok) throw new Error(await response.text());
  return await response.json();
}

// --- A turn: one question, and its reply -----------------------------------------------------------------------------

async function ask(question) {
  if (current) current.stop();
  const turn = { question, answer: "", status: "streaming", view: null, draw: null };
  turns.push(turn);
  find("empty").hidden = true;
  find("new-chat").hidden = false;
  addMessage("user", "You").text.textContent = question;
  const { view, text } = addMessage("assistant", "Reply");
  turn.view = view;
  turn.draw = oncePerFrame(() => renderMarkdown(text, turn.answer));
  stickToTheEnd(true);
  await reply(turn);
}

/** Get the reply, and after a 429 try again by itself, a few times. */
async function reply(turn) {
  for (let tries = 1; ; tries++) {
    const seconds = await stream(turn);
    if (seconds === null) return;
    if (tries >= MOST_TRIES_BY_ITSELF || seconds > LONGEST_WAIT_SECONDS || !(await waited(turn, seconds))) {
      offer(turn, "retry");
      return;
    }
  }
}

/**
 * Stream one reply onto the page.
 *
 * @returns {Promise<number | null>} the seconds to wait before another try, or null when there is none to make
 */
async function stream(turn) {
  const hangUp = new AbortController();
  const mine = { stop: () => hangUp.abort() };
  current = mine;
  turn.answer = "";
  clear(turn);
  setStatus(turn, "streaming");
  announce("Writing a reply.");
  let finish = null;
  let wait = null;
  let isBudgetUp = false;
  try {
    for await (const piece of gateway.chat(spokenUpTo(turn), hangUp.signal)) {
      if (piece.text) {
        turn.answer += piece.text;
        turn.draw();
      } else if (piece.finish) {
        finish = piece;
      } else {
        showCost(turn, piece.usage);
      }
    }
    note(turn, cutShort(finish));
    setStatus(turn, "done");
  } catch (problem) {
    if (hangUp.signal.aborted) {
      note(turn, turn.answer ? "Stopped" : "Stopped before the first word");
      setStatus(turn, "stopped");
    } else {
      if (!(problem instanceof GatewayError)) console.error(problem);
      const error = problem instanceof GatewayError ? problem : new GatewayError(String(problem), { code: "unknown" });
      const words = explain(error);
      tell(turn, words.text, error);
      setStatus(turn, words.status);
      isBudgetUp = error.status === 402;
      if (words.action === "wait") wait = words.seconds;
      else offer(turn, words.action);
    }
  } finally {
    turn.draw.now();
    if (current === mine) current = null;
    showBusy();
  }
  find("copy", turn.view).hidden = !turn.answer;
  find("message-after", turn.view).hidden = !turn.answer && turn.status !== "stopped";
  if (turn.status === "done") announce(find("message-text", turn.view).textContent);
  showBudget({ settled: true, isUp: isBudgetUp });
  return wait;
}

/** The conversation as the model gets it: what was answered, and the question at hand. */
function spokenUpTo(turn) {
  const before = turns.slice(0, turns.indexOf(turn)).filter((earlier) => earlier.answer);
  return [
    ...before.flatMap(({ question, answer }) => [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ]),
    { role: "user", content: turn.question },
  ];
}

/** Count down on the page. False when the reader cancelled. */
function waited(turn, seconds) {
  const text = find("notice-text", turn.view);
  const words = text.textContent;
  const cancel = find("give-up", turn.view);
  cancel.hidden = false;
  return new Promise((resolve) => {
    const until = performance.now() + seconds * 1000;
    const end = (again) => {
      clearInterval(timer);
      if (current === mine) current = null;
      cancel.hidden = true;
      text.textContent = words;
      showBusy();
      resolve(again);
    };
    const tick = () => {
      const left = Math.ceil((until - performance.now()) / 1000);
      if (left <= 0) end(true);
      else text.textContent = `${words} Trying again in ${left}\u00a0s.`;
    };
    const mine = { stop: () => end(false), isWait: true };
    current = mine;
    cancel.onclick = mine.stop;
    const timer = setInterval(tick, 250);
    tick();
  });
}

function cutShort(finish) {
  if (finish?.finish === "length") {
    return finish.clamped ? "Cut short: your budget had room for no more" : "Cut short: this is the longest reply allowed";
  }
  return finish?.finish === "content_filter" ? "Cut short by the model’s content filter" : "";
}

// --- What a turn shows -----------------------------------------------------------------------------------------------

function addMessage(from, heading) {
  const view = find("message-template").content.firstElementChild.cloneNode(true);
  view.dataset.from = from;
  find("message-from", view).textContent = heading;
  messages.append(view);
  return { view, text: find("message-text", view) };
}

function setStatus(turn, status) {
  turn.status = status;
  turn.view.dataset.status = status;
  if (turn === turns.at(-1)) page.dataset.status = status; // An older one may end later than the next one begins.
  showBusy();
}

function showBusy() {
  const isStreaming = Boolean(current) && !current.isWait;
  find("send").hidden = isStreaming;
  find("stop").hidden = !isStreaming;
  messages.setAttribute("aria-busy", String(isStreaming));
  showSendable();
}

function clear(turn) {
  for (const role of ["message-after", "cost", "copy", "notice", "retry", "give-up", "notice-id"]) find(role, turn.view).hidden = true;
  delete find("notice", turn.view).dataset.code;
  note(turn, "");
  turn.draw.now();
}

function note(turn, text) {
  find("message-note", turn.view).textContent = text;
}

function showCost(turn, usage) {
  const cost = find("cost", turn.view);
  const tokens = `${usage.total_tokens} tokens`;
  const isPriced = typeof usage.cost_usd === "number";
  cost.textContent = isPriced ? `${dollars(usage.cost_usd)} · ${tokens}` : tokens;
  cost.title = `${usage.prompt_tokens} tokens read, ${usage.completion_tokens} written`;
  if (isPriced) cost.dataset.usd = usage.cost_usd;
  cost.hidden = false;
}

function tell(turn, words, error) {
  const notice = find("notice", turn.view);
  notice.dataset.code = error.code;
  find("notice-text", turn.view).textContent = words;
  const id = find("notice-id", turn.view);
  id.textContent = error.requestId ? `Request ${error.requestId}` : "";
  id.hidden = !error.requestId;
  notice.hidden = false;
}

function offer(turn, action) {
  const retry = find("retry", turn.view);
  retry.hidden = !action;
  retry.textContent = action === "sign-in" ? "Sign in" : "Try again";
  retry.onclick = () => {
    if (action === "sign-in") return location.assign("/sign-in");
    current?.stop();
    reply(turn);
  };
}

function announce(text) {
  find("announcer").textContent = text;
}

/** Draw at most once per frame; `.now()` draws at once. */
function oncePerFrame(draw) {
  let frame = 0;
  const later = () => {
    frame ||= requestAnimationFrame(later.now);
  };
  later.now = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    draw();
  };
  return later;
}

// --- The budget ------------------------------------------------------------------------------------------------------

let budgetAsked = 0;

/** Show the tightest budget. Right after a reply, ask again until its hold is settled. */
async function showBudget({ settled = false, isUp = false } = {}) {
  const mine = ++budgetAsked;
  for (let tries = 0; tries < 6; tries++) {
    const usage = await gateway.usage().catch(() => null);
    if (mine !== budgetAsked || !usage) return;
    const budget = tightest(usage.budgets ?? []);
    const region = find("budget");
    region.hidden = !budget;
    if (!budget) return;
    const words = budgetWords(budget);
    region.dataset.state = isUp ? "empty" : words.state; // What is left may be too little for any message.
    region.dataset.scope = budget.scope;
    region.dataset.window = budget.window;
    region.dataset.spentUsd = budget.spent_usd;
    region.dataset.limitUsd = budget.limit_usd;
    find("budget-spent").textContent = words.spent;
    find("budget-resets").textContent = words.resets;
    const bar = find("budget-bar");
    bar.setAttribute("aria-valuenow", String(Math.round(words.spentPercent)));
    bar.setAttribute("aria-valuetext", `${words.spent}. ${words.resets}.`);
    bar.querySelector(".bar-spent").style.width = `${words.spentPercent}%`;
    bar.querySelector(".bar-held").style.width = `${words.heldPercent}%`;
    if (!settled || !(budget.held_usd > 0)) return;
    await new Promise((resolve) => setTimeout(resolve, 300 * 2 ** tries));
  }
}

// --- Scrolling: stay at the end unless the reader has gone up ---------------------------------------------------------

let isAtTheEnd = true;
let lastTop = 0;

function stickToTheEnd(always = false) {
  if (always) isAtTheEnd = true;
  if (isAtTheEnd) scroll.scrollTop = scroll.scrollHeight;
  find("latest").hidden = isAtTheEnd;
}

scroll.addEventListener("scroll", () => {
  // Only going up leaves the end: what was at the end a moment ago isn't any more when text has come since.
  const isNear = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_THE_END_PX;
  if (isNear || scroll.scrollTop < lastTop) isAtTheEnd = isNear;
  lastTop = scroll.scrollTop;
  find("latest").hidden = isAtTheEnd;
});
const sizes = new ResizeObserver(() => stickToTheEnd());
sizes.observe(messages);
sizes.observe(scroll);

// --- What the reader does --------------------------------------------------------------------------------------------

/** On a phone the keyboard would jump up, so focus goes back to the composer only beside a real one. */
function refocus() {
  if (matchMedia("(pointer: fine)").matches) composer.focus();
}

function showSendable() {
  find("send").disabled = !composer.value.trim();
}

function fitComposer() {
  composer.style.height = "auto";
  composer.style.height = `${composer.scrollHeight}px`;
  showSendable();
}

function submit() {
  const question = composer.value.trim();
  if (!question || !gateway || (current && !current.isWait)) return;
  composer.value = "";
  fitComposer();
  refocus();
  ask(question);
}

find("composer-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
composer.addEventListener("input", fitComposer);
composer.addEventListener("keydown", (event) => {
  // While an input method composes a character, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    current?.stop();
    find("user").open = false;
  }
});
find("stop").addEventListener("click", () => {
  current?.stop();
  refocus();
});
find("latest").addEventListener("click", () => stickToTheEnd(true));
find("new-chat").addEventListener("click", () => {
  current?.stop();
  turns = [];
  messages.replaceChildren();
  page.dataset.status = "idle";
  find("empty").hidden = false;
  find("new-chat").hidden = true;
  refocus();
});
for (const button of document.querySelectorAll('[data-role="suggestion"]')) {
  button.addEventListener("click", () => {
    composer.value = button.textContent;
    submit();
  });
}
messages.addEventListener("click", async (event) => {
  const button = event.target.closest('[data-role="copy"]');
  if (!button) return;
  const turn = turns.find(({ view }) => view.contains(button));
  await navigator.clipboard.writeText(turn.answer);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});
document.addEventListener("click", (event) => {
  if (!find("user").contains(event.target)) find("user").open = false;
});
find("sign-out").addEventListener("click", async () => {
  current?.stop();
  await fetch("/api/sign-out", { method: "POST" });
  location.assign("/sign-in");
});
document.addEventListener("visibilitychange", async () => {
  if (document.hidden || !gateway) return;
  // Somebody else may have signed in in another tab: this conversation isn't theirs.
  const who = await read("/api/me").catch(() => me);
  if (who?.id !== me.id) location.reload();
  else if (!current) showBudget();
});
