"""What the door decides, without knowing the time or the network."""

from __future__ import annotations

import math

from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Identified
from behest_gateway.core.snapshot import ProjectSettings
from behest_gateway.core.switches import Switches, killed_refusal, switch_for_caller
from behest_gateway.stages.door.ports import Rate, Refused, Scope

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


def limits_of(identified: Identified) -> ProjectSettings:
    """The settings whose rates are in force for a caller: the one place that says where they come from."""
    return identified.policy.settings


def rates_of(identified: Identified) -> tuple[Rate, ...]:
    """What a call takes when it enters: a request of each rate, and a place among the calls that are under way."""
    limits, caller = limits_of(identified), identified.caller
    project, user, key = caller.project_id, caller.user_id, caller.key_id
    if identified.call.operation == "read":
        return (Rate("user", "requests", ("read", project, user), limits.effective_user_rpm * READS_PER_CALL),)
    rates: tuple[Rate, ...] = (
        Rate("user", "requests", ("user", project, user), limits.effective_user_rpm),
        Rate("project", "requests", ("project", project), limits.rpm_limit),
    )
    if key is not None and limits.key_rpm_limit is not None:
        rates += (Rate("key", "requests", ("key", project, key), limits.key_rpm_limit),)
    if limits.user_max_concurrent is not None:
        rates += (Rate("user", "concurrency", ("user calls", project, user), limits.user_max_concurrent),)
    if key is not None and limits.key_max_concurrent is not None:
        rates += (Rate("key", "concurrency", ("key calls", project, key), limits.key_max_concurrent),)
    if limits.max_concurrent is not None:
        rates += (Rate("project", "concurrency", ("project calls", project), limits.max_concurrent),)
    return rates


def token_rates_of(identified: Identified) -> tuple[Rate, ...]:
    """What each attempt of a call takes its tokens of; nearly always none."""
    limits, caller = limits_of(identified), identified.caller
    rates: tuple[Rate, ...] = ()
    if limits.user_tpm_limit is not None:
        key = ("user tokens", caller.project_id, caller.user_id)
        rates += (Rate("user", "tokens", key, limits.user_tpm_limit),)
    if caller.key_id is not None and limits.key_tpm_limit is not None:
        key = ("key tokens", caller.project_id, caller.key_id)
        rates += (Rate("key", "tokens", key, limits.key_tpm_limit),)
    if limits.tpm_limit is not None:
        rates += (Rate("project", "tokens", ("project tokens", caller.project_id), limits.tpm_limit),)
    return rates


_WHOSE: dict[Scope, str] = {
    "ip": "This address",
    "user": "This user",
    "key": "This API key",
    "project": "This project",
}


def rate_refusal(refused: Refused, cost: int = 1) -> GatewayError:
    """The 429 of a rate that has no room.

    Args:
        cost: What was asked of it.
    """
    rate = refused.rate
    whose, limit = _WHOSE[rate.scope], rate.limit
    details: dict[str, str | int] = {"scope": rate.scope, "measure": rate.measure, "limit": limit}
    if rate.measure == "concurrency":
        return GatewayError(
            "rate_limited",
            f"{whose} has {limit} call{'s' if limit > 1 else ''} under way, which is the limit. Try again in 1 s.",
            details=details,
            retry_after=1,
        )
    details["window"] = "minute"
    if refused.retry_after is None:
        return GatewayError(
            "rate_limited",
            f"This call may use {cost} tokens, and {whose[0].lower()}{whose[1:]} has {limit} a minute, so it can never "
            "pass. Send less, or set a lower max_tokens.",
            details={**details, "needed": cost},
            retryable=False,
        )
    seconds = max(1, math.ceil(refused.retry_after))
    if rate.measure == "tokens":
        had = f"{whose} has {limit} tokens a minute, and this call may use {cost}, more than are left now."
        details["needed"] = cost
    else:
        had = f"{whose} has made {limit} request{'s' if limit > 1 else ''} a minute, which is the limit."
    return GatewayError("rate_limited", f"{had} Try again in {seconds} s.", details=details, retry_after=seconds)


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
