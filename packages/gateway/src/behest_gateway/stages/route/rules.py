"""Turning a request into the bytes of an attempt."""

from __future__ import annotations

from typing import Any

import msgspec

from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.exchange import Composed, Guarded, Plan, Provider
from behest_gateway.core.prices import PriceVector
from behest_gateway.stages.route.profiles import profile_of

_encoder = msgspec.json.Encoder()


def unknown_price(model: str) -> GatewayError:
    """The refusal of a model that nobody has a price for: unknown is never free."""
    return invalid(
        f"No price is known for model {model!r}, so its cost could not be held to a budget. Check the name, or add the "
        "price to the file of BEHEST_GATEWAY_PRICE_OVERRIDES.",
        "model",
    )


def payload_of(composed: Composed) -> bytes:
    """Encode the JSON object to send, all but its limit of output.

    It is always encoded anew: what is sent is exactly what was checked and priced, even when the caller's text named a
    field twice.
    """
    body: dict[str, Any] = {"model": composed.model, **composed.body}
    if composed.stream:
        body["stream"] = True
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    else:
        body.pop("stream_options", None)
    return _encoder.encode(body)


def plan_of(guarded: Guarded, provider: Provider, price: PriceVector) -> Plan:
    """The one attempt that is made."""
    composed = guarded.composed
    profile = profile_of(composed.model)
    field = profile.max_tokens_field
    if field == "max_tokens" and composed.max_tokens_field is not None:
        field = composed.max_tokens_field
    return Plan(
        number=1,
        provider=provider,
        model=composed.model,
        profile=profile,
        price=price,
        max_tokens_field=field,
        payload=payload_of(composed),
    )
