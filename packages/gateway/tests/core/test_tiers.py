"""What holds for a tier, as values in and values out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from behest_gateway.core.budgets import quota
from behest_gateway.core.snapshot import ProjectSettings, ProjectSnapshot
from behest_gateway.core.tiers import BUILT_IN, LOWEST, Policy, Tier, TierValues, resolved, tier_key

PROJECT = ProjectSettings()
SET = ProjectSettings(
    rpm_limit=600,
    user_rpm_limit=7,
    user_requests_per_day=8,
    user_tokens_per_day=9,
    user_tokens_per_month=10,
    provider_model="gpt-4o",
    system_prompt="Be brief.",
)
UNSET: dict[str, Any] = {
    "pii_mode": "disabled",
    "pii_entities": (),
    "sentinel_mode": "disabled",
    "sentinel_blocklist": (),
    "memory_enabled": True,
    "memory_window": 20,
    "retention_days": 0,
    "store_tool_calls": True,
}


def own(**values: Any) -> Tier:
    return Tier(id="t", name="team", overrides=TierValues(**values))


@pytest.mark.parametrize(
    ("settings", "tier", "expected"),
    [
        (PROJECT, None, {"rpm_limit": 6, "provider_model": "gpt-4o-mini"}),
        (
            SET,
            None,
            {
                "rpm_limit": 7, "requests_per_day": 8, "tokens_per_day": 9, "tokens_per_month": 10,
                "provider_model": "gpt-4o", "system_prompt": "Be brief.",
            },
        ),
        (
            PROJECT,
            BUILT_IN[0],
            {"rpm_limit": 10, "requests_per_day": 100, "tokens_per_day": 50_000, "provider_model": "gpt-4o-mini"},
        ),
        (
            PROJECT,
            BUILT_IN[1],
            {"rpm_limit": 60, "requests_per_day": 10_000, "tokens_per_day": 2_000_000, "provider_model": "gpt-4o-mini"},
        ),
        (
            PROJECT,
            BUILT_IN[2],
            {
                "rpm_limit": 300, "requests_per_day": 100_000, "tokens_per_day": 20_000_000,
                "provider_model": "gpt-4o-mini",
            },
        ),
        (
            SET,
            BUILT_IN[0],
            {
                "rpm_limit": 10, "requests_per_day": 100, "tokens_per_day": 50_000, "tokens_per_month": 10,
                "provider_model": "gpt-4o", "system_prompt": "Be brief.",
            },
        ),
        (
            SET,
            replace(BUILT_IN[0], overrides=TierValues(tokens_per_day=1, tokens_per_month=2)),
            {
                "rpm_limit": 10, "requests_per_day": 100, "tokens_per_day": 1, "tokens_per_month": 2,
                "provider_model": "gpt-4o", "system_prompt": "Be brief.",
            },
        ),
        (PROJECT, own(), {"rpm_limit": 6, "provider_model": "gpt-4o-mini"}),
        (
            SET,
            own(rpm_limit=11, provider_model="o1", system_prompt="", memory_enabled=False, memory_window=5),
            {
                "rpm_limit": 11, "requests_per_day": 8, "tokens_per_day": 9, "tokens_per_month": 10,
                "provider_model": "o1", "memory_enabled": False, "memory_window": 5,
            },
        ),
        (
            PROJECT,
            own(pii_entities=("US_SSN",), sentinel_blocklist=("x",), retention_days=7, store_tool_calls=False),
            {
                "rpm_limit": 6, "provider_model": "gpt-4o-mini", "pii_entities": ("US_SSN",),
                "sentinel_blocklist": ("x",), "retention_days": 7, "store_tool_calls": False,
            },
        ),
    ],
)  # fmt: skip
def test_a_projects_settings_are_overlaid_by_what_a_tier_says(
    settings: ProjectSettings, tier: Tier | None, expected: dict[str, Any]
) -> None:
    assert resolved(settings, tier) == TierValues(**{**UNSET, **expected})


def snapshot(settings: ProjectSettings = PROJECT, *tiers: Tier) -> ProjectSnapshot:
    return ProjectSnapshot(id="p", tenant_id="t", name="P", slug="p", settings=settings, tiers=tiers)


@pytest.mark.parametrize("claim", [2, "2", "pro", "PRO", " Pro "])
def test_a_tier_is_the_same_by_number_text_and_name(claim: object) -> None:
    policy = snapshot().policy_for(tier_key(claim))

    assert policy == Policy(
        tier="pro",
        settings=replace(PROJECT, user_rpm_limit=60, user_requests_per_day=10_000, user_tokens_per_day=2_000_000),
        quotas=(quota("tier", "p", "requests", "day", 10_000), quota("tier", "p", "tokens", "day", 2_000_000)),
    )


def test_a_token_without_a_tier_has_the_projects_settings_and_no_quota_that_nobody_set() -> None:
    assert snapshot().policy_for(tier_key(None)) == Policy(tier=None, settings=PROJECT, quotas=())
    assert snapshot(SET).policy_for(None) == Policy(
        tier=None,
        settings=SET,
        quotas=(
            quota("tier", "p", "requests", "day", 8),
            quota("tier", "p", "tokens", "day", 9),
            quota("tier", "p", "tokens", "month", 10),
        ),
    )


@pytest.mark.parametrize("claim", [0, 4, "gold", "", True, 2.0, ["pro"], {"tier": 3}])
def test_a_tier_that_the_project_does_not_have_counts_as_the_lowest(claim: object) -> None:
    assert snapshot().policy_for(tier_key(claim)).tier == LOWEST


def test_a_projects_own_tier_is_found_in_any_case_and_never_by_its_id() -> None:
    project = snapshot(PROJECT, Tier(id="0198-id", name="team", overrides=TierValues(provider_model="o1")))

    policy = project.policy_for(tier_key("TEAM"))

    assert (policy.tier, policy.settings.provider_model, policy.quotas) == ("team", "o1", ())
    assert project.policy_for(tier_key("0198-id")).tier == LOWEST


def test_the_counters_are_the_same_in_every_tier() -> None:
    project = snapshot(PROJECT, own(tokens_per_day=1, requests_per_day=1))

    ids = {tuple(sorted(b.id for b in project.policy_for(name).quotas)) for name in ("free", "pro", "max", "team")}

    assert ids == {("tier:p:requests:day", "tier:p:tokens:day")}
