"""A budget: what it limits, and which of its counters a call belongs to.

A budget has one counter for everything that it is about, or one for each user, session, thread or key. Which one a call
counts in is its `subject`, a text that is empty when there is only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

from behest_protocol.money import usd_from_nano

from behest_gateway.core.clock import iso
from behest_gateway.core.windows import Window, WindowKind, window_at

BudgetScope: TypeAlias = Literal[
    "tenant", "project", "user", "each_user", "each_session", "each_thread", "key", "each_key", "model"
]
Unit: TypeAlias = Literal["usd", "tokens", "requests"]
BudgetMode: TypeAlias = Literal["enforce", "shadow"]

SCOPES: tuple[BudgetScope, ...] = get_args(BudgetScope)
NAMED_SCOPES = ("user", "key", "model")
"""Scopes that are about one thing, which `Budget.subject` names."""

SINGLE_SCOPES = ("tenant", "project", "user", "key", "model")
"""Scopes with a single counter."""

UNITS: tuple[Unit, ...] = get_args(Unit)
THRESHOLDS = (50, 80, 100)


class Amounts(NamedTuple):
    """What a call takes of a budget, in each unit."""

    nano: int
    tokens: int
    requests: int


NOTHING = Amounts(0, 0, 0)


class Slot(NamedTuple):
    """Where an amount counts: a budget, one of its subjects, a window; `unit` is the place in `Amounts`."""

    budget_id: str
    subject: str
    window_id: str
    unit: int


class Caught(Protocol):
    """What a budget needs to know of a call, to see whether it is about it."""

    @property
    def user_id(self) -> str: ...

    @property
    def api_key_id(self) -> str | None: ...

    @property
    def session_id(self) -> str | None: ...

    @property
    def thread_id(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A limit over a window.

    Attributes:
        project_id: None for a budget of a whole tenant.
        subject: The user, API key or model that a named scope is about.
        window: `rolling` looks `hours` back from now, in steps of a sixtieth; `lifetime` never ends.
        limit: Nano-dollars, tokens or requests, by `unit`.
        mode: `shadow` counts, and notes what it would have refused, but refuses nothing.
        thresholds: Percent of the limit at which an event is made, once in a window.
        source: `budget` when somebody made it, `tier` or `plan` when it follows from one.
    """

    id: str
    tenant_id: str = ""
    project_id: str | None
    scope: BudgetScope
    subject: str | None = None
    unit: Unit = "usd"
    window: WindowKind
    hours: int = 0
    timezone: str = "UTC"
    limit: int
    mode: BudgetMode = "enforce"
    thresholds: tuple[int, ...] = THRESHOLDS
    source: Literal["budget", "tier", "plan"] = "budget"
    created_at: int = 0

    @cached_property
    def unit_index(self) -> int:
        """Where its unit is in `Amounts`."""
        return UNITS.index(self.unit)

    @cached_property
    def is_enforced(self) -> bool:
        """It refuses what does not fit."""
        return self.mode == "enforce"

    @cached_property
    def needs_a_bound(self) -> bool:
        """It refuses what could take more of it than can be foreseen; a request is one request, whatever is in it."""
        return self.is_enforced and self.unit != "requests"

    def window_at(self, now_us: int) -> Window:
        """The window that an instant falls in."""
        return window_at(self.window, self.timezone, now_us, self.hours)

    def subject_of(self, user_ref: int, session_id: str | None, thread_id: str | None, api_key_id: str | None) -> str:
        """Which of its counters a call belongs to.

        Sessions and threads are their user's: nobody can spend another's by naming it. The calls of a user that name
        no session count together, as one more.
        """
        match self.scope:
            case "each_user":
                return str(user_ref)
            case "each_session":
                return f"{user_ref}/{session_id or ''}"
            case "each_thread":
                return f"{user_ref}/{thread_id or ''}"
            case "each_key":
                return api_key_id or ""
            case _:
                return ""


def quota(
    owner: Literal["tier", "plan"], owner_id: str, unit: Unit, window: Literal["day", "month"], limit: int
) -> Budget:
    """A budget that nobody made, but that follows from a user's tier (for each user of a project) or a tenant's plan.

    Its id says all that its counters need, so that they stay the same when a user changes tiers or a limit is changed.
    """
    return Budget(
        id=f"{owner}:{owner_id}:{unit}:{window}",
        tenant_id=owner_id if owner == "plan" else "",
        project_id=owner_id if owner == "tier" else None,
        scope="each_user" if owner == "tier" else "tenant",
        unit=unit,
        window=window,
        limit=limit,
        source=owner,
    )


def quota_of(budget_id: str) -> Budget | None:
    """Read the id of a quota back into a budget, without its limit; None when it is not one's.

    >>> quota_of("tier:p:tokens:day").scope
    'each_user'
    """
    match budget_id.split(":"):
        case ["tier" | "plan" as owner, owner_id, "tokens" | "requests" as unit, "day" | "month" as window]:
            return quota(owner, owner_id, unit, window, 0)
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """One counter of a budget, now, in the budget's unit. `resets_at` is None for a budget that never resets."""

    budget: Budget
    spent: int
    held: int
    resets_at: int | None

    @property
    def left(self) -> int:
        """What may still be held."""
        return self.budget.limit - self.spent - self.held


def shown(unit: Unit, amount: int) -> float | int:
    """An amount as JSON shows it: dollars, tokens or requests."""
    return usd_from_nano(amount) if unit == "usd" else amount


def budget_facts(state: BudgetState) -> dict[str, Any]:
    """A budget's counter as JSON, the same wherever one is shown; amounts are named by their unit."""
    budget = state.budget
    unit = budget.unit
    facts: dict[str, Any] = {
        "budget_id": budget.id,
        "scope": budget.scope,
        "window": budget.window,
        f"limit_{unit}": shown(unit, budget.limit),
        f"spent_{unit}": shown(unit, state.spent),
        f"held_{unit}": shown(unit, state.held),
        "resets_at": None if state.resets_at is None else iso(state.resets_at),
    }
    if budget.window == "rolling":
        facts["hours"] = budget.hours
    if budget.scope == "model":
        facts["model"] = budget.subject
    return facts


class BudgetSet:
    """Budgets, sorted so that those of one call are found without looking at all of them."""

    __slots__ = ("_common", "_named", "all")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BudgetSet) and self.all == other.all

    def __hash__(self) -> int:
        return hash(self.all)

    def __init__(self, budgets: tuple[Budget, ...] = ()) -> None:
        self.all = budgets
        self._common = tuple(b for b in budgets if b.scope not in NAMED_SCOPES)
        self._named: dict[tuple[str, str | None], tuple[Budget, ...]] = {}
        for budget in budgets:
            if budget.scope in NAMED_SCOPES:
                key = (budget.scope, budget.subject)
                self._named[key] = (*self._named.get(key, ()), budget)

    def of(self, call: Caught, model: str) -> tuple[Budget, ...]:
        """The budgets that a call counts against."""
        named = self._named
        if not named:
            return self._common
        return (
            *self._common,
            *named.get(("user", call.user_id), ()),
            *named.get(("key", call.api_key_id), ()),
            *named.get(("model", model), ()),
        )
