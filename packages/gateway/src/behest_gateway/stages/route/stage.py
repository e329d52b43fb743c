"""Plan the attempts of a request."""

from __future__ import annotations

from behest_gateway.core.exchange import Guarded, Provider, Routed
from behest_gateway.core.prices import PriceBook
from behest_gateway.core.snapshot import Directory
from behest_gateway.core.switches import killed_refusal, switch_for_model
from behest_gateway.stages.route import rules


class Route:
    """Chooses where a request goes.

    Args:
        provider: The one provider of this gateway.
    """

    def __init__(self, directory: Directory, prices: PriceBook, provider: Provider) -> None:
        self._directory = directory
        self._prices = prices
        self._provider = provider

    def route(self, guarded: Guarded) -> Routed:
        """Plan the attempts.

        Raises:
            GatewayError: `forbidden` when a kill switch stops the model, `validation_error` when nobody knows what it
                costs.
        """
        model = guarded.composed.model
        switches = self._directory.switches()
        if switches:
            switch = switch_for_model(switches, model)
            if switch is not None:
                raise killed_refusal(switch)
        price = self._prices.price(self._provider.name, model)
        if price is None:
            raise rules.unknown_price(model)
        return Routed(guarded, (rules.plan_of(guarded, self._provider, price),))
