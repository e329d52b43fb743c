"""Tiers are listed, overridden, made and ended, each for the next request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from behest_gateway.control.publishing import Publishing
from behest_gateway.control.tiers import Tiers
from behest_gateway.core.clock import SystemClock
from behest_gateway.core.tiers import Policy
from behest_gateway.http.management_api import management_app

from .conftest import Management
from .test_access import refusal

LIMITS = ("rpm_limit", "requests_per_day", "tokens_per_day", "tokens_per_month")
PUBLISHED = {
    "free": (10, 100, 50_000, None),
    "pro": (60, 10_000, 2_000_000, None),
    "max": (300, 100_000, 20_000_000, None),
}
EVERYTHING: dict[str, Any] = {
    "rpm_limit": 20,
    "requests_per_day": 500,
    "tokens_per_day": 70_000,
    "tokens_per_month": 900_000,
    "pii_mode": "disabled",
    "pii_entities": ["EMAIL_ADDRESS", "US_SSN"],
    "sentinel_mode": "disabled",
    "sentinel_blocklist": ["the secret recipe"],
    "memory_enabled": True,
    "memory_window": 20,
    "retention_days": 30,
    "store_tool_calls": True,
    "provider_model": "gpt-4o",
    "system_prompt": "You answer teams.",
}


def built_in(number: int, name: str) -> dict[str, Any]:
    limits = dict(zip(LIMITS, PUBLISHED[name], strict=True))
    return {"id": str(number), "number": number, "name": name, "limits": limits, "overrides": {}, "created_at": None}


BUILT_IN = [built_in(number, name) for number, name in enumerate(PUBLISHED, start=1)]


def policy(management: Management, project: str, tier: str | None) -> Policy:
    """What the next request of a tier reads, which is also what a restart would publish."""
    snapshot, again = management.directory.project(project), management.restarted().project(project)
    assert snapshot is not None
    assert again == snapshot
    return snapshot.policy_for(tier)


async def test_a_project_begins_with_the_three_built_in_tiers(management: Management) -> None:
    base = f"/v1/projects/{await management.project()}/tiers"
    operator = management.client()

    assert (await operator.get(base)).json() == {"data": BUILT_IN}
    for tier in ("2", "pro", "PRO"):
        assert (await operator.get(f"{base}/{tier}")).json() == BUILT_IN[1]


async def test_a_tier_of_the_projects_own_is_made_shown_and_published(management: Management) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/tiers"
    operator = management.client()

    made = await management.made(base, {"name": "team", "overrides": EVERYTHING})

    assert made == {
        "id": made["id"],
        "number": None,
        "name": "team",
        "limits": {name: EVERYTHING[name] for name in LIMITS},
        "overrides": EVERYTHING,
        "created_at": made["created_at"],
    }
    assert (await operator.get(base)).json() == {"data": [*BUILT_IN, made]}
    for tier in (made["id"], "team", "Team"):
        assert (await operator.get(f"{base}/{tier}")).json() == made
    settings = policy(management, project, "team").settings
    assert (settings.user_rpm_limit, settings.provider_model, settings.system_prompt) == (
        20,
        "gpt-4o",
        "You answer teams.",
    )
    assert [(b.unit, b.window, b.limit) for b in policy(management, project, "team").quotas] == [
        ("requests", "day", 500),
        ("tokens", "day", 70_000),
        ("tokens", "month", 900_000),
    ]


async def test_what_is_resolved_is_the_projects_settings_overlaid_by_the_tier(management: Management) -> None:
    settings = {"rpm_limit": 90, "system_prompt": "Be brief.", "user_tokens_per_month": 1_000_000}
    base = f"/v1/projects/{await management.project(settings=settings)}/tiers"
    operator = management.client()
    await operator.put(f"{base}/free", json={"overrides": {"tokens_per_day": 60_000, "pii_entities": ["US_SSN"]}})

    answer = await operator.get(f"{base}/free/resolved")

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "id": "1",
            "number": 1,
            "name": "free",
            "limits": {
                "rpm_limit": 10, "requests_per_day": 100, "tokens_per_day": 60_000, "tokens_per_month": 1_000_000,
            },
            "settings": {
                "rpm_limit": 10,
                "tokens_per_day": 60_000,
                "tokens_per_month": 1_000_000,
                "pii_mode": "disabled",
                "pii_entities": ["US_SSN"],
                "sentinel_mode": "disabled",
                "sentinel_blocklist": [],
                "memory_enabled": True,
                "memory_window": 20,
                "retention_days": 0,
                "store_tool_calls": True,
                "provider_model": "gpt-4o-mini",
                "system_prompt": "Be brief.",
            },
            "overrides": {"tokens_per_day": 60_000, "pii_entities": ["US_SSN"]},
        },
    )  # fmt: skip


async def test_overrides_are_laid_over_one_another_and_null_takes_one_away(management: Management) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/tiers"
    operator = management.client()

    await operator.put(f"{base}/1", json={"overrides": {"rpm_limit": 3, "tokens_per_day": 9}})
    changed = await operator.put(f"{base}/1", json={"overrides": {"rpm_limit": None, "requests_per_day": 8}})

    assert (changed.status_code, changed.json()["overrides"]) == (200, {"requests_per_day": 8, "tokens_per_day": 9})
    assert changed.json()["limits"] == dict(zip(LIMITS, (10, 8, 9, None), strict=True))
    assert policy(management, project, "free").settings.user_rpm_limit == 10
    assert [b.limit for b in policy(management, project, "1").quotas] == [8, 9]


async def test_a_tier_follows_what_is_deployed_of_its_project(management: Management) -> None:
    project = await management.project()
    operator = management.client()
    await management.made(f"/v1/projects/{project}/tiers", {"name": "team", "overrides": {"rpm_limit": 3}})

    await operator.put(f"/v1/projects/{project}/settings", json={"provider_model": "gpt-4o"})
    assert policy(management, project, "team").settings.provider_model == "gpt-4o-mini"
    await operator.post(f"/v1/projects/{project}/deploy")

    assert policy(management, project, "team").settings.provider_model == "gpt-4o"
    assert policy(management, project, "team").settings.user_rpm_limit == 3


async def test_a_deleted_tier_is_gone_and_a_built_in_one_is_as_published(management: Management) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/tiers"
    operator = management.client()
    made = await management.made(base, {"name": "team", "overrides": {"rpm_limit": 3}})
    await operator.put(f"{base}/max", json={"overrides": {"rpm_limit": 3}})

    for tier in (made["id"], "max", "pro"):
        assert (await operator.delete(f"{base}/{tier}")).status_code == 204

    assert (await operator.get(base)).json() == {"data": BUILT_IN}
    assert policy(management, project, "team").tier == "free"
    assert policy(management, project, "max").settings.user_rpm_limit == 300
    assert refusal(await operator.delete(f"{base}/team")) == (404, "NOT_FOUND")
    again = await management.made(base, {"name": "team"})
    assert (again["id"] != made["id"], again["overrides"]) == (True, {})


async def test_a_project_has_three_tiers_of_its_own_at_most(management: Management) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/tiers"
    operator = management.client()
    for name in ("one", "two", "three"):
        await management.made(base, {"name": name})
    await operator.put(f"{base}/free", json={"overrides": {"rpm_limit": 3}})

    fourth = await operator.post(base, json={"name": "four"})
    await operator.delete(f"{base}/two")

    assert refusal(fourth) == (409, "CONFLICT")
    assert "at most 3 tiers of its own: one, two, three" in fourth.json()["message"]
    await management.made(base, {"name": "four"})
    assert (
        await operator.post(f"/v1/projects/{await management.project()}/tiers", json={"name": "four"})
    ).status_code == 201


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("free", (409, "CONFLICT")),
        ("team", (409, "CONFLICT")),
        ("", (400, "VALIDATION_ERROR")),
        ("2", (400, "VALIDATION_ERROR")),
        ("4th", (400, "VALIDATION_ERROR")),
        ("Team", (400, "VALIDATION_ERROR")),
        ("two words", (400, "VALIDATION_ERROR")),
        ("x" * 33, (400, "VALIDATION_ERROR")),
        ("a\n", (400, "VALIDATION_ERROR")),
        (None, (400, "VALIDATION_ERROR")),
        (7, (400, "VALIDATION_ERROR")),
    ],
)
async def test_a_name_that_cannot_be_is_refused(
    management: Management, name: object, expected: tuple[int, str]
) -> None:
    base = f"/v1/projects/{await management.project()}/tiers"
    await management.made(base, {"name": "team"})

    answer = await management.client().post(base, json={"name": name})

    assert refusal(answer) == expected
    assert expected[0] == 409 or "name" in answer.json()["message"]


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"rpm_limt": 5}, "rpm_limt"),
        ({"rpm_limit": 0}, "rpm_limit"),
        ({"rpm_limit": 1_000_001}, "rpm_limit"),
        ({"rpm_limit": True}, "rpm_limit"),
        ({"rpm_limit": "5"}, "rpm_limit"),
        ({"requests_per_day": -1}, "requests_per_day"),
        ({"tokens_per_day": 0}, "tokens_per_day"),
        ({"tokens_per_day": 1.5}, "tokens_per_day"),
        ({"tokens_per_month": 10**15 + 1}, "tokens_per_month"),
        ({"pii_mode": "enforce"}, "pii_mode"),
        ({"pii_mode": "shadow"}, "pii_mode"),
        ({"pii_mode": ""}, "pii_mode"),
        ({"sentinel_mode": "enforce"}, "sentinel_mode"),
        ({"sentinel_mode": "Disabled"}, "sentinel_mode"),
        ({"pii_entities": "US_SSN"}, "pii_entities"),
        ({"pii_entities": ["us_ssn"]}, "pii_entities"),
        ({"pii_entities": [1]}, "pii_entities"),
        ({"pii_entities": ["A"] * 201}, "pii_entities"),
        ({"sentinel_blocklist": [""]}, "sentinel_blocklist"),
        ({"sentinel_blocklist": ["a\nb"]}, "sentinel_blocklist"),
        ({"sentinel_blocklist": ["x" * 201]}, "sentinel_blocklist"),
        ({"memory_enabled": 1}, "memory_enabled"),
        ({"memory_window": -1}, "memory_window"),
        ({"memory_window": 1_001}, "memory_window"),
        ({"retention_days": 36_501}, "retention_days"),
        ({"store_tool_calls": "yes"}, "store_tool_calls"),
        ({"provider_model": ""}, "provider_model"),
        ({"provider_model": "gpt 4"}, "provider_model"),
        ({"system_prompt": 5}, "system_prompt"),
        ({"system_prompt": "x" * 65_537}, "system_prompt"),
        (7, "overrides"),
    ],
)
async def test_an_override_that_cannot_be_is_refused_by_name(
    management: Management, overrides: Any, field: str
) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/tiers"
    operator = management.client()

    answers = [
        await operator.put(f"{base}/free", json={"overrides": overrides}),
        await operator.post(base, json={"name": "team", "overrides": overrides}),
    ]

    assert [refusal(answer) for answer in answers] == [(400, "VALIDATION_ERROR")] * 2
    assert all(field in answer.json()["message"] for answer in answers)
    assert (await operator.get(base)).json() == {"data": BUILT_IN}


async def test_a_guard_that_would_not_guard_is_refused_in_words(management: Management) -> None:
    base = f"/v1/projects/{await management.project()}/tiers"

    answer = await management.client().put(f"{base}/free", json={"overrides": {"pii_mode": "enforce"}})

    assert answer.json()["message"] == (
        "pii_mode can only be 'disabled': this gateway has no PII Shield yet, and a guard that is asked for and does "
        "not guard would be worse than none"
    )


@pytest.mark.parametrize("body", [{}, {"overrides": None}, {"overrides": {}, "name": "pro"}, []])
async def test_a_change_is_overrides_and_nothing_else(management: Management, body: object) -> None:
    base = f"/v1/projects/{await management.project()}/tiers"

    assert refusal(await management.client().put(f"{base}/free", json=body)) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("tier", ["4", "gold", "0198c0de-7a11-7c0f-9f00-3b1c5a4e2d10", "%20"])
async def test_a_tier_that_is_not_there_is_not_found(management: Management, tier: str) -> None:
    base = f"/v1/projects/{await management.project()}/tiers"
    operator = management.client()

    answers = [
        await operator.get(f"{base}/{tier}"),
        await operator.get(f"{base}/{tier}/resolved"),
        await operator.put(f"{base}/{tier}", json={"overrides": {}}),
        await operator.delete(f"{base}/{tier}"),
    ]

    assert [refusal(answer) for answer in answers] == [(404, "NOT_FOUND")] * 4


async def test_operators_and_admins_manage_tiers_and_users_do_not(management: Management) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/tiers"
    admin = management.client(await management.token((await management.key(project, "admin"))["key"]))
    user = management.client(await management.token((await management.key(project))["key"]))
    nobody = management.client(None)

    async def asked(client: Any) -> list[int]:
        answers = [
            await client.post(base, json={"name": "team"}),
            await client.get(base),
            await client.get(f"{base}/free"),
            await client.get(f"{base}/free/resolved"),
            await client.put(f"{base}/free", json={"overrides": {"rpm_limit": 3}}),
            await client.delete(f"{base}/team"),
        ]
        return [answer.status_code for answer in answers]

    served = [201, 200, 200, 200, 200, 204]
    assert await asked(management.client()) == served
    assert await asked(admin) == served
    assert await asked(user) == [403] * 6
    assert await asked(nobody) == [401] * 6


async def test_a_deleted_projects_tiers_are_gone(management: Management) -> None:
    project = await management.project()
    await management.made(f"/v1/projects/{project}/tiers", {"name": "team"})

    await management.client().delete(f"/v1/projects/{project}")

    assert management.store.tiers(project) == []
    assert management.store.tiers_by_project() == {}


async def test_tiers_of_ones_own_need_a_paid_plan_where_plans_are_sold(management: Management) -> None:
    import httpx

    services = management.services
    publishing = Publishing(management.store, management.directory)
    selling = Tiers(management.store, services.projects, publishing, SystemClock(), sells_plans=True)
    management.transport = httpx.ASGITransport(management_app(replace(services, tiers=selling)))
    free, paid = await management.tenant(), await management.tenant(plan="pro")

    refused = await management.client().post(
        f"/v1/projects/{await management.project(free)}/tiers", json={"name": "team"}
    )

    assert refusal(refused) == (403, "FORBIDDEN")
    assert "plan pro or above" in refused.json()["message"]
    await management.made(f"/v1/projects/{await management.project(paid)}/tiers", {"name": "team"})
    changed = await management.client().put(
        f"/v1/projects/{await management.project(free)}/tiers/free", json={"overrides": {"rpm_limit": 3}}
    )
    assert changed.status_code == 200


async def test_a_mint_knows_the_tiers_of_its_project(management: Management) -> None:
    from behest_gateway.core.errors import GatewayError

    project = await management.project()
    key = (await management.key(project))["key"]
    await management.made(f"/v1/projects/{project}/tiers", {"name": "team"})

    for tier in (1, "2", "MAX", "team", "TEAM"):
        assert (await management.minter.mint(key, None, {"user_id": "u", "tier": tier})).token
    with pytest.raises(GatewayError) as caught:
        await management.minter.mint(key, None, {"user_id": "u", "tier": "gold"})
    assert (caught.value.status, caught.value.param) == (400, "tier")
    assert caught.value.message == "tier is one of 1, 2, 3 or free, pro, max, team"
