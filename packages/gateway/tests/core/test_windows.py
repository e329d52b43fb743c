"""A window's bounds follow the calendar of its timezone, also when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from behest_gateway.core.windows import window_at


def _us(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("kind", "timezone", "now", "window_id", "starts", "resets"),
    [
        ("day", "UTC", "2026-11-23T23:59:59Z", "2026-11-23", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"),
        ("day", "UTC", "2026-11-24T00:00:00Z", "2026-11-24", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
        ("month", "UTC", "2026-12-31T23:59:59Z", "2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("month", "UTC", "2028-02-29T12:00:00Z", "2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        # Half an hour off, and a day ahead of UTC.
        ("day", "Asia/Kolkata", "2026-11-23T20:00:00Z", "2026-11-24", "2026-11-23T18:30:00Z", "2026-11-24T18:30:00Z"),
        # A day of 25 hours, and one of 23.
        ("day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        (
            "day",
            "America/New_York",
            "2026-03-08T12:00:00Z",
            "2026-03-08",
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
        ),
    ],
)
def test_a_window_is_a_day_or_a_month_of_its_calendar(
    kind: str, timezone: str, now: str, window_id: str, starts: str, resets: str
) -> None:
    window = window_at(kind, timezone, _us(now))

    assert (window_id, _us(starts), _us(resets)) == (window.id, window.starts_at, window.resets_at)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="unknown window 'week'"):
        window_at("week", "UTC", 0)
