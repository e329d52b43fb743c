"""What is charged when: each line of docs/reference/charges.md, as the one function that decides it sees it."""

from __future__ import annotations

import pytest
from behest_gateway.core.budgets import Amounts
from behest_gateway.core.exchange import Admitted, Entry, Hold, Plan, Profile, Provider, Routed
from behest_gateway.core.prices import Band, PriceVector, Rates
from behest_gateway.stages.meter.rules import Charge, Ending, StreamMeter, charge
from behest_protocol.usage import Usage

NANO = 1_000_000
PRICE = PriceVector(
    provider="openai",
    model="m",
    bands=(
        Band(
            above=0,
            rates=Rates(
                input=2 * NANO, output=10 * NANO, cached_read=NANO, cache_write=3 * NANO, audio_input=0, audio_output=0
            ),
        ),
    ),
    version="v",
    hash="h",
)
HELD, INPUT = Amounts(10_000, 1_050, 1), Amounts(700, 150, 1)
TOLD = Usage(input=100, output=7, cached_read=40)
TOLD_COST = Amounts(60 * 2 + 40 * 1 + 7 * 10, 107, 1)


def _admitted(*, stream: bool, hides_output: bool = False) -> Admitted:
    plan = Plan(
        number=1,
        provider=Provider(name="openai", base_url="http://p", api_key=None, official=False),
        model="m",
        profile=Profile(hides_output=hides_output, in_flight_tokens=64),
        price=PRICE,
        max_tokens_field="max_tokens",
        payload=b"{}",
    )
    entry = Entry(
        attempt_id="a",
        request_id="r",
        attempt=1,
        operation="chat",
        started_at=0,
        tenant_id="t",
        project_id="p",
        user_id="u",
        api_key_id=None,
        session_id=None,
        thread_id=None,
        tier=None,
        provider="openai",
        model_asked="m",
        model="m",
        stream=stream,
        price_version="v",
        price_hash="h",
    )
    hold = Hold(attempt_id="a", amounts=HELD, input=INPUT, max_tokens=900, slots=(), expires_at=0)
    routed = Routed(None, (plan,))  # type: ignore[arg-type]  # charging looks at the plan, the entry and the hold
    return Admitted(routed=routed, plan=plan, entry=entry, hold=hold, clamped=False, since=0.0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ending", ["answered", "broken", "timed_out", "cut_short", "caller_left"])
def test_what_the_provider_says_is_what_is_charged_however_it_ends(ending: Ending, stream: bool) -> None:
    assert charge(ending, TOLD, _admitted(stream=stream), 5000) == Charge("settled", TOLD_COST)


def test_an_explicit_zero_is_charged_as_zero() -> None:
    assert charge("answered", Usage(), _admitted(stream=True), 50) == Charge("settled", Amounts(0, 0, 1))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ending", ["rejected", "unreached"])
def test_what_the_provider_did_not_take_on_costs_nothing(ending: Ending, stream: bool) -> None:
    assert charge(ending, None, _admitted(stream=stream), 0) == Charge("released", Amounts(0, 0, 0))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ending", ["answered", "broken", "timed_out", "cut_short"])
def test_what_nobody_accounted_for_costs_the_whole_hold(ending: Ending, stream: bool) -> None:
    assert charge(ending, None, _admitted(stream=stream), 50) == Charge("unconfirmed", HELD)


def test_a_caller_who_leaves_a_stream_pays_what_arrived_and_what_may_be_on_its_way() -> None:
    assert charge("caller_left", None, _admitted(stream=True), 30) == Charge(
        "estimated", Amounts(700 + (30 + 64) * 10, 150 + 30 + 64, 1)
    )


def test_an_estimate_never_exceeds_the_hold() -> None:
    assert charge("caller_left", None, _admitted(stream=True), 10**9) == Charge("estimated", HELD)


def test_a_caller_who_leaves_before_a_whole_answer_pays_the_hold_since_nobody_knows_how_far_it_was() -> None:
    assert charge("caller_left", None, _admitted(stream=False), 0) == Charge("unconfirmed", HELD)


def test_a_caller_who_leaves_a_model_that_thinks_in_secret_pays_the_hold() -> None:
    assert charge("caller_left", None, _admitted(stream=True, hides_output=True), 30) == Charge("unconfirmed", HELD)


def test_a_running_sum_is_not_what_was_used_in_all() -> None:
    meter = StreamMeter()
    meter.see(text_bytes=3, pieces=1, finish_reason=None)
    meter.see_usage(TOLD, alone=False)

    assert not meter.is_finished
    assert meter.usage_at("caller_left") is None
    assert meter.usage_at("answered") == TOLD


@pytest.mark.parametrize("alone", [False, True])
def test_a_sum_that_comes_with_or_after_the_end_is_what_was_used_in_all(alone: bool) -> None:
    meter = StreamMeter()
    meter.see(text_bytes=3, pieces=1, finish_reason=None if alone else "stop")
    meter.see_usage(TOLD, alone=alone)

    assert meter.usage_at("caller_left") == TOLD
