"""The hold theorem, in code.

A provider bills a call at most

    tokens of input x dearest input rate + limit of output x dearest output rate x choices + price of the call

if it honours the limit and the price table is right. The tokens are bounded in `core.bounds`, without a tokenizer. What
that cannot bound (pictures, files, hosted tools, a dearer service tier) is refused while a budget is in force.
"""

from __future__ import annotations

from typing import Any, cast

from behest_protocol.money import usd_from_nano, usd_text

from behest_gateway.core.bounds import token_bound
from behest_gateway.core.budgets import Amounts, Budget, budget_facts
from behest_gateway.core.clock import iso
from behest_gateway.core.counters import Left
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.exchange import Plan, Routed
from behest_gateway.core.prices import FEMTO_PER_NANO, nano_from_femto
from behest_gateway.stages.admit.ports import Ask, Exhausted

_UNBOUNDED_FIELDS = (
    "audio",
    "file_ids",
    "background",
    "conversation",
    "input_file",
    "prediction",
    "previous_response_id",
    "prompt",
    "web_search_options",
)
_SERVICE_TIERS = (None, "auto", "default", "flex")
_CACHE_TTLS = (None, "30m")
"""What the price table's cache writes are for; a longer life costs more."""
# Tuples, not sets: what is looked for in them is the caller's, and may be a list.
_TEXT_PARTS = ("text", "refusal", "input_text", "output_text")
_TOOL_TYPES = ("function", "custom")


def _list_of_objects(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _uncovered_field(body: dict[str, Any]) -> str | None:
    for name in _UNBOUNDED_FIELDS:
        if body.get(name) is not None:
            return name
    if body.get("service_tier") not in _SERVICE_TIERS:
        return "service_tier"
    cache = body.get("prompt_cache_options")
    if cache is not None and not (isinstance(cache, dict) and cast("dict[str, Any]", cache).get("ttl") in _CACHE_TTLS):
        return "prompt_cache_options"
    modalities = body.get("modalities")
    if modalities is not None and modalities != ["text"]:
        return "modalities"
    for index, message in enumerate(cast("list[dict[str, Any]]", body["messages"])):
        if message.get("audio") is not None:
            return f"messages[{index}].audio"
        content = message.get("content")
        if isinstance(content, list):
            for at, part in enumerate(cast("list[dict[str, object]]", content)):
                if part.get("type") not in _TEXT_PARTS:
                    return f"messages[{index}].content[{at}]"
    for index, tool in enumerate(_list_of_objects(body.get("tools"))):
        if tool.get("type") not in _TOOL_TYPES:
            return f"tools[{index}]"
    return None


def uncovered(routed: Routed, plan: Plan) -> GatewayError | None:
    """Refuse what the bound does not cover, naming the field, or None when it covers everything."""
    composed = routed.guarded.composed
    field = "model" if plan.profile.searches else _uncovered_field(composed.body)
    if field is None:
        return None
    return invalid(
        f"'{field}' can cost more than can be foreseen, so it is not accepted while a hard budget is in force. "
        "Leave it out, or ask the project's operator to lift the budget.",
        field,
    )


def ask_for(routed: Routed, plan: Plan, seconds: int) -> Ask:
    """The most that an attempt can cost, by the length of what is sent."""
    identified, bound = routed.guarded.composed.identified, token_bound(routed, plan)
    return Ask(
        fixed_femto=bound.input * plan.price.dearest_input + plan.price.dearest_call,
        token_femto=plan.price.dearest_output * bound.choices,
        input_tokens=bound.input,
        choices=bound.choices,
        max_tokens=bound.output,
        min_tokens=min(bound.output, identified.policy.settings.min_output_tokens),
        most_nano=identified.call.most_nano,
        seconds=seconds,
        price=plan.price,
    )


def amounts_of(ask: Ask, tokens: int) -> Amounts:
    """The most that an attempt can take with that limit of output."""
    return Amounts(
        nano_from_femto(ask.fixed_femto + tokens * ask.token_femto), ask.input_tokens + tokens * ask.choices, 1
    )


def affordable(ask: Ask, left: Left) -> tuple[int, Amounts] | None:
    """The limit of output that what is left pays for, up to what was wished for, and what to hold for it; None when it
    pays for too little.

    What costs nothing is never refused for money.
    """
    nano, tokens, requests = left
    if ask.most_nano is not None:
        nano = min(nano, ask.most_nano)
    wished = amounts_of(ask, ask.max_tokens)
    if requests < 1:
        return None
    if wished.nano <= nano and wished.tokens <= tokens:
        return ask.max_tokens, wished
    limit = ask.max_tokens
    if wished.nano > max(0, nano):
        if ask.token_femto == 0:
            return None
        limit = (nano * FEMTO_PER_NANO - ask.fixed_femto) // ask.token_femto
    if wished.tokens > max(0, tokens):
        limit = min(limit, (tokens - ask.input_tokens) // ask.choices)
    return (limit, amounts_of(ask, limit)) if limit >= ask.min_tokens else None


_WHOSE = {
    "tenant": "This tenant's",
    "project": "This project's",
    "user": "This user's",
    "each_user": "This user's",
    "each_session": "This session's",
    "each_thread": "This thread's",
    "key": "This API key's",
    "each_key": "This API key's",
    "model": "This model's",
}
_USERS_OWN = ("user", "each_user", "each_session", "each_thread")


def amount_text(unit: str, amount: int) -> str:
    """An amount of a unit for people.

    >>> amount_text("usd", 500_000_000), amount_text("requests", 1), amount_text("tokens", 50_000)
    ('0.5 USD', '1 request', '50,000 tokens')
    """
    if unit == "usd":
        return f"{usd_text(amount)} USD"
    return f"{amount:,} {unit if amount != 1 else unit[:-1]}"


def period_text(budget: Budget) -> str:
    """The window of a budget for people."""
    match budget.window:
        case "day":
            return " for today"
        case "month":
            return " for this month"
        case "rolling":
            return f" for any {budget.hours} h" if budget.hours > 1 else " for any hour"
        case _:
            return ""


def exhausted_refusal(exhausted: Exhausted, tier: str | None = None, most_nano: int | None = None) -> GatewayError:
    """The 402 for a budget that cannot pay for even the least answer."""
    state, needed = exhausted.state, exhausted.needed
    if state is None:
        return GatewayError(
            "budget_exceeded",
            f"This call could cost {usd_text(needed.nano)} USD, and X-Behest-Max-Cost-Usd allows "
            f"{usd_text(most_nano or 0)} USD. Raise it, or shorten the call.",
            details={
                "scope": "request",
                "limit_usd": usd_from_nano(most_nano or 0),
                "needed_usd": usd_from_nano(needed.nano),
            },
        )
    budget = state.budget
    need, left = needed[budget.unit_index], max(0, state.left)
    if left == 0:
        why = "is used up"
    else:
        why = f"has {amount_text(budget.unit, left)} left, and this call could take {amount_text(budget.unit, need)}"
    resets = None if state.resets_at is None else iso(state.resets_at)
    match budget.window:
        case "lifetime":
            then = "It needs a top-up or a higher limit."
        case "rolling":
            then = f"Some of it comes back at {resets}."
        case _:
            then = f"It resets at {resets}."
    details = budget_facts(state)
    details[f"needed_{budget.unit}"] = usd_from_nano(need) if budget.unit == "usd" else need
    if budget.source != "budget" and budget.unit != "usd":
        # As published: what a page needs to offer an upgrade.
        name = f"{budget.unit}_per_{budget.window}"
        spent = f"{budget.unit}_{'today' if budget.window == 'day' else 'this_month'}"
        details |= {"tier": tier, "limit": {name: budget.limit}, "usage": {spent: state.spent}}
    return GatewayError(
        "quota_exceeded" if budget.scope in _USERS_OWN else "budget_exceeded",
        f"{_WHOSE[budget.scope]} budget of {amount_text(budget.unit, budget.limit)}{period_text(budget)} {why}. {then}",
        details=details,
    )
