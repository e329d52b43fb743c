"""What was used, in the two shapes that the published clients ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from behest_protocol.money import usd_from_nano
from msgspec import Struct

from behest_gateway.core.budgets import Budget, BudgetSet, BudgetState, budget_facts
from behest_gateway.core.clock import iso
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.exchange import Caller

STEPS = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
"""Granularities, in microseconds."""

MAX_ROWS = 5_000
DEFAULT_DAYS = 30


class Span(Struct, frozen=True, kw_only=True):
    """Whose usage, from when until when, in microseconds since 1970; the end is not part of it."""

    project_id: str
    user_id: str | None
    starts_at: int
    ends_at: int


class UsageSum(Struct, frozen=True):
    """Sums over a span."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost_nano: int


class ModelUsage(Struct, frozen=True):
    """Sums over one model; `byok` when the customer's own provider key paid."""

    byok: bool
    model: str
    sum: UsageSum


class UsageReader(Protocol):
    """Sums of the ledger."""

    async def totals(self, span: Span) -> UsageSum:
        """The sums over a span."""
        ...

    async def by_time(self, span: Span, step_us: int) -> list[tuple[int, UsageSum]]:
        """The sums over each step of a span that has any, in order."""
        ...

    async def by_model(self, span: Span) -> list[ModelUsage]:
        """The sums over each model."""
        ...


def parse_time(text: str, name: str, *, end: bool = False) -> int:
    """Read a date or a time as microseconds since 1970. A plain date as an end includes that day.

    Raises:
        GatewayError: `validation_error`, naming the parameter.

    >>> parse_time("2026-04-01 00:00:00+00:00", "from") == parse_time("2026-04-01", "from")
    True
    """
    value = text.strip()
    # A raw `+` in a query arrives as a space: `…T00:00:00 00:00`.
    if len(value) > 6 and value[-6] == " " and value[-3] == ":":
        value = f"{value[:-6]}+{value[-5:]}"
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise invalid(f"'{name}' must be a date or an ISO 8601 time, not {text[:40]!r}.", name) from None
    if not 1970 < moment.year < 9999:
        raise invalid(f"'{name}' must be between the years 1971 and 9998.", name)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if end and len(value) == 10:
        moment += timedelta(days=1)
    return int(moment.timestamp() * 1_000_000)


def span_of(caller: Caller, query: dict[str, str], now_us: int, *, whole_project: bool) -> Span:
    """Whose usage a caller asks for, and whether they may see it.

    A user sees their own; an admin sees the project's, or one user's.

    Raises:
        GatewayError: `forbidden` for somebody else's usage, `validation_error` for a time that is none.
    """
    wanted = query.get("user_id") or None
    if caller.role == "user":
        if wanted is not None and wanted != caller.user_id:
            raise GatewayError("forbidden", "A user's token shows only that user's own usage.")
        wanted = None if whole_project else caller.user_id
    ends_at = parse_time(query["to"], "to", end=True) if query.get("to") else now_us + 1
    starts_at = parse_time(query["from"], "from") if query.get("from") else ends_at - DEFAULT_DAYS * STEPS["day"]
    if starts_at > ends_at:
        raise invalid("'from' must not be later than 'to'.", "from")
    return Span(project_id=caller.project_id, user_id=wanted, starts_at=starts_at, ends_at=ends_at)


def _sums(usage: UsageSum) -> dict[str, Any]:
    return {
        "requests": usage.requests,
        "tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": usd_from_nano(usage.cost_nano),
    }


def budgets_shown(budgets: BudgetSet, user_id: str, role: str) -> list[Budget]:
    """The budgets that a caller may see. What a tenant or a key has in all is not for users to know."""
    return [
        budget
        for budget in budgets.all
        if (budget.scope != "user" or budget.subject == user_id)
        and budget.scope != "each_key"
        and (role != "user" or budget.scope not in ("tenant", "key"))
    ]


def budget_line(state: BudgetState) -> dict[str, Any]:
    """A budget as its user sees it."""
    facts = budget_facts(state)
    return {"id": facts.pop("budget_id"), **facts, "mode": state.budget.mode}


async def usage_report(
    reader: UsageReader, span: Span, granularity: str | None, budgets: list[BudgetState]
) -> dict[str, Any]:
    """`GET /v1/usage`.

    Raises:
        GatewayError: `validation_error` for an unknown granularity, or one too fine for the span.
    """
    step = STEPS.get(granularity or "day")
    if step is None:
        raise invalid(f"'granularity' must be one of {', '.join(STEPS)}.", "granularity")
    if (span.ends_at - span.starts_at) // step > MAX_ROWS:
        raise invalid("This span is too long for this granularity; ask for a shorter one, or for days.", "granularity")
    breakdown = await reader.by_time(span, step)
    totals = UsageSum(
        sum(s.requests for _, s in breakdown),
        sum(s.input_tokens for _, s in breakdown),
        sum(s.output_tokens for _, s in breakdown),
        sum(s.cost_nano for _, s in breakdown),
    )
    return {
        "totals": _sums(totals),
        "breakdown": [{"timestamp": iso(at), **_sums(usage)} for at, usage in breakdown],
        "budgets": [budget_line(state) for state in budgets],
    }


def _bucket(rows: list[ModelUsage]) -> dict[str, Any]:
    return {
        "requests": sum(row.sum.requests for row in rows),
        "input_tokens": sum(row.sum.input_tokens for row in rows),
        "output_tokens": sum(row.sum.output_tokens for row in rows),
        "cost_usd": usd_from_nano(sum(row.sum.cost_nano for row in rows)),
        "by_model": [
            {"model": row.model, "requests": row.sum.requests, "cost_usd": usd_from_nano(row.sum.cost_nano)}
            for row in rows
        ],
    }


async def billing_report(reader: UsageReader, span: Span) -> dict[str, Any]:
    """`GET /v1/billing/usage`: what the platform's keys paid, and what the customer's own did."""
    rows = await reader.by_model(span)
    return {
        "project_id": span.project_id,
        "window": {"from": iso(span.starts_at), "to": iso(span.ends_at)},
        "platform": _bucket([row for row in rows if not row.byok]),
        "byok": _bucket([row for row in rows if row.byok]),
    }
