"""What the door needs from the world: something that counts against rates."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

Scope = Literal["ip", "user", "key", "project"]
Measure = Literal["requests", "tokens", "concurrency"]


class Rate(Struct, frozen=True):
    """A limit on what is counted together under a key.

    Attributes:
        scope: Whose limit it is.
        measure: What it counts: requests a minute, tokens a minute, or calls that are under way.
        key: Which count it is; no two scopes or measures share one.
        limit: The most, at least 1. As much may come at once when nothing came for a minute.
    """

    scope: Scope
    measure: Measure
    key: tuple[str, ...]
    limit: int


class Standing(Struct, frozen=True):
    """How a rate stands.

    Attributes:
        remaining: How much may come at once, now.
        reset: Seconds until all of the limit may; 0 for concurrency, which time does not restore.
    """

    rate: Rate
    remaining: int
    reset: float


class Refused(Struct, frozen=True):
    """A rate had no room.

    Attributes:
        rate: Of all that had none, the one that takes longest.
        retry_after: Seconds until it has; None when it never will, because more was asked than its limit.
    """

    rate: Rate
    retry_after: float | None


class Ticket(Protocol):
    """What a call took, at one time, of several rates."""

    def give_back(self, used: int = 0) -> None:
        """Give back what was taken beyond what was used, and each place among the calls that are under way.

        What time has restored already is not given back twice. What was used beyond what was taken is taken now.
        Only the first time counts.
        """
        ...


class Rates(Protocol):
    """Counts against rates. No call does I/O."""

    def take(self, rates: tuple[Rate, ...], cost: int = 1) -> Ticket | Refused:
        """Take `cost` of every rate at once, or of none when one of them has no room. Concurrency takes one place."""
        ...

    def standing(self, rate: Rate) -> Standing:
        """How a rate stands now."""
        ...
