"""Plan the attempts of a request."""

from __future__ import annotations

from behest_gateway.core.exchange import Guarded, Provider, Routed
from behest_gateway.core.prices import PriceBook
from behest_gateway.stages.route import rules


class Route:
    """Chooses where a request goes.

    Args:
        provider: The one provider of this gateway.
    """

    def __init__(self, prices: PriceBook, provider: Provider) -> None:
        self._prices = prices
        self._provider = provider

    def route(self, guarded: Guarded) -> Routed:
        """Plan the attempts.

        Raises:
            GatewayError: `validation_error` when nobody knows what the model costs.
        """
        model = guarded.composed.model
        price = self._prices.price(self._provider.name, model)
        if price is None:
            raise rules.unknown_price(model)
        return Routed(guarded, (rules.plan_of(guarded, self._provider, price),))
