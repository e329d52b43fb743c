"""A budget's windows: which one an instant falls in, and when it ends.

The window's id is part of a counter's key, so nothing is ever reset: a new window is a new key, and a late settlement
still finds the window that it was admitted in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

WINDOWS = ("day", "month")


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time: its id, and its bounds in microseconds since 1970."""

    id: str
    starts_at: int
    resets_at: int


def _us(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp()) * 1_000_000


@lru_cache(maxsize=4096)
def _window_of_minute(kind: str, timezone: str, minute: int) -> Window:
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


def window_at(kind: str, timezone: str, now_us: int) -> Window:
    """The window of a kind that an instant falls in, by the calendar of a timezone.

    >>> window_at("month", "UTC", 1_760_000_000_000_000).id
    '2025-10'
    """
    return _window_of_minute(kind, timezone, now_us // 60_000_000)
