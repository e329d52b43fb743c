"""The hold theorem, in code.

A provider bills a call at most

    tokens of input x dearest input rate + limit of output x dearest output rate x choices + price of the call

if it honours the limit and the price table is right. The tokens of a text are at most its UTF-8 bytes, for every
byte-level tokenizer, and the JSON that carries a message is longer than the tokens that frame it. So the length of the
JSON bounds the input, whatever the text, and the bound needs no tokenizer. What it cannot bound (pictures, files,
hosted tools, a dearer service tier) is refused while a budget is in force.
"""

from __future__ import annotations

from typing import Any, cast

from behest_protocol.money import usd_from_nano, usd_text

from behest_gateway.core.clock import iso
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.exchange import Plan, Routed
from behest_gateway.core.prices import FEMTO_PER_NANO, nano_from_femto
from behest_gateway.core.snapshot import Budget, ProjectSettings
from behest_gateway.stages.admit.ports import Ask, Exhausted

FRAMING_TOKENS = 32
"""Tokens that a provider adds around a conversation, beyond those that the JSON of its messages already outweighs."""

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


def budgets_for(budgets: tuple[Budget, ...], user_id: str) -> tuple[Budget, ...]:
    """The budgets of a project that a user's call counts against."""
    return tuple(b for b in budgets if b.scope != "user" or b.user_id == user_id)


def ask_for(routed: Routed, plan: Plan, settings: ProjectSettings, seconds: int) -> Ask:
    """The most that an attempt can cost, by the length of what is sent."""
    composed = routed.guarded.composed
    tokens = composed.max_tokens or settings.max_output_tokens
    input_tokens = len(plan.payload) + FRAMING_TOKENS
    return Ask(
        fixed_femto=input_tokens * plan.price.dearest_input + plan.price.dearest_call,
        token_femto=plan.price.dearest_output * composed.choices,
        max_tokens=tokens,
        min_tokens=min(tokens, settings.min_output_tokens),
        seconds=seconds,
        price=plan.price,
    )


def hold_nano(ask: Ask, tokens: int) -> int:
    """The most that an attempt can cost with that limit of output, in nano-dollars."""
    return nano_from_femto(ask.fixed_femto + tokens * ask.token_femto)


def affordable_tokens(ask: Ask, left_nano: int) -> int | None:
    """The limit of output that what is left pays for, up to what was wished for; None when it pays for too little.

    What costs nothing is never refused.
    """
    if hold_nano(ask, ask.max_tokens) <= max(0, left_nano):
        return ask.max_tokens
    if ask.token_femto == 0:
        return None
    tokens = (left_nano * FEMTO_PER_NANO - ask.fixed_femto) // ask.token_femto
    return tokens if tokens >= ask.min_tokens else None


def exhausted_refusal(exhausted: Exhausted) -> GatewayError:
    """The 402 for a budget that cannot pay for even the least answer."""
    state = exhausted.state
    budget = state.budget
    whose = "This project's" if budget.scope == "project" else "This user's"
    period = "today" if budget.window == "day" else "this month"
    left = max(0, state.left_nano)
    if left == 0:
        why = "is used up"
    else:
        why = f"has {usd_text(left)} USD left, and this call could cost {usd_text(exhausted.needed_nano)} USD"
    resets = iso(state.resets_at)
    return GatewayError(
        "budget_exceeded" if budget.scope == "project" else "quota_exceeded",
        f"{whose} budget of {usd_text(budget.limit_nano)} USD for {period} {why}. It resets at {resets}.",
        details={
            "scope": budget.scope,
            "window": budget.window,
            "limit_usd": usd_from_nano(budget.limit_nano),
            "spent_usd": usd_from_nano(state.spent_nano),
            "held_usd": usd_from_nano(state.held_nano),
            "needed_usd": usd_from_nano(exhausted.needed_nano),
            "resets_at": resets,
            "budget_id": budget.id,
        },
    )
