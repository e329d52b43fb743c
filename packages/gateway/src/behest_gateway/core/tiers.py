"""Tiers: what a user's token may change about the project that it is for.

A project's settings are overlaid by what a tier says, value by value. The three built-in tiers say what is published
of them; a project's own rows say more, or something else. A token without a tier has the project's settings alone.

A user's limits of a day and a month are budgets. Their ids name the project, the unit and the window but no tier, so a
user who changes tiers, and a limit that is changed, go on with the same counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from behest_gateway.core.budgets import Budget, quota

if TYPE_CHECKING:
    from behest_gateway.core.snapshot import ProjectSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TierValues:
    """What a tier says, by the names of the management API; None is what it says nothing about.

    Attributes:
        rpm_limit: A user's requests a minute; the project's own limit stays in force beside it.
        requests_per_day, tokens_per_day, tokens_per_month: A user's, in UTC.
        pii_mode, sentinel_mode: `disabled`; this gateway has no such guard yet.
        pii_entities, sentinel_blocklist: What those guards would look for.
        memory_enabled, memory_window, retention_days, store_tool_calls: As in `ProjectSettings`.
        system_prompt: Put before the caller's messages; an empty one takes the project's away.
    """

    rpm_limit: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    pii_mode: str | None = None
    pii_entities: tuple[str, ...] | None = None
    sentinel_mode: str | None = None
    sentinel_blocklist: tuple[str, ...] | None = None
    memory_enabled: bool | None = None
    memory_window: int | None = None
    retention_days: int | None = None
    store_tool_calls: bool | None = None
    provider_model: str | None = None
    system_prompt: str | None = None

    def given(self) -> dict[str, Any]:
        """What it says something about."""
        return {name: value for name in TIER_FIELDS if (value := getattr(self, name)) is not None}

    def under(self, other: TierValues) -> TierValues:
        """These, where the other says nothing."""
        return replace(self, **other.given())


TIER_FIELDS = tuple(f.name for f in fields(TierValues))
TIER_LIMITS = ("rpm_limit", "requests_per_day", "tokens_per_day", "tokens_per_month")

_MEMORY = ("memory_enabled", "memory_window", "retention_days", "store_tool_calls")

NOTHING_SAID = TierValues()
"""A tier without a row of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A tier of a project.

    Attributes:
        id: The number as text for a built-in tier, otherwise a UUID.
        number: 1 to 3 for a built-in tier.
        name: What ledger rows, refusals and `X-Tier` call it.
        overrides: What the project's operator set.
        created_at: Microseconds since 1970; 0 for a built-in tier.
    """

    id: str
    number: int | None = None
    name: str
    overrides: TierValues = NOTHING_SAID
    created_at: int = 0

    @property
    def published(self) -> TierValues:
        """What the tier says before anybody overrides it."""
        return PUBLISHED.get(self.name, NOTHING_SAID)


PUBLISHED: Mapping[str, TierValues] = MappingProxyType(
    {
        "free": TierValues(rpm_limit=10, requests_per_day=100, tokens_per_day=50_000),
        "pro": TierValues(rpm_limit=60, requests_per_day=10_000, tokens_per_day=2_000_000),
        "max": TierValues(rpm_limit=300, requests_per_day=100_000, tokens_per_day=20_000_000),
    }
)
"""The built-in tiers, lowest first, with their published limits."""

BUILT_IN = tuple(Tier(id=str(number), number=number, name=name) for number, name in enumerate(PUBLISHED, start=1))
LOWEST = "free"
"""What a tier counts as that the project does not have."""

UNSET = TierValues(
    pii_mode="disabled",
    pii_entities=(),
    sentinel_mode="disabled",
    sentinel_blocklist=(),
)
"""What holds where neither the project nor a tier says anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is in force for the callers of a tier, or for those without one.

    Attributes:
        tier: The tier's name; None for callers without one.
        settings: The project's settings under the tier's overrides.
        quotas: What each user may take in a day and in a month.
    """

    tier: str | None = None
    settings: ProjectSettings
    quotas: tuple[Budget, ...] = field(default=())


def tiers_of(rows: Iterable[Tier]) -> tuple[Tier, ...]:
    """A project's tiers: the built-in ones with their overrides, then its own."""
    stored = {tier.name: tier for tier in rows}
    built_in = [replace(tier, overrides=stored.pop(tier.name, tier).overrides) for tier in BUILT_IN]
    return (*built_in, *stored.values())


def resolved(settings: ProjectSettings, tier: Tier | None) -> TierValues:
    """What holds for the callers of a tier: the project's settings, overlaid by what the tier says.

    `rpm_limit`, `provider_model` and the modes always have a value; None elsewhere is no limit, or no text.
    """
    base = replace(
        UNSET,
        rpm_limit=settings.effective_user_rpm,
        requests_per_day=settings.user_requests_per_day,
        tokens_per_day=settings.user_tokens_per_day,
        tokens_per_month=settings.user_tokens_per_month,
        provider_model=settings.provider_model,
        system_prompt=settings.system_prompt,
        memory_enabled=settings.memory_enabled,
        memory_window=settings.memory_window,
        retention_days=settings.retention_days,
        store_tool_calls=settings.store_tool_calls,
    )
    values = base if tier is None else base.under(tier.published).under(tier.overrides)
    return replace(values, system_prompt=values.system_prompt or None)


def policy_of(project_id: str, settings: ProjectSettings, tier: Tier | None) -> Policy:
    """What the stages read for the callers of a tier, or for those without one."""
    values = resolved(settings, tier)
    if tier is not None:
        settings = replace(
            settings,
            user_rpm_limit=values.rpm_limit,
            user_requests_per_day=values.requests_per_day,
            user_tokens_per_day=values.tokens_per_day,
            user_tokens_per_month=values.tokens_per_month,
            provider_model=values.provider_model or settings.provider_model,
            system_prompt=values.system_prompt,
            **{name: getattr(values, name) for name in _MEMORY},
        )
    quotas: list[Budget] = []
    if values.requests_per_day is not None:
        quotas.append(quota("tier", project_id, "requests", "day", values.requests_per_day))
    if values.tokens_per_day is not None:
        quotas.append(quota("tier", project_id, "tokens", "day", values.tokens_per_day))
    if values.tokens_per_month is not None:
        quotas.append(quota("tier", project_id, "tokens", "month", values.tokens_per_month))
    return Policy(tier=tier.name if tier else None, settings=settings, quotas=tuple(quotas))


def policies_of(project_id: str, settings: ProjectSettings, tiers: Iterable[Tier]) -> dict[str, Policy]:
    """The policy of every tier of a project, under each key that a token may name it by."""
    policies: dict[str, Policy] = {}
    for tier in tiers_of(tiers):
        policy = policies[tier.name] = policy_of(project_id, settings, tier)
        if tier.number is not None:
            policies[str(tier.number)] = policy
    return policies


def tier_key(claim: object) -> str | None:
    """A tier as a token names it, as the key of its policy: 2, "2", "pro" and "PRO" are alike; None is no tier.

    >>> tier_key(2), tier_key(" PRO "), tier_key(None), tier_key(["pro"])
    ('2', 'pro', None, '')
    """
    if claim is None:
        return None
    return str(claim).strip().lower() if isinstance(claim, str | int) and not isinstance(claim, bool) else ""
