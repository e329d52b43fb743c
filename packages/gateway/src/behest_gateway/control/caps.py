"""Caps to replay under: how they are written, whom each counts, and what is left of it at a time. No I/O."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable
from typing import Literal
from zoneinfo import ZoneInfo

from behest_protocol.money import nano_from_usd
from behest_protocol.usage import Usage
from msgspec import Struct

from behest_gateway.core.errors import invalid
from behest_gateway.core.windows import window_at

HOUR_US = 3_600_000_000
MAX_HOURS = 24 * 366

Unit = Literal["usd", "tokens", "requests"]

_UNITS: dict[str, Unit] = {"usd": "usd", "tokens": "tokens", "requests": "requests"}
_ALIKE = ("tenant", "project", "each_user", "each_session", "each_thread", "each_key")
_NAMED = ("user", "key", "model")
_HOURS = re.compile(r"([1-9]\d{0,4})h")
_DOLLARS = re.compile(r"\d{1,9}(\.\d{1,12})?")
_WHOLE = re.compile(r"\d{1,15}")


class Cap(Struct, frozen=True, kw_only=True):
    """A limit to replay under.

    Attributes:
        name: As it was written.
        scope: One of `tenant`, `project`, `each_user`, `each_session`, `each_thread`, `each_key`, `user`, `key` and
            `model`; each counts by itself for each one of its kind, and the last three for `subject` alone.
        window: `day`, `month`, `rolling` or `lifetime`.
        hours: How long a rolling window is; 0 for another.
        limit: In nano-dollars, tokens or requests, by `unit`.
        tier: Only calls of this tier count; None for all.
    """

    name: str
    scope: str
    subject: str | None = None
    unit: Unit
    window: str
    hours: int = 0
    timezone: str = "UTC"
    limit: int
    tier: str | None = None


class Past(Struct, frozen=True, kw_only=True):
    """What a replay needs of a row of the ledger."""

    attempt: int
    started_at: int
    tenant_id: str
    project_id: str
    project: str
    user_ref: int
    user_id: str | None
    api_key_id: str | None
    session_id: str | None
    thread_id: str | None
    tier: str | None
    provider: str
    model: str
    usage: Usage
    cost_nano: int
    price_hash: str
    state: str


class Count:
    """What is used of a cap, by whom it is counted for. Time only goes forward."""

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self._windows: dict[Hashable, tuple[str, int]] = {}
        self._rolling: dict[Hashable, tuple[deque[tuple[int, int]], list[int]]] = {}

    def left(self, key: Hashable, at: int) -> int:
        """What is left for somebody at a time, in the cap's unit."""
        return self.cap.limit - self._used(key, at)

    def add(self, key: Hashable, at: int, amount: int) -> None:
        """Use some of it."""
        if self.cap.window == "rolling":
            entries, total = self._rolling.setdefault(key, (deque(), [0]))
            entries.append((at, amount))
            total[0] += amount
        else:
            self._windows[key] = (self._window(at), self._used(key, at) + amount)

    def _used(self, key: Hashable, at: int) -> int:
        if self.cap.window != "rolling":
            window, used = self._windows.get(key, ("", 0))
            return used if window == self._window(at) else 0
        entries, total = self._rolling.get(key, (deque(), [0]))
        while entries and entries[0][0] <= at - self.cap.hours * HOUR_US:
            total[0] -= entries.popleft()[1]
        return total[0]

    def _window(self, at: int) -> str:
        return "lifetime" if self.cap.window == "lifetime" else window_at(self.cap.window, self.cap.timezone, at).id


def subject_of(cap: Cap, row: Past, model: str) -> Hashable | None:
    """Whom a row counts for in a cap, or None when it does not count. `model` is the one that it is priced as."""
    if cap.tier is not None and cap.tier != row.tier:
        return None
    project = row.project_id
    match cap.scope:
        case "tenant":
            return row.tenant_id
        case "project":
            return project
        case "each_user":
            return row.user_ref
        case "each_session":
            return None if row.session_id is None else (project, row.session_id)
        case "each_thread":
            return None if row.thread_id is None else (project, row.thread_id)
        case "each_key":
            return row.api_key_id
        case "user":
            return row.user_ref if row.user_id == cap.subject else None
        case "key":
            return row.api_key_id if row.api_key_id == cap.subject else None
        case _:
            return project if model == cap.subject else None


def parse_cap(text: str, timezone: str = "UTC") -> Cap:
    """Read a cap, such as `each_user:day:usd:0.50` or `user:u_42:24h:tokens:100000`.

    Raises:
        GatewayError: `validation_error`, saying which part is wrong.
    """
    parts = text.rsplit(":", 3)
    if len(parts) != 4:
        raise invalid(f"--budget {text!r} must be SCOPE:WINDOW:UNIT:LIMIT, like each_user:day:usd:0.50.", "budget")
    where, window, unit, limit = parts
    scope, has_subject, subject = where.partition(":")
    if not (scope in _ALIKE and not has_subject) and not (scope in _NAMED and subject):
        raise invalid(
            f"--budget {text!r} has no scope that is known: {', '.join(_ALIKE)}, or "
            f"{', '.join(f'{name}:ID' for name in _NAMED)}.",
            "budget",
        )
    return _cap(text, "--budget", scope, subject or None, (unit, window, limit), timezone)


def parse_tier(text: str, timezone: str = "UTC") -> tuple[Cap, ...]:
    """Read the caps of each user of a tier, such as `free:tokens_per_day=50000,usd_per_month=1`.

    Raises:
        GatewayError: `validation_error`, saying which part is wrong.
    """
    tier, _, rest = text.partition(":")
    caps: list[Cap] = []
    for part in rest.split(","):
        name, is_given, limit = part.partition("=")
        unit, has_window, window = name.strip().partition("_per_")
        if not tier or not is_given or not has_window:
            raise invalid(
                f"--tier {text!r} must be NAME:UNIT_per_WINDOW=LIMIT, like free:tokens_per_day=50000.", "tier"
            )
        caps.append(_cap(f"{tier}:{part.strip()}", "--tier", "each_user", None, (unit, window, limit), timezone, tier))
    return tuple(caps)


def _cap(
    name: str,
    option: str,
    scope: str,
    subject: str | None,
    amount: tuple[str, str, str],
    timezone: str,
    tier: str | None = None,
) -> Cap:
    unit, window, limit = (part.strip() for part in amount)
    param = option.removeprefix("--")
    if unit not in _UNITS:
        raise invalid(f"{option} {name!r}: the unit is one of {', '.join(_UNITS)}.", param)
    hours = _HOURS.fullmatch(window)
    if hours is None and window not in ("day", "month", "lifetime"):
        raise invalid(f"{option} {name!r}: the window is day, month, lifetime or hours like 24h.", param)
    if hours is not None and int(hours[1]) > MAX_HOURS:
        raise invalid(f"{option} {name!r}: a rolling window has at most {MAX_HOURS} hours.", param)
    return Cap(
        name=name,
        scope=scope,
        subject=subject,
        unit=_UNITS[unit],
        window="rolling" if hours else window,
        hours=int(hours[1]) if hours else 0,
        timezone=_timezone(timezone),
        limit=_limit(name, option, unit, limit),
        tier=tier,
    )


def _limit(name: str, option: str, unit: str, text: str) -> int:
    if unit == "usd" and _DOLLARS.fullmatch(text):
        return nano_from_usd(text)
    if unit != "usd" and _WHOLE.fullmatch(text):
        return int(text)
    what = "an amount in dollars" if unit == "usd" else "a whole number"
    raise invalid(f"{option} {name!r}: the limit must be {what}, not {text[:40]!r}.", option.removeprefix("--"))


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise invalid(f"--timezone {name!r} is no timezone; write it like Europe/Berlin.", "timezone") from None
    return name
