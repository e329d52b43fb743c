"""A budget's windows: which one an instant falls in, and when it ends.

The window's id is part of a counter's key, so nothing is ever reset: a new window is a new key, and a late settlement
still finds the window that it was admitted in.

A rolling window is made of slices, a sixtieth of it each, and a slice is a window of its own. What counts is the sum
over the slices that reach into the last hours, so money comes back a slice at a time, and never early.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

WindowKind: TypeAlias = Literal["day", "month", "rolling", "lifetime"]
WINDOWS: tuple[WindowKind, ...] = get_args(WindowKind)

SLICES = 60
"""Slices of a rolling window; one of a single hour has slices of a minute."""

MAX_HOURS = 24 * 366
"""The longest rolling window."""

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time: its id, and its bounds in microseconds since 1970. Ids of a kind sort by time.

    Attributes:
        resets_at: When what was spent in it no longer counts; None for never.
    """

    id: str
    starts_at: int
    resets_at: int | None


LIFETIME = Window("lifetime", 0, None)


def _us(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp()) * 1_000_000


@lru_cache(maxsize=4096)
def _window_of_minute(kind: str, timezone: str, minute: int, hours: int) -> Window:
    if kind == "rolling":
        starts_at = minute // hours * hours * MINUTE
        moment = datetime.fromtimestamp(starts_at // 1_000_000, UTC)
        return Window(f"{moment:%Y-%m-%dT%H:%M}", starts_at, starts_at + (SLICES + 1) * hours * MINUTE)
    if kind == "lifetime":
        return LIFETIME
    local = datetime.fromtimestamp(minute * 60, UTC).astimezone(ZoneInfo(timezone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if kind == "day":
        nxt = (midnight + timedelta(days=1)).replace(fold=0)
        return Window(f"{midnight:%Y-%m-%d}", _us(midnight), _us(nxt))
    if kind == "month":
        first = midnight.replace(day=1)
        nxt = (first + timedelta(days=32)).replace(day=1)
        return Window(f"{first:%Y-%m}", _us(first), _us(nxt))
    raise ValueError(f"unknown window {kind!r}; use one of {', '.join(WINDOWS)}")


def window_at(kind: str, timezone: str, now_us: int, hours: int = 0) -> Window:
    """The window of a kind that an instant falls in, by the calendar of a timezone; of a rolling one, the slice.

    >>> window_at("month", "UTC", 1_760_000_000_000_000).id
    '2025-10'
    >>> window_at("rolling", "UTC", 1_760_000_000_000_000, hours=5).id
    '2025-10-09T08:50'
    """
    return _window_of_minute(kind, timezone, now_us // MINUTE, hours)


def counts_from(kind: str, timezone: str, now_us: int, hours: int = 0) -> str:
    """The id of the oldest window whose sum counts at an instant.

    >>> counts_from("rolling", "UTC", 1_760_000_000_000_000, hours=5)
    '2025-10-09T03:50'
    """
    back = SLICES * hours * MINUTE if kind == "rolling" else 0
    return window_at(kind, timezone, now_us - back, hours).id


def remembered_from(kind: str, timezone: str, now_us: int, hours: int = 0) -> str:
    """The id of the oldest window that may still be asked for, by a clock that went back or in another timezone."""
    back = 2 * SLICES * hours * MINUTE if kind == "rolling" else 2 * DAY
    return window_at(kind, timezone, now_us - back, hours).id


def slice_ends(window_id: str, hours: int) -> int:
    """When a slice of a rolling window no longer counts, in microseconds since 1970.

    >>> slice_ends("2025-10-09T08:50", hours=5) == window_at("rolling", "UTC", 1_760_000_000_000_000, 5).resets_at
    True
    """
    return _us(datetime.fromisoformat(window_id).replace(tzinfo=UTC)) + (SLICES + 1) * hours * MINUTE
