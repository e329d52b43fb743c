"""Rates in one process, by the generic cell rate algorithm.

A key's state is one time: when its bucket would be empty again if nothing came. What comes moves it ahead by
`cost x 60 / limit` seconds, and may move it at most a minute ahead of now. So a minute's worth may come at once, and
after that as much as the limit restores: **in any time of T seconds, at most `limit x (1 + T / 60)` passes**, whoever
watches and whenever they begin.

Giving back moves the time back, and must not break that promise. The bucket is a queue that is served in order: what
was taken lies at its end and moves ahead as time passes. Only the part that is still waiting can be given back, since
the rest made room for others already. Each state counts the seconds that were given back so far, so that a ticket
knows how far it has moved up because of others. It may have moved up less (what was given back may lie behind it); then
it gets back less than it could, which errs on the safe side.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from behest_gateway.stages.door.ports import Rate, Refused, Standing, Ticket

MINUTE = 60.0
_ROUNDING = 1e-6
"""Seconds; sums of fractions may be off by this much."""


class _Bucket:
    """`empty_at` is when it would be empty, `given_back` the seconds that were ever given back to it."""

    __slots__ = ("empty_at", "given_back")

    def __init__(self, now: float) -> None:
        self.empty_at = now
        self.given_back = 0.0


class _Ticket:
    __slots__ = ("_cost", "_is_open", "_places", "_rates", "_shares")

    def __init__(self, rates: MemoryRates, cost: int) -> None:
        self._rates = rates
        self._cost = cost
        self._is_open = True
        self._shares: list[tuple[Rate, _Bucket, float]] = []
        self._places: tuple[Rate, ...] = ()

    def share(self, rate: Rate, bucket: _Bucket) -> None:
        """Remember where in the queue this ticket ends, had nothing ever been given back."""
        self._shares.append((rate, bucket, bucket.empty_at + bucket.given_back))

    def place(self, rate: Rate) -> None:
        self._places = (*self._places, rate)

    def give_back(self, used: int = 0) -> None:
        if not self._is_open:
            return
        self._is_open = False
        for rate in self._places:
            self._rates.vacate(rate)
        unused = self._cost - used
        if unused > 0:
            now = self._rates.now()
            for rate, bucket, end in self._shares:
                waiting = end - bucket.given_back - now
                seconds = min(unused * MINUTE / rate.limit, waiting)
                if seconds > 0:
                    bucket.empty_at -= seconds
                    bucket.given_back += seconds
        elif unused < 0:
            for rate, _, _ in self._shares:
                self._rates.add(rate, -unused)


class MemoryRates:
    """Counts in dictionaries. A key that has had its rest is forgotten, two for each that is taken.

    Args:
        monotonic: Seconds of a clock that never goes back.
        capacity: How many keys are remembered; beyond that, the one that was taken longest ago is forgotten.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, capacity: int | None = None) -> None:
        self._monotonic = monotonic
        self._start = monotonic()
        self._capacity = capacity
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self._under_way: dict[tuple[str, ...], int] = {}

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets) + len(self._under_way)

    def now(self) -> float:
        """Seconds since the beginning; small numbers, because sums of fractions lose less in them."""
        return self._monotonic() - self._start

    def take(self, rates: tuple[Rate, ...], cost: int = 1) -> Ticket | Refused:
        now = self.now()
        buckets = self._buckets
        tightest: Rate | None = None
        longest = 0.0
        for rate in rates:
            if rate.measure == "concurrency":
                wait = 1.0 if self._under_way.get(rate.key, 0) >= rate.limit else 0.0
            elif cost > rate.limit:
                return Refused(rate, None)
            else:
                bucket = buckets.get(rate.key)
                wait = cost * MINUTE / rate.limit - MINUTE
                if bucket is not None and bucket.empty_at > now:
                    wait += bucket.empty_at - now
            if wait > _ROUNDING and wait > longest:
                tightest, longest = rate, wait
        if tightest is not None:
            return Refused(tightest, longest)
        ticket = _Ticket(self, cost)
        for rate in rates:
            if rate.measure == "concurrency":
                self._under_way[rate.key] = self._under_way.get(rate.key, 0) + 1
                ticket.place(rate)
            else:
                ticket.share(rate, self._fill(rate, cost, now))
        return ticket

    def standing(self, rate: Rate) -> Standing:
        if rate.measure == "concurrency":
            return Standing(rate, max(0, rate.limit - self._under_way.get(rate.key, 0)), 0.0)
        bucket = self._buckets.get(rate.key)
        reset = max(0.0, bucket.empty_at - self.now()) if bucket is not None else 0.0
        return Standing(rate, min(rate.limit, max(0, int((MINUTE - reset + _ROUNDING) * rate.limit / MINUTE))), reset)

    def vacate(self, rate: Rate) -> None:
        """One fewer is under way."""
        left = self._under_way[rate.key] - 1
        if left:
            self._under_way[rate.key] = left
        else:
            del self._under_way[rate.key]

    def add(self, rate: Rate, cost: int) -> None:
        """Take without asking, which may move the time further ahead than a minute."""
        self._fill(rate, cost, self.now())

    def _fill(self, rate: Rate, cost: int, now: float) -> _Bucket:
        buckets = self._buckets
        bucket = buckets.get(rate.key)
        if bucket is None:
            self._make_room(now)
            bucket = buckets[rate.key] = _Bucket(now)
        else:
            buckets.move_to_end(rate.key)
            if bucket.empty_at < now:
                bucket.empty_at = now
        bucket.empty_at += cost * MINUTE / rate.limit
        return bucket

    def _make_room(self, now: float) -> None:
        """Forget those that are empty again among the two that were taken longest ago.

        A ticket of a forgotten key gives back to a bucket that counts no more: all that it took was restored already.
        """
        buckets = self._buckets
        for _ in range(2):
            if not buckets:
                return
            key, oldest = next(iter(buckets.items()))
            if oldest.empty_at > now:
                break
            del buckets[key]
        if self._capacity is not None and len(buckets) >= self._capacity:
            buckets.popitem(last=False)
