"""What the door needs from the world."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Rate(Struct, frozen=True):
    """A limit of requests a minute under a key."""

    key: tuple[str, ...]
    per_minute: int


class Taken(Struct, frozen=True):
    """What a rate says to one more request.

    Attributes:
        remaining: Requests that may follow at once.
        retry_after: Seconds until the next may come; 0 when this one may.
    """

    allowed: bool
    remaining: int
    retry_after: float


class Rates(Protocol):
    """Counts requests against rates."""

    def take(self, rates: tuple[Rate, ...]) -> tuple[Rate, Taken]:
        """Count one request against all of the rates, or against none when one of them is used up.

        Returns:
            The rate that refused, or the tightest of those that allowed, and its answer.
        """
        ...
