"""Compose the request of a caller who was let in."""

from __future__ import annotations

from behest_gateway.core.exchange import Composed, Entered
from behest_gateway.stages.compose import rules


def compose(entered: Entered) -> Composed:
    """Read the body, choose the model and put the project's system prompt first.

    Raises:
        GatewayError: `validation_error`, naming the field that is wrong.
    """
    identified = entered.identified
    return rules.compose(identified, rules.decode_body(identified.call.body))
