"""Address a call, and let its caller in."""

from __future__ import annotations

from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Addressed, Call, Entered, Identified
from behest_gateway.core.snapshot import Directory
from behest_gateway.stages.door import rules
from behest_gateway.stages.door.ports import Rates


class Door:
    """The two steps around authentication.

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

    def enter(self, identified: Identified) -> Entered:
        """Let a caller in, or say why not.

        Raises:
            GatewayError: `forbidden` for a closed project and for what a kill switch stops, `rate_limited` with a time
                to wait.
        """
        closed = rules.closed_refusal(identified)
        if closed is not None:
            raise closed
        switches = self._directory.switches()
        if switches:
            killed = rules.switch_refusal(identified, switches)
            if killed is not None:
                raise killed
        rate, taken = self._rates.take(rules.rates_of(identified))
        if not taken.allowed:
            raise rules.rate_refusal(rate, taken)
        return Entered(identified)
