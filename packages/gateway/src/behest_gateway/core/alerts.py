"""When a budget speaks up: at each of its thresholds, once in a window. What it says is an event's fields."""

from __future__ import annotations

from typing import NamedTuple

from behest_protocol.money import usd_text

from behest_gateway.core.budgets import Budget, BudgetState
from behest_gateway.core.clock import iso
from behest_gateway.core.events import Event, new_event
from behest_gateway.core.windows import MINUTE, SLICES, window_at

EXCEEDED = 100
_NAMED = {"key": "key_id", "model": "model"}


class Alert(NamedTuple):
    """A threshold of a budget was passed. The first four fields are what happens once.

    Attributes:
        window_id: The window; of a rolling budget, the stretch of its length that the moment falls in.
        percent: The threshold; 100 also for the first call that the budget refused.
    """

    budget_id: str
    subject: str
    window_id: str
    percent: int
    tenant_id: str
    budget: Budget
    spent: int
    resets_at: int | None
    user_id: str | None
    session_id: str | None
    thread_id: str | None
    at: int

    @property
    def event(self) -> Event:
        """What is told of it. A budget that everybody has one of says whose it is."""
        budget = self.budget
        told = {
            "budget_id": budget.id,
            "scope": budget.scope,
            "unit": budget.unit,
            "limit": _text(budget.unit, budget.limit),
            "used": _text(budget.unit, self.spent),
            "percent": str(self.percent),
            "window": budget.window if budget.window != "rolling" else f"{budget.hours}h",
            "mode": budget.mode,
        }
        if self.resets_at is not None:
            told["resets_at"] = iso(self.resets_at)
        if self.user_id is not None:
            told["user_id"] = self.user_id
        if self.session_id is not None:
            told["session_id"] = self.session_id
        if self.thread_id is not None:
            told["thread_id"] = self.thread_id
        if budget.subject is not None and budget.scope != "user":
            told[_NAMED[budget.scope]] = budget.subject
        kind = "budget_exceeded" if self.percent >= EXCEEDED else "budget_alert"
        return new_event(kind, tenant_id=self.tenant_id, project_id=budget.project_id, at=self.at, **told)


def _text(unit: str, amount: int) -> str:
    return usd_text(amount) if unit == "usd" else str(amount)


def alert_window(budget: Budget, now_us: int) -> str:
    """The window within which a threshold is told of once. A lifetime begins anew with each top-up."""
    if budget.window == "lifetime":
        return f"lifetime of {budget.limit}"
    if budget.window != "rolling":
        return budget.window_at(now_us).id
    length = SLICES * budget.hours * MINUTE
    return window_at("rolling", "UTC", now_us // length * length, budget.hours).id


def passed(state: BudgetState, before: int) -> list[int]:
    """The thresholds that a counter passed on its way from `before` to what it has spent now, in percent.

    >>> from behest_gateway.core.budgets import Budget
    >>> budget = Budget(id="b", project_id="p", scope="project", window="day", limit=200)
    >>> passed(BudgetState(budget=budget, spent=160, held=0, resets_at=0), 90)
    [50, 80]
    """
    limit, spent = state.budget.limit, state.spent
    if spent <= before:
        return []
    return [percent for percent in state.budget.thresholds if before * 100 < percent * limit <= spent * 100]
