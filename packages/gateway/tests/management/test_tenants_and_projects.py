"""Tenants and projects: made, listed, changed, suspended and ended; each change is published at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .conftest import Management
from .test_access import refusal

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def test_a_tenant_is_made_listed_and_changed(management: Management) -> None:
    operator = management.client()

    made = await operator.post("/v1/tenants", json={"name": " Acme "})
    tenant = made.json()
    changed = await operator.patch(
        f"/v1/tenants/me?tenant_id={tenant['id']}", json={"name": "Acme Inc.", "plan": "pro"}
    )

    assert made.status_code == 201
    assert UUID.fullmatch(tenant["id"])
    assert TIME.fullmatch(tenant["created_at"])
    assert tenant == {"id": tenant["id"], "name": "Acme", "plan": "free", "created_at": tenant["created_at"]}
    assert changed.json() == {**tenant, "name": "Acme Inc.", "plan": "pro"}
    assert (await operator.get("/v1/tenants")).json() == {"data": [changed.json()]}
    assert (await operator.get(f"/v1/tenants/me?tenant_id={tenant['id']}")).json() == changed.json()
    assert refusal(await operator.get("/v1/tenants/me?tenant_id=nobody")) == (404, "NOT_FOUND")


async def test_a_project_is_made_with_its_settings_deployed(management: Management) -> None:
    tenant = await management.tenant()

    project = await management.made(
        "/v1/projects",
        {"tenant_id": tenant, "name": "Chat", "slug": "support-chat", "settings": {"rpm_limit": 5}},
    )

    settings: dict[str, Any] = {
        "provider_model": "gpt-4o-mini",
        "allowed_models": None,
        "allowed_origins": [],
        "rpm_limit": 5,
        "user_rpm_limit": None,
        "key_rpm_limit": None,
        "tpm_limit": None,
        "user_tpm_limit": None,
        "key_tpm_limit": None,
        "max_concurrent": None,
        "user_max_concurrent": None,
        "key_max_concurrent": None,
        "user_requests_per_day": None,
        "user_tokens_per_day": None,
        "user_tokens_per_month": None,
        "max_output_tokens": 4096,
        "min_output_tokens": 16,
        "system_prompt": None,
        "memory_enabled": True,
        "memory_window": 20,
        "retention_days": 0,
        "store_tool_calls": True,
        "session_memory": False,
    }
    assert TIME.fullmatch(project["created_at"])
    assert project == {
        "id": project["id"],
        "tenant_id": tenant,
        "name": "Chat",
        "slug": "support-chat",
        "host": "support-chat.localhost",
        "status": "active",
        "dns_status": "READY",
        "created_at": project["created_at"],
        "settings": settings,
    }
    published = management.directory.project_by_slug("support-chat")
    assert published is not None
    assert (published.id, published.settings.rpm_limit) == (project["id"], 5)
    operator = management.client()
    assert (await operator.get(f"/v1/projects/{project['id']}")).json() == project
    assert (await operator.get("/v1/projects")).json() == {"data": [project]}
    assert (await operator.get(f"/v1/projects?tenant_id={tenant}")).json() == {"data": [project]}
    assert (await operator.get("/v1/projects?tenant_id=nobody")).json() == {"data": []}
    assert (await operator.post(f"/v1/projects/{project['id']}/provisioning/retry")).json() == project


async def test_a_slug_is_made_up_when_none_is_given(management: Management) -> None:
    tenant = await management.tenant()

    project = await management.made("/v1/projects", {"tenant_id": tenant, "name": "Chat"})

    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{3}", project["slug"])
    assert project["host"] == project["slug"] + ".localhost"


async def test_a_slug_that_is_taken_is_a_conflict(management: Management) -> None:
    tenant = await management.tenant()
    body = {"tenant_id": tenant, "name": "Chat", "slug": "chat"}
    await management.made("/v1/projects", body)

    answer = await management.client().post("/v1/projects", json=body)

    assert refusal(answer) == (409, "CONFLICT")
    assert "'chat' is taken" in answer.json()["message"]


async def test_the_slug_of_a_deleted_project_is_free_again(management: Management) -> None:
    tenant = await management.tenant()
    body = {"tenant_id": tenant, "name": "Chat", "slug": "chat"}
    first = await management.made("/v1/projects", body)
    await management.client().delete(f"/v1/projects/{first['id']}")

    second = await management.made("/v1/projects", body)
    await management.client().delete(f"/v1/projects/{second['id']}")

    assert management.directory.project_by_slug("chat") is None


async def test_a_project_is_renamed_and_keeps_its_slug(management: Management) -> None:
    project = await management.project(slug="chat")

    answer = await management.client().patch(f"/v1/projects/{project}", json={"name": "Talk"})

    assert (answer.status_code, answer.json()["name"], answer.json()["slug"]) == (200, "Talk", "chat")
    published = management.directory.project(project)
    assert published is not None
    assert published.name == "Talk"


async def test_a_project_is_suspended_and_resumed(management: Management) -> None:
    project = await management.project()
    operator = management.client()

    for action, status in (("suspend", "suspended"), ("suspend", "suspended"), ("resume", "active")):
        answer = await operator.post(f"/v1/projects/{project}/{action}")
        assert (answer.status_code, answer.json()["status"]) == (200, status)
        for directory in (management.directory, management.restarted()):
            published = directory.project(project)
            assert published is not None
            assert published.status == status


async def test_a_deleted_project_is_gone_with_its_keys_and_budgets(management: Management) -> None:
    project = await management.project()
    await management.key(project)
    await management.made(f"/v1/projects/{project}/budgets", {"scope": "project", "window": "day", "limit_usd": 1})
    operator = management.client()

    answer = await operator.delete(f"/v1/projects/{project}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert refusal(await operator.get(f"/v1/projects/{project}")) == (404, "NOT_FOUND")
    assert refusal(await operator.delete(f"/v1/projects/{project}")) == (404, "NOT_FOUND")
    assert (await operator.get("/v1/projects")).json() == {"data": []}
    assert management.directory.project(project) is None
    assert management.restarted().project(project) is None
    assert (management.store.keys(None), management.store.budgets(None)) == ([], [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": 7}, "name"),
        ({"slug": "No Slug"}, "slug"),
        ({"slug": "api"}, "slug"),
        ({"color": "red"}, "color"),
        ({"settings": {"rpm_limt": 5}}, "rpm_limt"),
        ({"settings": {"rpm_limit": "60"}}, "rpm_limit"),
        ({"settings": {"rpm_limit": None}}, "rpm_limit"),
        ({"settings": {"rpm_limit": 0}}, "rpm_limit"),
        ({"settings": {"allowed_origins": ["*"]}}, "allowed_origins"),
        ({"settings": []}, "settings"),
    ],
)
async def test_a_wrong_field_of_a_project_is_400_and_named(
    management: Management, change: dict[str, object], field: str
) -> None:
    tenant = await management.tenant()

    answer = await management.client().post("/v1/projects", json={"tenant_id": tenant, "name": "Chat", **change})

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert field in answer.json()["message"]
    assert (await management.client().get("/v1/projects")).json() == {"data": []}


async def test_a_project_of_a_tenant_that_does_not_exist_is_404(management: Management) -> None:
    answer = await management.client().post("/v1/projects", json={"tenant_id": "nobody", "name": "Chat"})

    assert refusal(answer) == (404, "NOT_FOUND")


@pytest.mark.parametrize("plan", ["gold", "", None, 3])
async def test_a_plan_is_one_that_exists(management: Management, plan: object) -> None:
    answer = await management.client().post("/v1/tenants", json={"name": "Acme", "plan": plan})

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert "plan" in answer.json()["message"]
