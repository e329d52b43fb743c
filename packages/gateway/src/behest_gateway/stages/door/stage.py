"""Address a call, let its caller in, and weigh what it asks for."""

from __future__ import annotations

from behest_gateway.core.bounds import token_bound
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Addressed, Call, Entered, Identified, Plan, Routed
from behest_gateway.core.snapshot import Directory
from behest_gateway.stages.door import rules
from behest_gateway.stages.door.addresses import Network, client_of
from behest_gateway.stages.door.ports import Rate, Rates, Refused, Standing
from behest_gateway.stages.door.visit import Visit


class Door:
    """The steps around authentication.

    Args:
        base_domain: A host `{slug}.{base_domain}` addresses the project of that slug.
    """

    def __init__(self, directory: Directory, rates: Rates, base_domain: str) -> None:
        self._directory = directory
        self._rates = rates
        self._base_domain = base_domain

    def address(self, call: Call) -> Addressed:
        """Find the project that the host names, if it names one.

        Raises:
            GatewayError: `not_found` when the slug is of no project.
        """
        slug = rules.slug_of(call.host, self._base_domain)
        if slug is None:
            return Addressed(call, None)
        project = self._directory.project_by_slug(slug)
        if project is None:
            raise GatewayError("not_found", f"No project is served at {call.host}. Check the project's slug.")
        return Addressed(call, project)

    def visit(self) -> Visit:
        """What one call will take of its rates; nothing is taken yet."""
        return Visit(self._rates)

    def enter(self, identified: Identified, visit: Visit) -> Entered:
        """Let a caller in, or say why not.

        Raises:
            GatewayError: `forbidden` for a closed project and for what a kill switch stops, `rate_limited` with a time
                to wait.
        """
        self.check(identified)
        refused = visit.enter(rules.rates_of(identified))
        if refused is not None:
            raise rules.rate_refusal(refused)
        return Entered(identified)

    def check(self, identified: Identified) -> None:
        """Say no to what a kill switch stops, and to a closed project; again, when something was waited for.

        Raises:
            GatewayError: `forbidden`.
        """
        closed = rules.closed_refusal(identified)
        if closed is not None:
            raise closed
        switches = self._directory.switches()
        if switches:
            killed = rules.switch_refusal(identified, switches)
            if killed is not None:
                raise killed

    def weigh(self, routed: Routed, plan: Plan, visit: Visit) -> None:
        """Take the most tokens that an attempt can use, where tokens are limited by the minute.

        Raises:
            GatewayError: `rate_limited`, not to be tried again when the attempt is larger than a whole minute's limit.
        """
        rates = rules.token_rates_of(routed.guarded.composed.identified)
        if not rates:
            return
        tokens = token_bound(routed, plan).total
        refused = visit.weigh(rates, tokens)
        if refused is not None:
            raise rules.rate_refusal(refused, tokens)


class Doorstep:
    """Counts addresses, before anything is read of who they say they are.

    Args:
        per_minute: Requests a minute of one address; 0 counts nothing.
        trusted: Proxies that are believed when they say for whom they ask.
    """

    def __init__(self, rates: Rates, per_minute: int, trusted: tuple[Network, ...] = ()) -> None:
        self._rates = rates
        self._per_minute = per_minute
        self._trusted = trusted

    def arrive(self, peer: str, forwarded_for: str | None) -> Refused | None:
        """Count one request for an address, or say that it has made too many."""
        if not self._per_minute:
            return None
        client = client_of(peer, forwarded_for, self._trusted)
        if client is None:
            return None
        taken = self._rates.take((Rate("ip", "requests", ("ip", client), self._per_minute),))
        return taken if isinstance(taken, Refused) else None

    def standing(self, rate: Rate) -> Standing:
        """How an address stands now."""
        return self._rates.standing(rate)
