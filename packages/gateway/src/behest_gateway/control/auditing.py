"""Whether the books are right: every row priced again, every counter added up again. No I/O.

A row's price is the vector that it names by its hash, and the hash itself is made again from the vector. A row names
the budgets that it counted in; where in them follows from the budget's scope and calendar. A row that was settled
before its budget was made counts as well, since a new budget takes over what its window has seen; a request that was
under way at that moment does not. A row that is older than that list counts by the budgets' scopes alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from behest_protocol.usage import Usage
from msgspec import Struct

from behest_gateway.core.budgets import Budget, quota_of
from behest_gateway.core.prices import PriceVector, cost_nano, vector_hash
from behest_gateway.core.windows import counts_from

CounterKey: TypeAlias = tuple[str, str, str]
"""Budget, subject, window."""

CHARGED_STATES = ("settled", "estimated", "unconfirmed")
"""States of an attempt that a provider may have served."""


class Difference(Struct, frozen=True, kw_only=True):
    """Something in the books that is not as it must be.

    Attributes:
        what: `row`, `price`, `counter` or `rollup`.
        name: Which one.
        expected: What it must be: nano-dollars, or words.
        found: What it is.
    """

    what: str
    name: str
    expected: str
    found: str


class BookedRow(Struct, frozen=True, kw_only=True):
    """What the checks need of a row of the ledger. `budgets` is None for a row from before rows named them."""

    attempt_id: str
    attempt: int
    started_at: int
    settled_at: int
    tenant_id: str
    project_id: str
    user_ref: int
    api_key_id: str | None
    session_id: str | None
    thread_id: str | None
    model: str
    usage: Usage
    hold_nano: int
    cost_nano: int
    hold_tokens: int
    charged_tokens: int
    price_hash: str
    state: str
    budgets: tuple[str, ...] | None

    def charged(self, unit: str) -> int:
        """What it counts as in a budget of that unit."""
        if unit == "usd":
            return self.cost_nano
        return self.charged_tokens if unit == "tokens" else int(self.state in CHARGED_STATES)


class BookedBudget(Struct, frozen=True):
    """A budget, with the number of its user and its end, if any."""

    budget: Budget
    user_ref: int | None
    deleted_at: int | None


def price_difference(price: PriceVector) -> Difference | None:
    """Say when a price vector is not the one that its hash stands for."""
    made = vector_hash(price.provider, price.model, price.bands)
    if made == price.hash:
        return None
    return Difference(what="price", name=price.hash, expected=f"the vector of {price.hash}", found=f"that of {made}")


def row_difference(row: BookedRow, prices: dict[str, PriceVector]) -> Difference | None:
    """Say when a row is not charged as its state, its tokens, its hold and its price say."""
    if row.attempt == 0 or row.state in ("refused", "released"):
        return _unless(row, "0", "0")
    price = prices.get(row.price_hash)
    if price is None:
        return Difference(
            what="row", name=row.attempt_id, expected=f"a price of hash {row.price_hash}", found="no such price"
        )
    if row.state == "settled":
        return _unless(row, str(cost_nano(row.usage, price)), str(row.usage.input + row.usage.output))
    if row.state == "unconfirmed":
        return _unless(row, str(row.hold_nano), str(row.hold_tokens))
    if row.state == "estimated":
        if 0 <= row.cost_nano <= row.hold_nano and 0 <= row.charged_tokens <= row.hold_tokens:
            return None
        return _unless(row, f"0 to {row.hold_nano}", f"0 to {row.hold_tokens}")
    return Difference(what="row", name=row.attempt_id, expected="a state that is charged", found=row.state)


def _unless(row: BookedRow, nano: str, tokens: str) -> Difference | None:
    if (nano, tokens) == (str(row.cost_nano), str(row.charged_tokens)):
        return None
    return Difference(
        what="row",
        name=row.attempt_id,
        expected=f"{nano} nano-USD, {tokens} tokens",
        found=f"{row.cost_nano} nano-USD, {row.charged_tokens} tokens",
    )


class CounterSums:
    """The counters as the rows make them; rows are added one by one. A quota says by its id how it counts."""

    def __init__(self, budgets: Iterable[BookedBudget]) -> None:
        self.sums: dict[CounterKey, int] = {}
        self._booked = {booked.budget.id: booked for booked in budgets}
        self._by_place: dict[str, list[BookedBudget]] = {}
        for booked in self._booked.values():
            budget = booked.budget
            self._by_place.setdefault(budget.project_id or budget.tenant_id, []).append(booked)

    def add(self, row: BookedRow) -> None:
        """Count a row in every budget that it belongs to."""
        if row.state not in CHARGED_STATES:
            return
        named = row.budgets
        for budget_id in named or ():
            booked = self._booked.get(budget_id)
            budget = quota_of(budget_id) if booked is None else booked.budget
            if budget is not None:
                self._count(row, budget)
        for place in (row.project_id, row.tenant_id):
            for booked in self._by_place.get(place, ()):
                if named is not None and booked.budget.id in named:
                    continue
                if _is_about(row, booked) and (_is_taken_over(row, booked) or (named is None and _counts(row, booked))):
                    self._count(row, booked.budget)

    def _count(self, row: BookedRow, budget: Budget) -> None:
        amount = row.charged(budget.unit)
        if amount:
            subject = budget.subject_of(row.user_ref, row.session_id, row.thread_id, row.api_key_id)
            key = budget.id, subject, budget.window_at(row.started_at).id
            self.sums[key] = self.sums.get(key, 0) + amount

    def differences(self, found: dict[CounterKey, int]) -> list[Difference]:
        """Compare with the counters that are kept. One that is absent is 0."""
        return [
            Difference(
                what="counter",
                name=f"budget {key[0]}, {key[1] or 'all'}, {key[2]}",
                expected=str(self.sums.get(key, 0)),
                found=str(found.get(key, 0)),
            )
            for key in sorted(self.sums.keys() | found.keys())
            if self.sums.get(key, 0) != found.get(key, 0)
        ]


def _is_about(row: BookedRow, booked: BookedBudget) -> bool:
    budget = booked.budget
    match budget.scope:
        case "user":
            return row.user_ref == booked.user_ref
        case "key":
            return row.api_key_id == budget.subject
        case "model":
            return row.model == budget.subject
        case _:
            return True


def _is_taken_over(row: BookedRow, booked: BookedBudget) -> bool:
    """It was in the books when the budget was made, and of what its window saw then."""
    budget = booked.budget
    if budget.window == "lifetime" or row.settled_at > budget.created_at or row.started_at > budget.created_at:
        return False
    window = budget.window_at(row.started_at).id
    return window >= counts_from(budget.window, budget.timezone, budget.created_at, budget.hours)


def _counts(row: BookedRow, booked: BookedBudget) -> bool:
    """It came while the budget was in force."""
    return row.started_at >= booked.budget.created_at and (
        booked.deleted_at is None or row.started_at < booked.deleted_at
    )


class Audit(Struct, frozen=True, kw_only=True):
    """What was checked, and what differs."""

    rows: int
    prices: int
    counters: int
    rollups: int
    cost_nano: int
    estimated: int
    differences: list[Difference]

    @property
    def is_right(self) -> bool:
        """Everything is equal to the nano-dollar."""
        return not self.differences
