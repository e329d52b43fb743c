"""Budgets: hard limits in dollars over a window, on a project, on one of its users, or on each of them alike."""

from __future__ import annotations

import re
from dataclasses import replace
from zoneinfo import ZoneInfo

from behest_protocol.claims import user_id_problem
from behest_protocol.money import MAX_LIMIT_NANO, NANO, nano_from_usd

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import BudgetCounters, BudgetStore, Users
from behest_gateway.control.projects import Projects
from behest_gateway.control.publishing import Publishing
from behest_gateway.control.records import BudgetView
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.ids import new_id
from behest_gateway.core.snapshot import Budget, BudgetScope
from behest_gateway.core.windows import WINDOWS, window_at

SCOPES: dict[str, BudgetScope] = {"project": "project", "user": "user", "each_user": "each_user"}

MAX_BUDGETS = 1_000
"""Budgets of a project; a limit that all users have alike is one budget of scope `each_user`."""

_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,18})?")
_TIMEZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


def read_limit(limit_usd: object) -> int:
    """Read a limit in dollars into nano-dollars.

    Raises:
        GatewayError: 400 when it is no amount, negative, or more than a counter can hold exactly.

    >>> read_limit("12.50")
    12500000000
    """
    if isinstance(limit_usd, str) and _AMOUNT.fullmatch(limit_usd.strip()) is None:
        raise invalid("limit_usd is an amount of dollars such as 12.5 or '12.50'", "limit_usd")
    if not isinstance(limit_usd, (int, float, str)):
        raise invalid("limit_usd is a number of dollars", "limit_usd")
    try:
        nano = nano_from_usd(limit_usd.strip() if isinstance(limit_usd, str) else limit_usd)
    except ValueError:
        raise invalid("limit_usd must be a finite number of dollars, 0 or more", "limit_usd") from None
    if nano > MAX_LIMIT_NANO:
        raise invalid(f"limit_usd is at most {MAX_LIMIT_NANO // NANO} for a hard budget", "limit_usd")
    return nano


def check_timezone(timezone: str) -> str:
    """Return a timezone of the tz database; 400 when it is not one."""
    good = len(timezone) <= 64 and _TIMEZONE.fullmatch(timezone) is not None and timezone != "localtime"
    if good:
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            good = False
    if not good:
        raise invalid("timezone is a name of the tz database, such as UTC or Europe/Berlin", "timezone")
    return timezone


class Budgets:
    """Makes, lists, changes and ends budgets. Each change holds for the next request."""

    def __init__(
        self,
        store: BudgetStore,
        projects: Projects,
        publishing: Publishing,
        users: Users,
        counters: BudgetCounters,
        clock: Clock,
    ) -> None:
        self._store = store
        self._projects = projects
        self._publishing = publishing
        self._users = users
        self._counters = counters
        self._clock = clock

    def create(
        self,
        actor: Actor,
        project_id: str,
        *,
        scope: str,
        window: str,
        limit_usd: object,
        user_id: str | None = None,
        timezone: str = "UTC",
    ) -> BudgetView:
        """Make a budget. What its window has seen so far counts against it.

        Raises:
            GatewayError: 400 for a field, 404 for the project, 409 when there are too many.
        """
        self._projects.get(actor, project_id)
        known_scope = SCOPES.get(scope)
        if known_scope is None:
            raise invalid(f"scope is one of {', '.join(SCOPES)}", "scope")
        if window not in WINDOWS:
            raise invalid(f"window is one of {', '.join(WINDOWS)}", "window")
        if scope == "user":
            problem = user_id_problem(user_id)
            if problem is not None:
                raise invalid(problem, "user_id")
        elif user_id is not None:
            raise invalid(f"user_id goes with scope user alone, not with {scope}", "user_id")
        limit_nano = read_limit(limit_usd)
        check_timezone(timezone)
        if len(self._store.budgets(project_id)) >= MAX_BUDGETS:
            raise GatewayError("conflict", f"A project has at most {MAX_BUDGETS} budgets; use scope each_user.")
        budget = Budget(
            id=new_id(),
            project_id=project_id,
            scope=known_scope,
            user_id=user_id,
            window=window,
            timezone=timezone,
            limit_nano=limit_nano,
            created_at=self._clock.now_us(),
        )
        self._store.insert_budget(budget, None if user_id is None else self._users.ref(project_id, user_id))
        # Counted before it is published, so that the first request to see it sees what is spent.
        self._counters.opened(budget)
        self._publishing.project(project_id)
        return self._view(budget)

    def list(self, actor: Actor, project_id: str) -> list[BudgetView]:
        """The budgets of a project, with what they have counted."""
        project = self._projects.get(actor, project_id)
        return [self._view(budget) for budget in self._store.budgets(project.id)]

    def set_limit(self, actor: Actor, project_id: str, budget_id: str, *, limit_usd: object) -> BudgetView:
        """Raise or lower a limit. Below what is spent, it refuses every further call of the window."""
        budget = self._get(actor, project_id, budget_id)
        budget = replace(budget, limit_nano=read_limit(limit_usd))
        self._store.set_limit(budget.id, budget.limit_nano)
        self._publishing.project(project_id)
        return self._view(budget)

    def delete(self, actor: Actor, project_id: str, budget_id: str) -> None:
        """End a budget."""
        budget = self._get(actor, project_id, budget_id)
        self._store.delete_budget(budget.id, self._clock.now_us())
        self._publishing.project(project_id)
        self._counters.closed(budget.id)

    def _get(self, actor: Actor, project_id: str, budget_id: str) -> Budget:
        self._projects.get(actor, project_id)
        budget = self._store.budget(project_id, budget_id)
        if budget is None:
            raise GatewayError("not_found", "There is no budget of this id.")
        return budget

    def _view(self, budget: Budget) -> BudgetView:
        if budget.scope == "each_user":
            resets_at = window_at(budget.window, budget.timezone, self._clock.now_us()).resets_at
            return BudgetView(budget=budget, resets_at=resets_at, spent_nano=None, held_nano=None)
        state = self._counters.state(budget, budget.user_id)
        return BudgetView(
            budget=budget, resets_at=state.resets_at, spent_nano=state.spent_nano, held_nano=state.held_nano
        )
