"""Budgets: limits over a window on a tenant, a project, a user, a session, a thread, an API key or a model."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

from behest_protocol.claims import user_id_problem
from behest_protocol.money import MAX_LIMIT_NANO, NANO, nano_from_usd

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import BudgetCounters, BudgetStore, Users
from behest_gateway.control.projects import Projects
from behest_gateway.control.publishing import Publishing
from behest_gateway.control.records import BudgetView, TopUp
from behest_gateway.control.tenants import Tenants
from behest_gateway.core.budgets import SCOPES, SINGLE_SCOPES, THRESHOLDS, UNITS, Budget, BudgetMode, BudgetScope, Unit
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.ids import new_id
from behest_gateway.core.windows import MAX_HOURS, WINDOWS, WindowKind, window_at

MAX_BUDGETS = 1_000
"""Budgets of a project; a limit that all users have alike is one budget of scope `each_user`."""

MAX_COUNT = 10**15
"""The largest limit in tokens or requests."""

MAX_THRESHOLDS = 10
MAX_NOTE = 200
MODES: tuple[BudgetMode, ...] = ("enforce", "shadow")

_SUBJECT_FIELDS = {"user": "user_id", "key": "key_id", "model": "model"}
_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,18})?")
_TIMEZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_MODEL = re.compile(r"[!-~]{1,200}")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Place(NamedTuple):
    """Whose budgets: a project's, or a whole tenant's when `project_id` is None."""

    tenant_id: str
    project_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A limit as it was sent: exactly one of the three."""

    usd: object = None
    tokens: object = None
    requests: object = None

    def given(self) -> list[tuple[Unit, object]]:
        """Those that were sent."""
        return [(unit, value) for unit in UNITS if (value := getattr(self, unit)) is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWish:
    """A budget as it was asked for."""

    scope: str
    window: str
    limits: Limits
    hours: int | None = None
    timezone: str = "UTC"
    mode: str = "enforce"
    thresholds: list[int] | None = None
    user_id: str | None = None
    key_id: str | None = None
    model: str | None = None


def read_limit(limit_usd: object, name: str = "limit_usd") -> int:
    """Read a limit in dollars into nano-dollars.

    Raises:
        GatewayError: 400 when it is no amount, negative, or more than a counter can hold exactly.

    >>> read_limit("12.50")
    12500000000
    """
    if isinstance(limit_usd, str) and _AMOUNT.fullmatch(limit_usd.strip()) is None:
        raise invalid(f"{name} is an amount of dollars such as 12.5 or '12.50'", name)
    if not isinstance(limit_usd, (int, float, str)):
        raise invalid(f"{name} is a number of dollars", name)
    try:
        nano = nano_from_usd(limit_usd.strip() if isinstance(limit_usd, str) else limit_usd)
    except ValueError:
        raise invalid(f"{name} must be a finite number of dollars, 0 or more", name) from None
    if nano > MAX_LIMIT_NANO:
        raise invalid(f"{name} is at most {MAX_LIMIT_NANO // NANO} for a hard budget", name)
    return nano


def read_limits(limits: Limits, prefix: str = "limit") -> tuple[Unit, int]:
    """Read the one limit that was sent.

    Raises:
        GatewayError: 400 when there is none, there are several, or it is out of range.

    >>> read_limits(Limits(tokens=50_000))
    ('tokens', 50000)
    """
    names = [f"{prefix}_{unit}" for unit in UNITS]
    given = limits.given()
    if len(given) != 1:
        raise invalid(f"exactly one of {', '.join(names)} is required", names[0])
    [(unit, value)] = given
    name = f"{prefix}_{unit}"
    if unit == "usd":
        return unit, read_limit(value, name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise invalid(f"{name} is a whole number from 0 to {MAX_COUNT}", name)
    return unit, value


def read_thresholds(thresholds: list[int] | None) -> tuple[int, ...]:
    """Read the percentages at which a budget speaks up.

    Raises:
        GatewayError: 400 when there are too many, or one is not from 1 to 100.
    """
    if thresholds is None:
        return THRESHOLDS
    if len(thresholds) > MAX_THRESHOLDS or any(not 1 <= percent <= 100 for percent in thresholds):
        raise invalid(f"thresholds are up to {MAX_THRESHOLDS} whole numbers from 1 to 100", "thresholds")
    return tuple(sorted(set(thresholds)))


def _chosen(value: str, choices: tuple[str, ...], name: str) -> str:
    if value not in choices:
        raise invalid(f"{name} is one of {', '.join(choices)}", name)
    return value


def read_hours(window: str, hours: int | None) -> int:
    """Read the length of a rolling window.

    Raises:
        GatewayError: 400 when it is missing, out of range, or sent with another window.
    """
    if window != "rolling":
        if hours:
            raise invalid("hours goes with window rolling alone", "hours")
        return 0
    if hours is None or not 1 <= hours <= MAX_HOURS:
        raise invalid(f"a rolling window needs hours, from 1 to {MAX_HOURS}", "hours")
    return hours


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
        tenants: Tenants,
        projects: Projects,
        publishing: Publishing,
        users: Users,
        counters: BudgetCounters,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._projects = projects
        self._publishing = publishing
        self._users = users
        self._counters = counters
        self._clock = clock

    def of_project(self, actor: Actor, project_id: str) -> Place:
        """A project's place; 404 when there is none, or it is another tenant's."""
        return Place(self._projects.get(actor, project_id).tenant_id, project_id)

    def of_tenant(self, actor: Actor, tenant_id: str | None, *, to_change: bool = False) -> Place:
        """A tenant's place. Its admins see what they are allowed; only an operator changes it."""
        place = Place(self._tenants.get(actor, tenant_id).id, None)
        if to_change:
            actor.require_operator()
        return place

    def create(self, place: Place, wish: BudgetWish) -> BudgetView:
        """Make a budget. What its window has seen so far counts against it; a lifetime begins with nothing.

        Raises:
            GatewayError: 400 for a field, 404 for the API key, 409 when there are too many.
        """
        scope = cast("BudgetScope", _chosen(wish.scope, SCOPES, "scope"))
        if (scope == "tenant") != (place.project_id is None):
            raise invalid("scope tenant, and no other, is made at /v1/tenants/me/budgets", "scope")
        window = cast("WindowKind", _chosen(wish.window, WINDOWS, "window"))
        subject = self._subject(place, wish)
        unit, limit = read_limits(wish.limits)
        budget = Budget(
            id=new_id(),
            tenant_id=place.tenant_id,
            project_id=place.project_id,
            scope=scope,
            subject=subject,
            unit=unit,
            window=window,
            hours=read_hours(window, wish.hours),
            timezone=check_timezone(wish.timezone),
            limit=limit,
            mode=cast("BudgetMode", _chosen(wish.mode, MODES, "mode")),
            thresholds=read_thresholds(wish.thresholds),
            created_at=self._clock.now_us(),
        )
        if len(self._list(place)) >= MAX_BUDGETS:
            raise GatewayError(
                "conflict", f"There are at most {MAX_BUDGETS} budgets; one of scope each_user is enough for all users."
            )
        user_ref = self._users.ref(place.project_id or "", subject) if scope == "user" and subject else None
        self._store.insert_budget(budget, user_ref)
        # Counted before it is published, so that the first request to see it sees what is spent.
        self._counters.opened(budget)
        self._publish(place)
        return self._view(budget)

    def _subject(self, place: Place, wish: BudgetWish) -> str | None:
        """What a named scope is about, checked; 400 for a name that does not belong."""
        named = {"user": wish.user_id, "key": wish.key_id, "model": wish.model}
        for scope, value in named.items():
            if scope != wish.scope and value is not None:
                field = _SUBJECT_FIELDS[scope]
                raise invalid(f"{field} goes with scope {scope} alone, not with {wish.scope}", field)
        subject = named.get(wish.scope)
        match wish.scope:
            case "user":
                problem = user_id_problem(subject)
                if problem is not None:
                    raise invalid(problem, "user_id")
            case "key":
                if subject is None or self._store.key(place.project_id or "", subject) is None:
                    raise invalid("key_id is the id of one of the project's API keys", "key_id")
            case "model":
                if subject is None or _MODEL.fullmatch(subject) is None:
                    raise invalid("model is a model's name, up to 200 visible ASCII characters", "model")
            case _:
                pass
        return subject

    def _list(self, place: Place) -> list[Budget]:
        if place.project_id is None:
            return self._store.tenant_budgets(place.tenant_id)
        return self._store.budgets(place.project_id)

    def get(self, place: Place, budget_id: str) -> BudgetView:
        """One budget; 404 when there is none."""
        return self._view(self._get(place, budget_id))

    def change(
        self,
        place: Place,
        budget_id: str,
        *,
        limits: Limits,
        mode: str | None = None,
        thresholds: list[int] | None = None,
    ) -> BudgetView:
        """Change a limit, a mode or thresholds. A limit below what is spent refuses every further call of the window.

        Raises:
            GatewayError: 400 for a field, or a limit in another unit; 404 when there is no such budget.
        """
        budget = self._get(place, budget_id)
        if limits.given():
            unit, limit = read_limits(limits)
            if unit != budget.unit:
                raise invalid(
                    f"limit_{unit} does not fit a budget of {budget.unit}; send limit_{budget.unit}", f"limit_{unit}"
                )
            budget = replace(budget, limit=limit)
        elif mode is None and thresholds is None:
            raise invalid(f"nothing to change: send limit_{budget.unit}, mode or thresholds", f"limit_{budget.unit}")
        if mode is not None:
            budget = replace(budget, mode=cast("BudgetMode", _chosen(mode, MODES, "mode")))
        if thresholds is not None:
            budget = replace(budget, thresholds=read_thresholds(thresholds))
        self._store.update_budget(budget)
        self._publish(place)
        return self._view(budget)

    def top_up(
        self,
        actor: Actor,
        place: Place,
        budget_id: str,
        *,
        amounts: Limits,
        note: str = "",
        top_up_id: str | None = None,
    ) -> tuple[TopUp, BudgetView]:
        """Add to a prepaid budget: one of a lifetime. The same id a second time adds nothing.

        Raises:
            GatewayError: 400 for a field; 404 when there is no such budget; 409 when its window is another, it is one
                that everybody has, or the id was used for something else.
        """
        budget = self._get(place, budget_id)
        if budget.window != "lifetime" or budget.scope not in SINGLE_SCOPES:
            raise GatewayError("conflict", "Only a budget with window lifetime and a single counter can be topped up.")
        unit, amount = read_limits(amounts, "amount")
        if unit != budget.unit or amount == 0:
            raise invalid(f"amount_{budget.unit} above 0 is required for this budget", f"amount_{budget.unit}")
        if top_up_id is not None and _ID.fullmatch(top_up_id) is None:
            raise invalid("id has up to 128 letters, digits and . _ : -", "id")
        if len(note) > MAX_NOTE or not note.isprintable():
            raise invalid(f"note has up to {MAX_NOTE} printable characters", "note")
        record = TopUp(
            id=top_up_id or new_id(),
            budget_id=budget.id,
            amount=amount,
            note=note,
            added_by=actor.name,
            added_at=self._clock.now_us(),
        )
        earlier = self._store.top_up(budget.id, record.id)
        if earlier is not None:
            if earlier.amount != amount:
                raise GatewayError("conflict", "This id was used for a top-up of another amount.", param="id")
            return earlier, self._view(budget)
        most = MAX_LIMIT_NANO if unit == "usd" else MAX_COUNT
        budget = replace(budget, limit=budget.limit + amount)
        if budget.limit > most:
            raise invalid(f"amount_{unit} would take the budget above the largest limit", f"amount_{unit}")
        self._store.add_top_up(record)
        self._publish(place)
        return record, self._view(budget)

    def top_ups(self, place: Place, budget_id: str) -> list[TopUp]:
        """What was added to a budget, oldest first."""
        return self._store.top_ups(self._get(place, budget_id).id)

    def delete(self, place: Place, budget_id: str) -> None:
        """End a budget."""
        budget = self._get(place, budget_id)
        self._store.delete_budget(budget.id, self._clock.now_us())
        self._publish(place)

    def _publish(self, place: Place) -> None:
        if place.project_id is None:
            self._publishing.tenant(place.tenant_id)
        else:
            self._publishing.project(place.project_id)

    def _get(self, place: Place, budget_id: str) -> Budget:
        budget = next((budget for budget in self._list(place) if budget.id == budget_id), None)
        if budget is None:
            raise GatewayError("not_found", "There is no budget of this id.")
        return budget

    def _view(self, budget: Budget) -> BudgetView:
        refused = self._counters.refused(budget)
        if budget.scope not in SINGLE_SCOPES:
            window = window_at(budget.window, budget.timezone, self._clock.now_us(), budget.hours)
            resets_at = None if budget.window == "rolling" else window.resets_at
            return BudgetView(budget=budget, resets_at=resets_at, spent=None, held=None, refused=refused)
        state = self._counters.state(budget, budget.subject if budget.scope == "user" else None)
        return BudgetView(budget=budget, resets_at=state.resets_at, spent=state.spent, held=state.held, refused=refused)

    def list(self, place: Place) -> list[BudgetView]:
        """The budgets of a project or a tenant, with what they have counted."""
        return [self._view(budget) for budget in self._list(place)]
