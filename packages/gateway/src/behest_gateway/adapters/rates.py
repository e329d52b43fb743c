"""Request rates in one process, by the generic cell rate algorithm: a steady rate, with a minute's worth of burst."""

from __future__ import annotations

import time
from collections.abc import Callable

from behest_gateway.stages.door.ports import Rate, Taken

_SWEEP_EVERY = 50_000


class MemoryRates:
    """Counts requests in a dictionary; a key that has had its rest is forgotten.

    Args:
        monotonic: Seconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._arrivals: dict[tuple[str, ...], float] = {}
        self._taken = 0

    def take(self, rates: tuple[Rate, ...]) -> tuple[Rate, Taken]:
        now = self._monotonic()
        arrivals = self._arrivals
        tightest = rates[0]
        least = -1
        for rate in rates:
            # `arrival` is when the bucket would be empty again; it may lie at most a minute ahead.
            arrival = max(now, arrivals.get(rate.key, 0.0))
            interval = 60.0 / rate.per_minute
            wait = arrival + interval - now - 60.0
            if wait > 1e-9:
                return rate, Taken(False, 0, wait)
            remaining = int((60.0 - (arrival + interval - now)) / interval + 1e-9)
            if least < 0 or remaining < least:
                tightest, least = rate, remaining
        for rate in rates:
            arrivals[rate.key] = max(now, arrivals.get(rate.key, 0.0)) + 60.0 / rate.per_minute
        self._taken += 1
        if self._taken >= _SWEEP_EVERY:
            self._taken = 0
            self._arrivals = {key: at for key, at in arrivals.items() if at > now}
        return tightest, Taken(True, least, 0.0)
