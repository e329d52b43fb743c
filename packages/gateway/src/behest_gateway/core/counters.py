"""What is spent and held of budgets, and the one decision about it. No I/O: a store keeps it, and writes it down.

The invariant, after every call, in every counter of an enforced budget: `spent + held <= limit`, unless the limit was
lowered, or the ledger was above it already when the budget was made, or a provider billed more than its hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from behest_gateway.core.budgets import UNITS, Amounts, Budget, BudgetState, Slot, shown
from behest_gateway.core.windows import SLICES, counts_from, remembered_from, slice_ends

Read: TypeAlias = Callable[[str, str, str], Iterable[tuple[str, int]]]
"""From a budget, a subject and a window's id: what is kept as spent, by window, from that window on."""

Left: TypeAlias = Amounts
"""The least that is left in each unit; `UNLIMITED` where there is no budget."""

Affordable: TypeAlias = Callable[[Left], tuple[int, Amounts] | None]
"""From what is left: the limit of output that it pays for, and the amounts to hold; None for too little."""

UNLIMITED = 1 << 62


def remaining(left: Left) -> dict[str, float | int]:
    """What is left, by unit, as JSON; units without a budget are left out."""
    return {
        f"budget_remaining_{unit}": shown(unit, max(0, amount))
        for unit, amount in zip(UNITS, left, strict=True)
        if amount < UNLIMITED
    }


Claim: TypeAlias = tuple[Budget, str]
"""A budget, and the subject of it that a call counts in."""


class Granted(NamedTuple):
    """A hold was taken, in all of the budgets.

    Attributes:
        would_refuse: The budgets in shadow mode that had too little left.
    """

    max_tokens: int
    amounts: Amounts
    slots: tuple[Slot, ...]
    would_refuse: tuple[Claim, ...]


class Refused(NamedTuple):
    """Nothing was held. `short` is the budget with too little left, or None when it was the caller's own cap."""

    short: BudgetState | None
    subject: str


class _Account:
    """One subject of one budget: what it spent and holds, by window, and how many attempts hold something in it."""

    __slots__ = ("held", "open", "spent", "unit")

    def __init__(self, unit: int, spent: Iterable[tuple[str, int]] = ()) -> None:
        self.unit = unit
        self.spent = dict(spent)
        self.held: dict[str, int] = {}
        self.open = 0


def _nothing(budget_id: str, subject: str, since: str) -> Iterable[tuple[str, int]]:
    return ()


class Counters:
    """The counters of every budget.

    Args:
        read: Where a counter is read when it is asked for the first time. Must know everything that was ever settled
            here: `forget_idle` may only be called when nothing waits to be written.
    """

    def __init__(self, read: Read = _nothing) -> None:
        self._read = read
        self._accounts: dict[tuple[str, str], _Account] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def _account(self, budget: Budget, subject: str, now_us: int) -> _Account:
        key = (budget.id, subject)
        account = self._accounts.get(key)
        if account is None:
            since = remembered_from(budget.window, budget.timezone, now_us, budget.hours)
            account = self._accounts[key] = _Account(budget.unit_index, self._read(budget.id, subject, since))
        return account

    def _sums(self, budget: Budget, subject: str, now_us: int) -> tuple[int, int]:
        account = self._account(budget, subject, now_us)
        return self._sums_of(account, budget, budget.window_at(now_us).id, now_us)

    @staticmethod
    def _sums_of(account: _Account, budget: Budget, window_id: str, now_us: int) -> tuple[int, int]:
        """What an account has spent and holds, in a window."""
        if budget.window == "rolling":
            if len(account.spent) > 3 * SLICES:
                oldest = remembered_from("rolling", "UTC", now_us, budget.hours)
                account.spent = {window: amount for window, amount in account.spent.items() if window >= oldest}
            since = counts_from("rolling", "UTC", now_us, budget.hours)
            spent = sum([amount for window, amount in account.spent.items() if window >= since])
            return spent, sum(account.held.values())
        return account.spent.get(window_id, 0), account.held.get(window_id, 0)

    def state(self, budget: Budget, subject: str, now_us: int) -> BudgetState:
        """A counter of a budget, at an instant."""
        spent, held = self._sums(budget, subject, now_us)
        return BudgetState(budget=budget, spent=spent, held=held, resets_at=self._resets_at(budget, subject, now_us))

    def _resets_at(self, budget: Budget, subject: str, now_us: int) -> int | None:
        """When the window ends; of a rolling one, when the oldest of what counts comes back."""
        window = budget.window_at(now_us)
        if budget.window != "rolling":
            return window.resets_at
        since = counts_from("rolling", "UTC", now_us, budget.hours)
        spent = self._account(budget, subject, now_us).spent
        return slice_ends(min((id for id, n in spent.items() if n and id >= since), default=window.id), budget.hours)

    def spent(self, budget: Budget, subject: str, now_us: int) -> int:
        """What a counter of a budget has spent, at an instant."""
        return self._sums(budget, subject, now_us)[0]

    def hold(
        self, claims: tuple[Claim, ...], now_us: int, affordable: Affordable, least: Callable[[], Amounts]
    ) -> Granted | Refused:
        """Hold in all of the budgets, or in none.

        Args:
            affordable: Decides from what is left.
            least: What the least answer needs; a budget with less left than that refuses.
        """
        left = [UNLIMITED, UNLIMITED, UNLIMITED]
        places: list[tuple[_Account, str, Budget, str, int]] = []
        for budget, subject in claims:
            account = self._account(budget, subject, now_us)
            window_id = budget.window_at(now_us).id
            spent, held = self._sums_of(account, budget, window_id, now_us)
            here = budget.limit - spent - held
            places.append((account, window_id, budget, subject, here))
            if budget.is_enforced and here < left[budget.unit_index]:
                left[budget.unit_index] = here
        granted = affordable(Amounts(*left))
        if granted is None:
            return self._refusal(claims, now_us, least())
        max_tokens, amounts = granted
        slots: list[Slot] = []
        would_refuse: list[Claim] = []
        for account, window_id, budget, subject, here in places:
            unit = budget.unit_index
            account.open += 1
            account.held[window_id] = account.held.get(window_id, 0) + amounts[unit]
            slots.append(Slot(budget.id, subject, window_id, unit))
            if not budget.is_enforced and max(0, here) < least()[unit]:
                would_refuse.append((budget, subject))
        return Granted(max_tokens, amounts, tuple(slots), tuple(would_refuse))

    def left(self, claims: tuple[Claim, ...], now_us: int) -> Left:
        """The least that is left in any enforced one of some budgets, in each unit."""
        left = [UNLIMITED, UNLIMITED, UNLIMITED]
        for budget, subject in claims:
            if budget.is_enforced:
                spent, held = self._sums(budget, subject, now_us)
                here = budget.limit - spent - held
                if here < left[budget.unit_index]:
                    left[budget.unit_index] = here
        return Amounts(*left)

    def _refusal(self, claims: tuple[Claim, ...], now_us: int, least: Amounts) -> Refused:
        """Name the budget that refuses: of those with too little left, the one that resets last."""
        short: tuple[int, BudgetState, str] | None = None
        for budget, subject in claims:
            if not budget.is_enforced:
                continue
            state = self.state(budget, subject, now_us)
            if max(0, state.left) < least[budget.unit_index]:
                resets_at = UNLIMITED if state.resets_at is None else state.resets_at
                if short is None or resets_at > short[0]:
                    short = resets_at, state, subject
        return Refused(None, "") if short is None else Refused(short[1], short[2])

    def settle(self, slots: tuple[Slot, ...], held: Amounts, spent: Amounts) -> None:
        """Give a hold back, and spend what it came to. Once for each hold."""
        for budget_id, subject, window_id, unit in slots:
            account = self._accounts[budget_id, subject]
            account.open -= 1
            rest = account.held.get(window_id, 0) - held[unit]
            if rest:
                account.held[window_id] = rest
            else:
                account.held.pop(window_id, None)
            if spent[unit]:
                account.spent[window_id] = account.spent.get(window_id, 0) + spent[unit]

    def start(self, budget: Budget, spent: Iterable[tuple[str, str, int]]) -> None:
        """Begin to count for a budget with what has been spent already: by subject, by window."""
        for subject, window_id, amount in spent:
            account = self._accounts.setdefault((budget.id, subject), _Account(budget.unit_index))
            account.spent[window_id] = amount

    def forget_idle(self) -> None:
        """Drop every counter that holds nothing; it is read again when it is asked for."""
        self._accounts = {key: account for key, account in self._accounts.items() if account.open}

    def held(self) -> Amounts:
        """What is held, over all counters and windows; an attempt counts once in each of its budgets."""
        sums = [0, 0, 0]
        for account in self._accounts.values():
            sums[account.unit] += sum(account.held.values())
        return Amounts(*sums)
