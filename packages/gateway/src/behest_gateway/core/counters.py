"""What is spent and held of budgets, and the one decision about it. No I/O: a store keeps it, and writes it down.

The invariant, after every call: `spent + held <= limit` in every counter that a hold was granted in, unless the limit
was lowered or the ledger was already above it when the budget was made.
"""

from __future__ import annotations

from collections.abc import Callable

from behest_gateway.core.exchange import BudgetState
from behest_gateway.core.snapshot import Budget
from behest_gateway.core.windows import Window, window_at

CounterKey = tuple[str, int, str]
"""Budget, user (0 for a budget that is not per user), window."""

Affordable = Callable[[int], tuple[int, int] | None]
"""From what is left in nano-dollars: the limit of output that it pays for, and the hold for it."""


class Counters:
    """The counters of every budget, in memory."""

    def __init__(self) -> None:
        self._spent: dict[CounterKey, int] = {}
        self._held: dict[CounterKey, int] = {}

    def load(self, key: CounterKey, spent: int) -> None:
        """Take over what is spent already."""
        self._spent[key] = spent

    def state(self, budget: Budget, user_ref: int, now_us: int) -> BudgetState:
        """A budget in the window of an instant, for a user."""
        window = window_at(budget.window, budget.timezone, now_us)
        key = key_of(budget, user_ref, window)
        return BudgetState(
            budget=budget,
            spent_nano=self._spent.get(key, 0),
            held_nano=self._held.get(key, 0),
            resets_at=window.resets_at,
        )

    def hold(
        self, budgets: tuple[Budget, ...], user_ref: int, now_us: int, affordable: Affordable
    ) -> tuple[int, int, tuple[CounterKey, ...]] | BudgetState:
        """Hold in all of the budgets, or in none.

        Returns:
            The limit of output, the amount and where it is held; or the budget with the least left.
        """
        left: int | None = None
        least: Budget | None = None
        keys: list[CounterKey] = []
        for budget in budgets:
            key = key_of(budget, user_ref, window_at(budget.window, budget.timezone, now_us))
            keys.append(key)
            here = budget.limit_nano - self._spent.get(key, 0) - self._held.get(key, 0)
            if left is None or here < left:
                left, least = here, budget
        granted = affordable(left) if left is not None else affordable(UNLIMITED)
        if granted is None:
            if least is None:
                raise AssertionError("an attempt without a budget is always affordable")
            return self.state(least, user_ref, now_us)
        tokens, amount = granted
        for key in keys:
            self._held[key] = self._held.get(key, 0) + amount
        return tokens, amount, tuple(keys)

    def settle(self, keys: tuple[CounterKey, ...], amount: int, cost: int) -> None:
        """Give a hold back, and spend what it came to."""
        for key in keys:
            held = self._held.get(key, 0) - amount
            if held:
                self._held[key] = held
            else:
                self._held.pop(key, None)
            if cost:
                self._spent[key] = self._spent.get(key, 0) + cost

    def forget_past(self, now_us: int) -> None:
        """Drop the counters of windows that are over and hold nothing; a store still has them."""
        day, month = past_windows(now_us)
        self._spent = {
            key: spent
            for key, spent in self._spent.items()
            if key in self._held or key[2] >= (day if len(key[2]) == len(day) else month)
        }

    def held(self) -> int:
        """What is held, over all counters; an attempt counts once for each of its budgets."""
        return sum(self._held.values())


def past_windows(now_us: int) -> tuple[str, str]:
    """The day and the month before which every window is over, in any timezone.

    >>> past_windows(1_760_000_000_000_000)
    ('2025-10-07', '2025-10')
    """
    earlier = now_us - 2 * 86_400_000_000
    return window_at("day", "UTC", earlier).id, window_at("month", "UTC", earlier).id


UNLIMITED = 1 << 62
"""What is left where there is no budget, nano-dollars."""


def key_of(budget: Budget, user_ref: int, window: Window) -> CounterKey:
    """Where a user's call counts for a budget."""
    return budget.id, user_ref if budget.scope == "each_user" else 0, window.id
