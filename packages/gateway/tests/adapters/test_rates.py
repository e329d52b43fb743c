"""A rate lets a minute's worth pass at once, then as much as it restores; who is refused has taken nothing.

The promise that the last part holds against any order of events: in any time of T seconds, no more is used of a rate
than `limit x (1 + T / 60)`, though what is taken and not used is given back.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from behest_gateway.adapters.rates import MemoryRates
from behest_gateway.stages.door.ports import Measure, Rate, Refused, Scope, Standing, Ticket
from hypothesis import given, settings
from hypothesis import strategies as st

ROUNDING = 1e-3


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rate(limit: int, scope: Scope = "user", measure: Measure = "requests") -> Rate:
    """A rate whose key is of its scope and measure."""
    return Rate(scope, measure, (scope, measure), limit)


def took(taken: Ticket | Refused) -> Ticket:
    """What was taken, when nothing refused."""
    assert not isinstance(taken, Refused), taken
    return taken


# -- requests


def test_a_burst_is_as_large_as_the_rate_and_then_requests_come_evenly() -> None:
    time = Time()
    rates = MemoryRates(time)
    six = rate(6)

    assert [isinstance(rates.take((six,)), Refused) for _ in range(7)] == [False] * 6 + [True]
    assert rates.take((six,)) == Refused(six, pytest.approx(10.0))
    time.now += 10.0
    assert [isinstance(rates.take((six,)), Refused) for _ in range(2)] == [False, True]


def test_a_request_that_one_rate_refuses_counts_for_none() -> None:
    rates = MemoryRates(Time())
    user, project, calls = rate(2), rate(100, "project"), rate(50, "key", "concurrency")

    for _ in range(50):
        rates.take((user, project, calls))

    assert [rates.standing(each).remaining for each in (user, project, calls)] == [0, 98, 48]


def test_the_rate_that_takes_longest_is_named() -> None:
    rates = MemoryRates(Time())
    user, project, calls = rate(2), rate(1, "project"), rate(1, "key", "concurrency")

    took(rates.take((user, project, calls)))

    assert rates.take((user, project, calls)) == Refused(project, pytest.approx(60.0))
    assert rates.take((user, calls)) == Refused(calls, 1.0)


def test_a_standing_says_how_much_may_come_and_when_all_may() -> None:
    time = Time()
    rates = MemoryRates(time)
    six = rate(6)

    assert rates.standing(six) == Standing(six, 6, 0.0)
    took(rates.take((six,)))
    took(rates.take((six,)))
    assert rates.standing(six) == Standing(six, 4, pytest.approx(20.0))
    time.now += 15
    assert rates.standing(six) == Standing(six, 5, pytest.approx(5.0))
    time.now += 1000
    assert rates.standing(six) == Standing(six, 6, 0.0)


# -- tokens


def test_what_can_never_pass_is_told_so_and_takes_nothing() -> None:
    rates = MemoryRates(Time())
    small, large = rate(100, measure="tokens"), rate(1000, "project", "tokens")

    assert rates.take((large, small), 101) == Refused(small, None)
    assert [rates.standing(each).remaining for each in (small, large)] == [100, 1000]
    took(rates.take((large, small), 100))


def test_what_was_not_used_may_be_taken_again_at_once() -> None:
    rates = MemoryRates(Time())
    tokens = rate(600, measure="tokens")
    ticket = took(rates.take((tokens,), 500))

    ticket.give_back(used=20)
    ticket.give_back(used=0)

    assert rates.standing(tokens) == Standing(tokens, 580, pytest.approx(2.0))


def test_time_and_giving_back_do_not_restore_the_same_twice() -> None:
    time = Time()
    rates = MemoryRates(time)
    tokens = rate(600, measure="tokens")
    early = took(rates.take((tokens,), 600))
    time.now += 59
    took(rates.take((tokens,), 590))

    early.give_back()

    assert rates.standing(tokens).remaining == 10


def test_what_waits_at_the_end_of_the_queue_is_given_back_whole_though_it_ran_for_long() -> None:
    time = Time()
    rates = MemoryRates(time)
    tokens = rate(600, measure="tokens")
    took(rates.take((tokens,), 500))
    late = took(rates.take((tokens,), 100))
    time.now += 50

    late.give_back()

    assert rates.standing(tokens).remaining == 600


def test_who_moved_up_because_another_gave_back_gives_back_no_more_than_still_waits() -> None:
    time = Time()
    rates = MemoryRates(time)
    tokens = rate(600, measure="tokens")
    first, second = took(rates.take((tokens,), 300)), took(rates.take((tokens,), 300))
    first.give_back()
    time.now += 30  # restores all of the second
    took(rates.take((tokens,), 300))

    second.give_back()

    assert rates.standing(tokens).remaining == 300


def test_who_uses_more_than_was_taken_waits_longer() -> None:
    rates = MemoryRates(Time())
    tokens = rate(60, measure="tokens")

    took(rates.take((tokens,), 50)).give_back(used=200)

    assert rates.standing(tokens) == Standing(tokens, 0, pytest.approx(200.0))
    assert rates.take((tokens,), 10) == Refused(tokens, pytest.approx(150.0))


def test_a_ticket_outlives_the_rest_of_its_key() -> None:
    time = Time()
    rates = MemoryRates(time)
    tokens = rate(600, measure="tokens")
    old = took(rates.take((tokens,), 600))
    time.now += 61
    took(rates.take((rate(5, "key"),)))  # forgets the rested key
    took(rates.take((tokens,), 600))

    old.give_back()

    assert rates.standing(tokens).remaining == 0


# -- concurrency


def test_places_are_given_back_once_each() -> None:
    rates = MemoryRates(Time())
    calls = rate(2, measure="concurrency")
    first, second = took(rates.take((calls,))), took(rates.take((calls,)))
    assert isinstance(rates.take((calls,)), Refused)

    first.give_back(used=1)
    first.give_back(used=1)

    assert rates.standing(calls).remaining == 1
    second.give_back()
    assert (rates.standing(calls).remaining, len(rates)) == (2, 0)


# -- memory


def test_keys_that_have_had_their_rest_are_forgotten() -> None:
    time = Time()
    rates = MemoryRates(time)

    for number in range(1000):
        took(rates.take((Rate("ip", "requests", ("ip", str(number)), 60),)))
        time.now += 0.5

    assert len(rates) <= 3


def test_no_more_keys_are_remembered_than_there_is_room_for() -> None:
    rates = MemoryRates(Time(), capacity=100)
    limited = Rate("ip", "requests", ("ip", "busy"), 2)

    for number in range(1000):
        if number % 50 == 0:
            rates.take((limited,))
        took(rates.take((Rate("ip", "requests", ("ip", str(number)), 1),)))

    assert len(rates) == 100
    assert isinstance(rates.take((limited,)), Refused)  # who goes on asking is remembered


# -- against a plain model

KEYS: tuple[Scope, ...] = ("user", "key", "project")
limits = st.tuples(*[st.integers(1, 40) for _ in KEYS])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.5, 5.0, 20.0, 70.0]) | st.floats(0, 70), st.just(0)),
        st.tuples(st.just("take"), st.integers(0, 6), st.integers(1, 45)),
        st.tuples(st.just("give"), st.integers(0, 30), st.integers(0, 45)),
    ),
    max_size=60,
)
WHICH: tuple[tuple[int, ...], ...] = ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2))


class Queue:
    """A bucket as what it is: pieces of work in a row, of which the first is worked off at a steady pace."""

    def __init__(self, limit: int) -> None:
        self.pace = limit / 60
        self.pieces: list[list[float]] = []  # number of the take, and how much of it still waits

    def wait(self, seconds: float) -> None:
        work = seconds * self.pace
        while self.pieces and work > 0:
            done = min(work, self.pieces[0][1])
            work -= done
            self.pieces[0][1] -= done
            if self.pieces[0][1] <= 0:
                self.pieces.pop(0)

    @property
    def level(self) -> float:
        return sum(waiting for _, waiting in self.pieces)

    def waiting_of(self, number: int) -> float:
        return sum(waiting for whose, waiting in self.pieces if whose == number)

    def take_out(self, number: int, amount: float) -> None:
        for piece in self.pieces:
            if piece[0] == number:
                piece[1] -= amount


@settings(max_examples=400, deadline=None)
@given(limits, steps)
def test_takes_are_all_or_none_and_giving_back_never_returns_more_than_still_waits(
    limit: tuple[int, ...], moves: list[tuple[str, float, int]]
) -> None:
    """After each step the bucket is as full as the queue, once both were told what was given back."""
    time = Time()
    rates = MemoryRates(time)
    row = [rate(most, scope, "tokens") for scope, most in zip(KEYS, limit, strict=True)]
    queues = [Queue(most) for most in limit]
    tickets: list[tuple[Ticket, int, tuple[int, ...], int]] = []
    number = 0
    for move, value, cost in moves:
        before = [rates.standing(each).reset for each in row]
        if move == "wait":
            time.now += value
            for queue in queues:
                queue.wait(value)
        elif move == "take":
            which = WHICH[int(value)]
            fits = [queues[at].level + cost <= limit[at] for at in which]
            near = any(abs(queues[at].level + cost - limit[at]) < ROUNDING for at in which)
            taken = rates.take(tuple(row[at] for at in which), cost)
            if isinstance(taken, Refused):
                assert near or not all(fits)
                assert [rates.standing(each).reset for each in row] == before
            else:
                assert near or all(fits)
                number += 1
                tickets.append((taken, number, which, cost))
                for at in which:
                    queues[at].pieces.append([float(number), float(cost)])
        elif tickets:
            ticket, whose, which, took_of_it = tickets.pop(int(value) % len(tickets))
            used = min(cost, took_of_it)
            ticket.give_back(used)
            for at in which:
                given = (before[at] - rates.standing(row[at]).reset) * limit[at] / 60
                assert -ROUNDING <= given <= min(took_of_it - used, queues[at].waiting_of(whose)) + ROUNDING
                queues[at].take_out(whose, given)
        for at, queue in enumerate(queues):
            assert rates.standing(row[at]).reset == pytest.approx(queue.level / queue.pace, abs=ROUNDING)


@settings(max_examples=400, deadline=None)
@given(st.integers(1, 40), steps)
def test_in_any_time_no_more_is_used_than_the_burst_and_what_that_time_restores(
    limit: int, moves: list[tuple[str, float, int]]
) -> None:
    time = Time()
    rates = MemoryRates(time)
    tokens = rate(limit, measure="tokens")
    passed: list[tuple[float, int]] = []  # when, and what was used of it
    open_tickets: list[tuple[Ticket, int, int]] = []
    for move, value, amount in moves:
        if move == "wait":
            time.now += value
        elif move == "take":
            taken = rates.take((tokens,), amount)
            if not isinstance(taken, Refused):
                open_tickets.append((taken, len(passed), amount))
                passed.append((time.now, amount))
        elif open_tickets:
            ticket, index, cost = open_tickets.pop(int(value) % len(open_tickets))
            used = min(amount, cost)
            ticket.give_back(used)
            passed[index] = (passed[index][0], used)

    for first, (begun, _) in enumerate(passed):
        total = 0
        for at, used in passed[first:]:
            total += used
            assert total <= limit * (1 + (at - begun) / 60) + ROUNDING


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), max_size=60), st.integers(1, 5))
def test_places_are_never_more_than_the_limit_and_all_of_them_come_back(
    moves: list[tuple[int, int]], limit: int
) -> None:
    rates = MemoryRates(Time())
    calls = rate(limit, measure="concurrency")
    under_way: list[Ticket] = []
    for move, which in moves:
        if move < 2:
            taken = rates.take((calls,))
            assert isinstance(taken, Refused) == (len(under_way) == limit)
            if not isinstance(taken, Refused):
                under_way.append(taken)
        elif under_way:
            under_way.pop(which % len(under_way)).give_back(used=which)
        assert rates.standing(calls).remaining == limit - len(under_way)

    for ticket in under_way:
        ticket.give_back()
    assert len(rates) == 0


@pytest.mark.parametrize("limit", [1, 7, 60, 999, 1_000_000])
def test_a_whole_minutes_worth_passes_at_once_whatever_the_clock_says(limit: int) -> None:
    """Sums of fractions of seconds do not lose the last of a burst, though the gateway ran for a month."""
    share = max(1, limit // 1000)
    for start in (0.0, 12345.678, 3e8):
        for ran in (0.0, 0.3, 30 * 86400.1):
            time = Time()
            time.now = start
            rates = MemoryRates(time)
            time.now += ran
            passed = [not isinstance(rates.take((rate(limit),), share), Refused) for _ in range(limit // share + 5)]
            assert sum(passed) == limit // share, (start, ran)


def test_the_bound_is_reached() -> None:
    """It is no larger than it must be: a caller who never tires gets all of it."""
    time = Time()
    rates = MemoryRates(time)
    passed: list[float] = []
    for _ in range(4001):
        if not isinstance(rates.take((rate(30),)), Refused):
            passed.append(time.now)
        time.now += 0.05

    assert max(sum(1 for other in passed if at <= other <= at + 60) for at in passed) == 60
    assert len(passed) == pytest.approx(30 + 200 / 2, abs=2)
    assert all(later - earlier < 2.1 for earlier, later in pairwise(passed[30:]))
