"""What is charged when: one function, and the table in docs/reference/charges.md that tests hold it to."""

from __future__ import annotations

from typing import Literal

from behest_protocol.usage import Usage
from msgspec import Struct

from behest_gateway.core.budgets import NOTHING, Amounts
from behest_gateway.core.exchange import Admitted
from behest_gateway.core.prices import cost_nano, nano_from_femto

Ending = Literal["answered", "rejected", "unreached", "timed_out", "broken", "cut_short", "caller_left"]
"""How an attempt ends: the provider finished; it refused; it could not be reached; it stalled; it broke off or spoke
nonsense; the gateway cut it at its hold; the caller hung up."""

MOST_BYTES_PER_TOKEN = 256
"""No tokenizer in use has a longer token."""


class StreamMeter:
    """Counts a stream as it passes.

    `text_bytes` is at least the number of tokens that arrived, `tokens_seen` at most: the one bounds a charge from
    above, the other proves that a provider went past its limit.
    """

    __slots__ = ("_pieces", "_usage", "_usage_is_final", "finish_reason", "text_bytes")

    def __init__(self) -> None:
        self._pieces = 0
        self._usage: Usage | None = None
        self._usage_is_final = False
        self.text_bytes = 0
        self.finish_reason: str | None = None

    def see(self, *, text_bytes: int, pieces: int, finish_reason: str | None) -> None:
        """Count one event."""
        self.text_bytes += text_bytes
        self._pieces += pieces
        if finish_reason is not None:
            self.finish_reason = finish_reason

    def see_usage(self, usage: Usage | None, *, alone: bool) -> None:
        """Take what the provider says that it used so far; the last word counts, and a senseless one counts as none.

        Args:
            alone: It came by itself, as it does at the very end. Some providers also send running sums on the way.
        """
        self._usage = usage
        self._usage_is_final = alone or self.finish_reason is not None

    @property
    def is_finished(self) -> bool:
        """The provider said why it stopped, or what it used in all."""
        return self.finish_reason is not None or self._usage_is_final

    def usage_at(self, ending: Ending) -> Usage | None:
        """What the provider used in all, if it said so; a running sum is no such thing when the answer broke off."""
        return self._usage if ending == "answered" or self._usage_is_final else None

    @property
    def tokens_seen(self) -> int:
        """Tokens that certainly arrived, or fewer."""
        return max(self._pieces, self.text_bytes // MOST_BYTES_PER_TOKEN)


class Charge(Struct, frozen=True):
    """What an attempt is charged: the ledger's state, and what counts in budgets."""

    state: str
    amounts: Amounts


def charge(ending: Ending, usage: Usage | None, admitted: Admitted, text_bytes: int) -> Charge:
    """What an attempt is charged.

    Args:
        usage: What the provider said it used, if it said so credibly.
        text_bytes: UTF-8 bytes of generated text that arrived.
    """
    hold, plan = admitted.hold, admitted.plan
    if usage is not None:
        return Charge("settled", Amounts(cost_nano(usage, plan.price), usage.input + usage.output, 1))
    if ending in ("rejected", "unreached"):
        return Charge("released", NOTHING)
    if ending == "caller_left" and admitted.entry.stream and not plan.profile.hides_output:
        tokens = text_bytes + plan.profile.in_flight_tokens
        nano = hold.input.nano + nano_from_femto(tokens * plan.price.dearest_output)
        most = hold.amounts
        return Charge("estimated", Amounts(min(most.nano, nano), min(most.tokens, hold.input.tokens + tokens), 1))
    return Charge("unconfirmed", hold.amounts)
