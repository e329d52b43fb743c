"""What time it is, as a port, so that tests can move it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for records and expiry; never for measuring a duration."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000


def iso(us: int) -> str:
    """Write microseconds since 1970 as ISO 8601 in UTC, to the second.

    >>> iso(1_760_000_000_000_000)
    '2025-10-09T08:53:20Z'
    """
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
