"""What admission needs from the world."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from behest_gateway.core.exchange import BudgetState, Entry, Hold
from behest_gateway.core.prices import PriceVector
from behest_gateway.core.snapshot import Budget


class Ask(Struct, frozen=True, kw_only=True):
    """What an attempt may cost, left open in its limit of output.

    Attributes:
        fixed_femto: The most that its input and the call itself can cost.
        token_femto: What each token of the limit can cost, over all choices.
        max_tokens: The limit of output that is wished for, per choice.
        min_tokens: The least that is worth sending.
        seconds: How long the money may be held.
        price: What the attempt is charged by.
    """

    fixed_femto: int
    token_femto: int
    max_tokens: int
    min_tokens: int
    seconds: int
    price: PriceVector


class Exhausted(Struct, frozen=True, kw_only=True):
    """No hold was taken: `state` is the budget that has the least left, `needed_nano` what the least answer needs."""

    state: BudgetState
    needed_nano: int


class Holds(Protocol):
    """Takes holds. The only writer of what is held, together with `record`, which gives it back."""

    async def reserve(self, entry: Entry, ask: Ask, budgets: tuple[Budget, ...]) -> Hold | Exhausted:
        """Hold money in every budget at once, or in none.

        The hold is durable when this returns, so that an attempt that was sent is never unknown after a crash. A
        caller that is cancelled while it waits holds nothing.

        Raises:
            GatewayError: `unavailable` when the store cannot write.
        """
        ...
