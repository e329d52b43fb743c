"""What the door decides, without knowing the time or the network."""

from __future__ import annotations

import math

from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Identified
from behest_gateway.core.switches import Switches, killed_refusal, switch_for_caller
from behest_gateway.stages.door.ports import Rate, Taken

READS_PER_CALL = 20
"""A page may look up models and usage this many times as often as it may chat."""


def slug_of(host: str, base_domain: str) -> str | None:
    """The slug in a host name, or None when the host is not of the form `{slug}.{base_domain}`.

    >>> slug_of("amber-fox-042.localhost:8080", "localhost")
    'amber-fox-042'
    >>> slug_of("localhost:8080", "localhost") is None
    True
    """
    name = host.rsplit(":", 1)[0] if ":" in host else host
    suffix = "." + base_domain
    if not name.endswith(suffix):
        if not name.lower().endswith(suffix):
            return None
        name = name.lower()
    slug = name[: -len(suffix)].lower()
    return slug if slug and "." not in slug else None


def rates_of(identified: Identified) -> tuple[Rate, ...]:
    """The rates that a call counts against: its user's, then its project's."""
    settings = identified.project.settings
    caller = identified.caller
    if identified.call.operation == "read":
        return (Rate(("read", caller.project_id, caller.user_id), settings.effective_user_rpm * READS_PER_CALL),)
    return (
        Rate(("user", caller.project_id, caller.user_id), settings.effective_user_rpm),
        Rate(("project", caller.project_id), settings.rpm_limit),
    )


def rate_refusal(rate: Rate, taken: Taken) -> GatewayError:
    """The 429 for a rate that is used up."""
    scope = "user" if rate.key[0] == "read" else rate.key[0]
    seconds = max(1, math.ceil(taken.retry_after))
    whose = "This user has" if scope == "user" else "This project has"
    return GatewayError(
        "rate_limited",
        f"{whose} made {rate.per_minute} requests a minute, which is the limit. Try again in {seconds} s.",
        details={"scope": scope, "limit": rate.per_minute, "window": "minute"},
        retry_after=seconds,
    )


def closed_refusal(identified: Identified) -> GatewayError | None:
    """The 403 for a project that is not open, or None."""
    if identified.project.status == "active":
        return None
    return GatewayError("forbidden", "This project is suspended. Its operator can resume it.")


def switch_refusal(identified: Identified, on: Switches) -> GatewayError | None:
    """The 403 of a kill switch, or None. Reads cost nothing, and stay open."""
    if identified.call.operation == "read":
        return None
    caller = identified.caller
    switch = switch_for_caller(on, tenant_id=caller.tenant_id, project_id=caller.project_id, user_id=caller.user_id)
    return None if switch is None else killed_refusal(switch)
