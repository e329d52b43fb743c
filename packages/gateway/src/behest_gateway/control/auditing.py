"""Whether the books are right: every row priced again, every counter added up again. No I/O.

A row's price is the vector that it names by its hash, and the hash itself is made again from the vector. A counter is
added up from the rows: those of its budget's scope whose request came in its window, by the budget's own calendar. A
row that was settled before its budget was made counts as well, since a new budget takes over what its window has seen;
a request that was under way at that moment does not, and neither does one that came after the budget's end.
"""

from __future__ import annotations

from collections.abc import Iterable

from behest_protocol.usage import Usage
from msgspec import Struct

from behest_gateway.core.counters import CounterKey, key_of
from behest_gateway.core.prices import PriceVector, cost_nano, vector_hash
from behest_gateway.core.snapshot import Budget
from behest_gateway.core.windows import window_at


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
    """What the checks need of a row of the ledger."""

    attempt_id: str
    attempt: int
    started_at: int
    settled_at: int
    project_id: str
    user_ref: int
    usage: Usage
    hold_nano: int
    cost_nano: int
    price_hash: str
    state: str


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
        return _unless(row, row.cost_nano == 0, "0")
    price = prices.get(row.price_hash)
    if price is None:
        return Difference(
            what="row", name=row.attempt_id, expected=f"a price of hash {row.price_hash}", found="no such price"
        )
    if row.state == "settled":
        expected = cost_nano(row.usage, price)
        return _unless(row, row.cost_nano == expected, str(expected))
    if row.state == "unconfirmed":
        return _unless(row, row.cost_nano == row.hold_nano, str(row.hold_nano))
    if row.state == "estimated":
        return _unless(row, 0 <= row.cost_nano <= row.hold_nano, f"0 to {row.hold_nano}")
    return Difference(what="row", name=row.attempt_id, expected="a state that is charged", found=row.state)


def _unless(row: BookedRow, is_right: bool, expected: str) -> Difference | None:
    if is_right:
        return None
    return Difference(what="row", name=row.attempt_id, expected=expected, found=str(row.cost_nano))


class CounterSums:
    """The counters as the rows make them; rows are added one by one."""

    def __init__(self, budgets: Iterable[BookedBudget]) -> None:
        self.sums: dict[CounterKey, int] = {}
        self._budgets: dict[tuple[str, int | None], list[BookedBudget]] = {}
        for booked in budgets:
            self._budgets.setdefault((booked.budget.project_id, booked.user_ref), []).append(booked)

    def add(self, row: BookedRow) -> None:
        """Count a row in every budget that it belongs to."""
        if not row.cost_nano:
            return
        for user_ref in (None, row.user_ref):
            for booked in self._budgets.get((row.project_id, user_ref), ()):
                if _counts(row, booked):
                    budget = booked.budget
                    window = window_at(budget.window, budget.timezone, row.started_at)
                    key = key_of(budget, row.user_ref, window)
                    self.sums[key] = self.sums.get(key, 0) + row.cost_nano

    def differences(self, found: dict[CounterKey, int]) -> list[Difference]:
        """Compare with the counters that are kept. One that is absent is 0."""
        return [
            Difference(
                what="counter",
                name=f"budget {key[0]}, user {key[1]}, {key[2]}",
                expected=str(self.sums.get(key, 0)),
                found=str(found.get(key, 0)),
            )
            for key in sorted(self.sums.keys() | found.keys())
            if self.sums.get(key, 0) != found.get(key, 0)
        ]


def _counts(row: BookedRow, booked: BookedBudget) -> bool:
    budget = booked.budget
    if booked.deleted_at is not None and row.started_at >= booked.deleted_at:
        return False
    if row.started_at >= budget.created_at:
        return True
    # Taken over when the budget was made, if it was in the books by then and of the window of that moment.
    made_in = window_at(budget.window, budget.timezone, budget.created_at)
    return row.settled_at <= budget.created_at and row.started_at >= made_in.starts_at


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
