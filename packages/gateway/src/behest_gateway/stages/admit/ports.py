"""What admission needs from the world."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from behest_gateway.core.budgets import Amounts, Budget, BudgetState
from behest_gateway.core.exchange import Entry, Hold
from behest_gateway.core.prices import PriceVector


class Ask(Struct, frozen=True, kw_only=True):
    """What an attempt may cost, left open in its limit of output.

    Attributes:
        fixed_femto: The most that its input and the call itself can cost.
        token_femto: What each token of the limit can cost, over all choices.
        input_tokens: The most that its input can have.
        choices: How many answers the limit holds for, each.
        max_tokens: The limit of output that is wished for, per choice.
        min_tokens: The least that is worth sending.
        most_nano: The caller's own cap on the cost, nano-dollars.
        seconds: How long the money may be held.
        price: What the attempt is charged by.
    """

    fixed_femto: int
    token_femto: int
    input_tokens: int
    choices: int
    max_tokens: int
    min_tokens: int
    most_nano: int | None = None
    seconds: int
    price: PriceVector


class Exhausted(Struct, frozen=True, kw_only=True):
    """No hold was taken: `state` is the budget that has too little left, or None for the caller's own cap; `needed` is
    what the least answer needs."""

    state: BudgetState | None
    needed: Amounts


class Holds(Protocol):
    """Takes holds. The only writer of what is held, together with `record`, which gives it back."""

    async def reserve(self, entry: Entry, ask: Ask, budgets: tuple[Budget, ...]) -> Hold | Exhausted:
        """Hold in every budget at once, or in none.

        The hold is durable when this returns, so that an attempt that was sent is never unknown after a crash. A
        caller that is cancelled while it waits holds nothing.

        Raises:
            GatewayError: `unavailable` when the store cannot write.
        """
        ...

    def left(self, entry: Entry, hold: Hold) -> Amounts:
        """The least that is left now in any enforced budget of a hold, in each unit; a unit without a budget has
        `core.counters.UNLIMITED`."""
        ...
