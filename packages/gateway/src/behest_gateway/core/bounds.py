"""The most tokens that an attempt can have. Money is held by it, and so are the tokens of a minute.

The tokens of a text are at most its UTF-8 bytes, for every byte-level tokenizer, and the JSON that carries a message is
longer than the tokens that frame it. So the length of the JSON bounds the input, whatever the text.
"""

from __future__ import annotations

from msgspec import Struct

from behest_gateway.core.exchange import Plan, Routed

FRAMING_TOKENS = 32
"""Tokens that a provider adds around a conversation, beyond those that the JSON of its messages already outweighs."""


class TokenBound(Struct, frozen=True):
    """At most so many tokens in, and for each of the choices so many out."""

    input: int
    output: int
    choices: int

    @property
    def total(self) -> int:
        """In and out, over all choices."""
        return self.input + self.output * self.choices


def token_bound(routed: Routed, plan: Plan) -> TokenBound:
    """Bound an attempt by the length of what is sent and by the limit of output that is wished for."""
    composed = routed.guarded.composed
    wished = composed.max_tokens or composed.identified.policy.settings.max_output_tokens
    return TokenBound(len(plan.payload) + FRAMING_TOKENS, wished, composed.choices)
