"""A rate lets a minute's worth pass at once, then one at a time, and a refused request takes nothing."""

from __future__ import annotations

import pytest
from behest_gateway.adapters.rates import MemoryRates
from behest_gateway.stages.door.ports import Rate, Taken


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_as_large_as_the_rate_and_then_requests_come_evenly() -> None:
    time = Time()
    rates = MemoryRates(time)
    six = (Rate(("user", "u"), 6),)

    assert [rates.take(six)[1].allowed for _ in range(7)] == [True] * 6 + [False]
    assert rates.take(six)[1] == Taken(False, 0, pytest.approx(10.0))
    time.now += 10.0
    assert [rates.take(six)[1].allowed for _ in range(2)] == [True, False]


def test_a_request_that_one_rate_refuses_counts_for_none() -> None:
    time = Time()
    rates = MemoryRates(time)
    user, project = Rate(("user", "u"), 2), Rate(("project", "p"), 100)
    for _ in range(50):
        rates.take((user, project))

    _, taken = rates.take((project,))

    assert taken == Taken(True, 97, 0.0)


def test_the_rate_that_refused_is_named() -> None:
    rates = MemoryRates(Time())
    tight, wide = Rate(("user", "u"), 1), Rate(("project", "p"), 10)

    assert rates.take((tight, wide))[0] == tight
    assert rates.take((tight, wide)) == (tight, Taken(False, 0, pytest.approx(60.0)))


def test_no_more_than_twice_the_rate_passes_in_any_minute() -> None:
    time = Time()
    rates = MemoryRates(time)
    passed = []
    for _ in range(4000):
        if rates.take((Rate(("user", "u"), 30),))[1].allowed:
            passed.append(time.now)
        time.now += 0.05

    assert max(sum(1 for other in passed if at <= other < at + 60) for at in passed) <= 60
    assert len(passed) == pytest.approx(30 + 200 / 2, abs=2)
