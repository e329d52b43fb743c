"""Caps to replay under: how they are written, and where a row of the ledger counts in each. No I/O.

A cap is a budget as the gateway knows them, only that it is everybody's: each tenant or project has one of its own.
"""

from __future__ import annotations

import re
from typing import TypeVar
from zoneinfo import ZoneInfo

from behest_protocol.money import nano_from_usd
from behest_protocol.usage import Usage
from msgspec import Struct

from behest_gateway.control.auditing import CHARGED_STATES
from behest_gateway.core.budgets import NAMED_SCOPES, SCOPES, UNITS, Amounts, Budget
from behest_gateway.core.errors import invalid
from behest_gateway.core.windows import MAX_HOURS, WindowKind

Kind = TypeVar("Kind")

_CALENDAR: tuple[WindowKind, ...] = ("day", "month", "lifetime")
_ALIKE = tuple(scope for scope in SCOPES if scope not in NAMED_SCOPES)
_HOURS = re.compile(r"([1-9]\d{0,4})h")
_DOLLARS = re.compile(r"\d{1,9}(\.\d{1,12})?")
_WHOLE = re.compile(r"\d{1,15}")


class Cap(Struct, frozen=True, kw_only=True):
    """A limit to replay under.

    Attributes:
        name: As it was written.
        budget: What is limited. Its owner is whoever a row belongs to.
        tier: Only calls of this tier count; None for all.
    """

    name: str
    budget: Budget
    tier: str | None = None

    def subject_of(self, row: Past, model: str) -> str | None:
        """Which of its counters a row counts in, or None when it counts in none.

        Args:
            model: The one that the row is priced as.
        """
        if self.tier is not None and self.tier != row.tier:
            return None
        budget = self.budget
        named = {"user": row.user_id, "key": row.api_key_id, "model": model}
        if budget.scope in NAMED_SCOPES and named[budget.scope] != budget.subject:
            return None
        owner = row.tenant_id if budget.scope == "tenant" else row.project_id
        return f"{owner} {budget.subject_of(row.user_ref, row.session_id, row.thread_id, row.api_key_id)}"


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
    charged_tokens: int
    price_hash: str
    state: str

    def amounts(self, cost_nano: int) -> Amounts:
        """What it counts as, at a cost."""
        return Amounts(cost_nano, self.charged_tokens, int(self.state in CHARGED_STATES))


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
    if not (scope in _ALIKE and not has_subject) and not (scope in NAMED_SCOPES and subject):
        raise invalid(
            f"--budget {text!r} has no scope that is known: {', '.join(_ALIKE)}, or "
            f"{', '.join(f'{name}:ID' for name in NAMED_SCOPES)}.",
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
    if unit not in UNITS:
        raise invalid(f"{option} {name!r}: the unit is one of {', '.join(UNITS)}.", param)
    hours = _HOURS.fullmatch(window)
    if hours is None and window not in _CALENDAR:
        raise invalid(f"{option} {name!r}: the window is day, month, lifetime or hours like 24h.", param)
    if hours is not None and int(hours[1]) > MAX_HOURS:
        raise invalid(f"{option} {name!r}: a rolling window has at most {MAX_HOURS} hours.", param)
    budget = Budget(
        id=f"{tier}: {name}" if tier else name,
        project_id=None,
        scope=_one_of(SCOPES, scope),
        subject=subject,
        unit=_one_of(UNITS, unit),
        window="rolling" if hours else _one_of(_CALENDAR, window),
        hours=int(hours[1]) if hours else 0,
        timezone=_timezone(timezone),
        limit=_limit(name, option, unit, limit),
    )
    return Cap(name=name, budget=budget, tier=tier)


def _one_of(known: tuple[Kind, ...], name: str) -> Kind:
    """The value that a name is one of, which it is."""
    return next(each for each in known if each == name)


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
