"""The hold theorem: whatever is asked, at whatever prices, however many calls run at once and however they end,

- no call is billed more than was held for it,
- what is spent and held of a budget never exceeds its limit,
- what is charged is never below what the provider bills, and equal to it when the provider said what it used.

The stages are the real ones; the provider is a few lines of exact fractions that share nothing with the gateway's
prices, and bills the worst that it may. At the end, the same property is run against bounds that were weakened on
purpose, and must fail.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any

import msgspec
import pytest
from behest_gateway.core.budgets import Amounts, Budget, BudgetSet
from behest_gateway.core.counters import Counters, Left, Refused
from behest_gateway.core.exchange import (
    Admitted,
    Call,
    Caller,
    Entered,
    Guarded,
    Hold,
    Identified,
    Provider,
    Routed,
)
from behest_gateway.core.prices import Band, PriceVector, Rates
from behest_gateway.core.snapshot import ProjectSettings, ProjectSnapshot
from behest_gateway.stages.admit import rules as admit_rules
from behest_gateway.stages.admit.stage import entry_of
from behest_gateway.stages.compose.stage import compose
from behest_gateway.stages.meter.rules import Ending, charge
from behest_gateway.stages.route.rules import plan_of
from behest_protocol.usage import Usage
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import json

NOW = 1_795_000_000_000_000
FEMTO = Fraction(1, 10**15)
BUDGETS = (
    Budget(id="all", project_id="p", scope="project", window="month", limit=0),
    Budget(id="one", project_id="p", scope="user", subject="u1", window="rolling", hours=5, limit=0),
    Budget(id="each", project_id="p", scope="each_user", window="day", timezone="Asia/Kolkata", limit=0),
    Budget(id="all tokens", project_id=None, scope="tenant", unit="tokens", window="lifetime", limit=0),
    Budget(id="each tokens", project_id="p", scope="each_user", unit="tokens", window="day", limit=0),
)
USERS = {"u1": 1, "u2": 2}


@dataclass(frozen=True)
class Ask:
    """One call: who, what, and how much of what it may use it does use (all in thousandths)."""

    user: str
    texts: tuple[str, ...]
    model: str
    max_tokens: int | None
    choices: int
    stream: bool
    input_share: int
    cached_share: int
    output_share: int
    ending: Ending


def _rates() -> st.SearchStrategy[Rates]:
    rate = st.one_of(st.just(0), st.integers(1, 10**11))
    return st.builds(
        Rates,
        input=rate,
        output=rate,
        cached_read=rate,
        cache_write=rate,
        audio_input=rate,
        audio_output=rate,
        per_call=st.one_of(st.just(0), st.integers(0, 10**13)),
    )


PRICES = st.builds(
    lambda first, more: PriceVector(
        provider="openai",
        model="m",
        bands=(Band(above=0, rates=first), *(Band(above=a, rates=r) for a, r in sorted(more, key=lambda x: x[0]))),
        version="test",
        hash="0",
    ),
    _rates(),
    st.lists(st.tuples(st.integers(1, 600), _rates()), max_size=2, unique_by=lambda x: x[0]),
)
ENDINGS: list[Ending] = ["answered", "rejected", "unreached", "timed_out", "broken", "caller_left"]
ASKS = st.builds(
    Ask,
    user=st.sampled_from(sorted(USERS)),
    texts=st.lists(st.text(max_size=40), min_size=1, max_size=4).map(tuple),
    model=st.sampled_from(["gpt-4o-mini", "o3", "vendor/gpt-5-mini"]),
    max_tokens=st.one_of(st.none(), st.integers(1, 500)),
    choices=st.integers(1, 4),
    stream=st.booleans(),
    input_share=st.one_of(st.just(1000), st.integers(0, 1000)),
    cached_share=st.integers(0, 1000),
    output_share=st.one_of(st.just(1000), st.integers(0, 1000)),
    ending=st.sampled_from(ENDINGS),
)
STEPS = st.lists(st.one_of(ASKS, st.integers(0, 30)), min_size=1, max_size=25)


def _routed(ask: Ask, project: ProjectSnapshot, price: PriceVector) -> Routed:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text} for text in ask.texts], "n": ask.choices}
    body |= {"model": ask.model, "stream": ask.stream}
    if ask.max_tokens is not None:
        body["max_tokens"] = ask.max_tokens
    call = Call(
        operation="chat", request_id="r", started_at=NOW, clock=0.0, host="", token=None, body=json.encode(body)
    )
    caller = Caller(
        tenant_id="t",
        project_id="p",
        user_id=ask.user,
        role="user",
        tier=None,
        session_id=None,
        key_id=None,
        kid="k",
        expires_at=0,
    )
    guarded = Guarded(compose(Entered(Identified(call, caller, project, project.policy))))
    provider = Provider(name="openai", base_url="http://provider", api_key=None, official=False)
    return Routed(guarded, (plan_of(guarded, provider, price),))


def _bill(price: PriceVector, into: int, cached: int, out: int) -> int:
    """What a provider bills, in nano-dollars: exact, rounded up once."""
    rates = price.bands[0].rates
    for band in price.bands:
        if into > band.above or band.above == 0:
            rates = band.rates
    dollars = FEMTO * ((into - cached) * rates.input + cached * rates.cached_read + out * rates.output + rates.per_call)
    return ceil(dollars * 10**9)


@dataclass
class Running:
    """A call under way, and what it will turn out to use."""

    ask: Ask
    admitted: Admitted
    usage: Usage


def _worst_usage(ask: Ask, hold: Hold) -> Usage:
    """What an honest provider may count: a token for each byte of text, a few for each message, and up to the limit."""
    into = sum(len(text.encode()) for text in ask.texts) + 4 * len(ask.texts) + 3
    into = into * ask.input_share // 1000
    return Usage(
        input=into,
        cached_read=into * ask.cached_share // 1000,
        output=hold.max_tokens * ask.choices * ask.output_share // 1000,
    )


def _end(running: Running, counters: Counters) -> tuple[int, int]:
    """End a call; returns what the provider bills and what is charged."""
    ask, admitted, usage = running.ask, running.admitted, running.usage
    price = admitted.plan.price
    told: Usage | None = None
    text_bytes = 0
    if ask.ending == "answered":
        told = usage
        billed = _bill(price, usage.input, usage.cached_read, usage.output)
    elif ask.ending in ("rejected", "unreached"):
        billed = 0
    else:
        # What arrived may lag behind what was made by no more than the profile allows.
        text_bytes = max(0, usage.output - admitted.plan.profile.in_flight_tokens)
        billed = _bill(price, usage.input, usage.cached_read, usage.output)
    charged = charge(ask.ending, told, admitted, text_bytes)
    cost, most = charged.amounts, admitted.hold.amounts
    used = 0 if ask.ending in ("rejected", "unreached") else usage.input + usage.output
    assert billed <= most.nano, "a call was billed more than was held for it"
    assert cost.nano <= most.nano, "a call was charged more than was held for it"
    assert cost.nano >= billed, "a call was charged less than the provider bills"
    assert used <= cost.tokens <= most.tokens, "a call was charged other tokens than it used, or than were held"
    if charged.state == "settled":
        assert (cost.nano, cost.tokens) == (billed, used), (
            "a call that the provider accounted for was charged another sum"
        )
    counters.settle(admitted.hold.slots, most, cost)
    return billed, used


def _theorem(price: PriceVector, limits: tuple[int, ...], steps: list[Ask | int]) -> None:
    budgets = tuple(replace(b, limit=limit) for b, limit in zip(BUDGETS, limits, strict=True))
    project = ProjectSnapshot(
        id="p",
        tenant_id="t",
        name="P",
        slug="p",
        budgets=BudgetSet(budgets),
        settings=ProjectSettings(max_output_tokens=200, min_output_tokens=4),
    )
    counters = Counters()
    running: list[Running] = []
    billed = dict.fromkeys(USERS, 0)
    used = dict.fromkeys(USERS, 0)

    def finish(done: Running) -> None:
        nano, tokens = _end(done, counters)
        billed[done.ask.user] += nano
        used[done.ask.user] += tokens

    def check() -> None:
        for budget in budgets:
            for user in USERS.values():
                state = counters.state(budget, budget.subject_of(user, None, None, None), NOW)
                assert state.spent >= 0
                assert state.held >= 0
                assert state.left >= 0, f"budget {budget.id} is exceeded"

    for step in steps:
        if isinstance(step, int):
            if running:
                finish(running.pop(step % len(running)))
        else:
            routed = _routed(step, project, price)
            plan = routed.plans[0]
            ask = admit_rules.ask_for(routed, plan, 60)
            entry = entry_of(routed, plan)
            mine = project.budgets.of(entry, plan.model)
            claims = tuple((b, b.subject_of(USERS[step.user], None, None, None)) for b in mine)

            def affordable(left: Left, ask: Any = ask) -> tuple[int, Amounts] | None:
                return admit_rules.affordable(ask, left)

            def least(ask: Any = ask) -> Amounts:
                return admit_rules.amounts_of(ask, ask.min_tokens)

            held = counters.hold(claims, NOW, affordable, least)
            if isinstance(held, Refused):
                assert held.short is not None
                continue
            tokens = held.max_tokens
            assert ask.min_tokens <= tokens <= ask.max_tokens
            hold = Hold(
                attempt_id=entry.attempt_id,
                amounts=held.amounts,
                input=admit_rules.amounts_of(ask, 0),
                max_tokens=tokens,
                slots=held.slots,
                expires_at=0,
            )
            admitted = Admitted(
                routed=routed, plan=plan, entry=entry, hold=hold, clamped=tokens < ask.max_tokens, since=0.0
            )
            running.append(Running(step, admitted, _worst_usage(step, hold)))
        check()
    while running:
        finish(running.pop())
        check()

    assert counters.held() == (0, 0, 0)
    spent = {b.id: {u: counters.state(b, b.subject_of(ref, None, None, None), NOW).spent for u, ref in USERS.items()}
             for b in budgets}  # fmt: skip
    assert sum(billed.values()) <= spent["all"]["u1"]
    assert sum(used.values()) <= spent["all tokens"]["u1"]
    assert billed["u1"] <= spent["one"]["u1"]
    for user in USERS:
        assert billed[user] <= spent["each"][user]
        assert used[user] <= spent["each tokens"][user]


_NANO = st.one_of(st.integers(0, 10**6), st.integers(10**6, 10**11))
_TOKENS = st.one_of(st.integers(0, 3_000), st.just(10**9))
LIMITS = st.tuples(_NANO, _NANO, _NANO, _TOKENS, _TOKENS)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(price=PRICES, limits=LIMITS, steps=STEPS)
def test_no_call_costs_more_than_its_hold_and_no_budget_is_exceeded(
    price: PriceVector, limits: tuple[int, ...], steps: list[Ask | int]
) -> None:
    _theorem(price, limits, steps)


def _input_counted_as_characters_by_four(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = admit_rules.ask_for

    def weak(routed: Routed, plan: Any, *rest: Any) -> Any:
        ask = whole(routed, plan, *rest)
        tokens = len(plan.payload) // 4
        return _replaced(ask, fixed_femto=tokens * plan.price.dearest_input + plan.price.dearest_call)

    monkeypatch.setattr(admit_rules, "ask_for", weak)


def _choices_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = admit_rules.ask_for

    def weak(routed: Routed, plan: Any, *rest: Any) -> Any:
        return _replaced(whole(routed, plan, *rest), token_femto=plan.price.dearest_output)

    monkeypatch.setattr(admit_rules, "ask_for", weak)


def _tokens_counted_as_characters_by_four(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = admit_rules.ask_for

    def weak(routed: Routed, plan: Any, *rest: Any) -> Any:
        return _replaced(whole(routed, plan, *rest), input_tokens=len(plan.payload) // 4)

    monkeypatch.setattr(admit_rules, "ask_for", weak)


def _tokens_of_one_choice_only(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = admit_rules.ask_for

    def weak(routed: Routed, plan: Any, *rest: Any) -> Any:
        return _replaced(whole(routed, plan, *rest), choices=1)

    monkeypatch.setattr(admit_rules, "ask_for", weak)


def _first_band_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PriceVector, "dearest_output", property(lambda self: self.bands[0].rates.output))
    monkeypatch.setattr(PriceVector, "dearest_input", property(lambda self: self.bands[0].rates.input))


def _hold_rounded_down(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = admit_rules.amounts_of

    def weak(ask: Any, tokens: int) -> Amounts:
        return whole(ask, tokens)._replace(nano=(ask.fixed_femto + tokens * ask.token_femto) // 1_000_000)

    monkeypatch.setattr(admit_rules, "amounts_of", weak)


def _call_price_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PriceVector, "dearest_call", property(lambda self: 0))


def _hold_shrunk_to_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        admit_rules,
        "affordable",
        lambda ask, left: (ask.max_tokens, admit_rules.amounts_of(ask, ask.max_tokens)) if left.nano > 0 else None,
    )


def _replaced(ask: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(ask, **changes)


@pytest.mark.parametrize(
    "weaken",
    [
        _input_counted_as_characters_by_four,
        _choices_forgotten,
        _tokens_counted_as_characters_by_four,
        _tokens_of_one_choice_only,
        _first_band_only,
        _hold_rounded_down,
        _call_price_forgotten,
        _hold_shrunk_to_what_is_left,
    ],
    ids=lambda weaken: weaken.__name__.lstrip("_"),
)
def test_the_theorem_fails_when_its_bound_is_weakened(
    weaken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(monkeypatch)
    find = settings(
        max_examples=3000,
        deadline=None,
        derandomize=True,
        database=None,
        print_blob=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @find
    @given(price=PRICES, limits=LIMITS, steps=STEPS)
    @functools.wraps(_theorem)
    def search(price: PriceVector, limits: tuple[int, ...], steps: list[Ask | int]) -> None:
        _theorem(price, limits, steps)

    with pytest.raises(AssertionError):
        search()
