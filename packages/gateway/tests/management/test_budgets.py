"""Budgets are made, listed with what they have counted, changed and ended, each for the next request."""

from __future__ import annotations

from typing import Any

import pytest
from behest_gateway.core.budgets import Budget

from .conftest import Management
from .test_access import refusal


def published(management: Management, project: str) -> tuple[Budget, ...]:
    snapshot = management.directory.project(project)
    assert snapshot is not None
    return snapshot.budgets.all


@pytest.mark.parametrize(
    ("body", "spent"),
    [
        ({"scope": "project", "window": "month", "limit_usd": 25}, 0),
        ({"scope": "user", "user_id": "u_42", "window": "day", "limit_usd": "0.10"}, 0),
        ({"scope": "each_user", "window": "day", "limit_usd": 0.5, "timezone": "Europe/Berlin"}, None),
        ({"scope": "each_session", "window": "lifetime", "limit_usd": 1}, None),
        ({"scope": "each_thread", "window": "rolling", "hours": 5, "limit_usd": 1}, None),
        ({"scope": "each_key", "window": "day", "limit_usd": 1, "mode": "shadow"}, None),
        ({"scope": "model", "model": "gpt-4o", "window": "lifetime", "limit_usd": 1, "thresholds": [90]}, 0),
        ({"scope": "project", "window": "rolling", "hours": 1, "limit_usd": 1, "thresholds": []}, 0),
    ],
)
async def test_a_budget_is_made_listed_and_published(
    management: Management, body: dict[str, Any], spent: float | None
) -> None:
    project = await management.project()

    budget = await management.made(f"/v1/projects/{project}/budgets", body)

    assert budget == {
        "id": budget["id"],
        "tenant_id": budget["tenant_id"],
        "project_id": project,
        "scope": body["scope"],
        "user_id": body.get("user_id"),
        "key_id": None,
        "model": body.get("model"),
        "unit": "usd",
        "window": body["window"],
        "hours": body.get("hours"),
        "timezone": body.get("timezone", "UTC"),
        "mode": body.get("mode", "enforce"),
        "thresholds": body.get("thresholds", [50, 80, 100]),
        "limit_usd": float(body["limit_usd"]),
        "resets_at": budget["resets_at"],
        "created_at": budget["created_at"],
        "refused": 0,
        "spent_usd": spent,
        "held_usd": spent,
        **dict.fromkeys(f"{what}_{unit}" for what in ("limit", "spent", "held") for unit in ("tokens", "requests")),
    }
    assert budget["resets_at"] is None or budget["resets_at"] > budget["created_at"]
    assert (await management.client().get(f"/v1/projects/{project}/budgets")).json() == {"data": [budget]}
    (there,) = published(management, project)
    assert (there.id, there.scope, there.subject, there.window) == (
        budget["id"],
        body["scope"],
        body.get("user_id", body.get("model")),
        body["window"],
    )
    assert there.limit == round(float(body["limit_usd"]) * 1e9)
    again = management.restarted().project(project)
    assert again is not None
    assert again.budgets.all == (there,)


async def test_a_budgets_user_is_the_ledgers(management: Management) -> None:
    project = await management.project()
    body = {"scope": "user", "user_id": "u_42", "window": "day", "limit_usd": 1}

    await management.made(f"/v1/projects/{project}/budgets", body)
    await management.made(f"/v1/projects/{project}/budgets", {**body, "window": "month"})

    assert management.ledger.ref(project, "u_42") == 1
    assert [budget.subject for budget in management.store.budgets(project)] == ["u_42", "u_42"]


async def test_a_limit_is_changed_for_the_next_request(management: Management) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/budgets"
    budget = await management.made(base, {"scope": "project", "window": "day", "limit_usd": 1})
    operator = management.client()

    answer = await operator.patch(f"{base}/{budget['id']}", json={"limit_usd": "2.5"})

    assert (answer.status_code, answer.json()) == (200, {**budget, "limit_usd": 2.5})
    assert [there.limit for there in published(management, project)] == [2_500_000_000]
    refused = await operator.patch(f"{base}/{budget['id']}", json={"limit_usd": 1, "window": "month"})
    assert refusal(refused) == (400, "VALIDATION_ERROR")
    assert "window" in refused.json()["message"]


async def test_a_budget_ends_at_once(management: Management) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/budgets"
    budget = await management.made(base, {"scope": "project", "window": "day", "limit_usd": 1})
    operator = management.client()

    assert (await operator.delete(f"{base}/{budget['id']}")).status_code == 204

    assert published(management, project) == ()
    assert (await operator.get(base)).json() == {"data": []}
    assert refusal(await operator.delete(f"{base}/{budget['id']}")) == (404, "NOT_FOUND")
    assert refusal(await operator.patch(f"{base}/{budget['id']}", json={"limit_usd": 1})) == (404, "NOT_FOUND")


async def test_a_budget_of_another_project_is_not_found(management: Management) -> None:
    tenant = await management.tenant()
    mine, other = await management.project(tenant), await management.project(tenant)
    body = {"scope": "project", "window": "day", "limit_usd": 1}
    budget = await management.made(f"/v1/projects/{other}/budgets", body)

    answer = await management.client().delete(f"/v1/projects/{mine}/budgets/{budget['id']}")

    assert refusal(answer) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scope": "tenant"}, "scope"),
        ({"scope": None}, "scope"),
        ({"window": "week"}, "window"),
        ({"limit_usd": -1}, "limit_usd"),
        ({"limit_usd": 9_000_000.01}, "limit_usd"),
        ({"limit_usd": "ten"}, "limit_usd"),
        ({"limit_usd": True}, "limit_usd"),
        ({"limit_usd": None}, "limit_usd"),
        ({"limit_usd": {"amount": 1}}, "limit_usd"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": 1}, "timezone"),
        ({"user_id": "u_1"}, "user_id"),
        ({"scope": "each_user", "user_id": "u_1"}, "user_id"),
        ({"scope": "user"}, "user_id"),
        ({"scope": "user", "user_id": ""}, "user_id"),
        ({"scope": "user", "user_id": "admin"}, "user_id"),
        ({"scope": "user", "user_id": 7}, "user_id"),
        ({"limit": 5}, "limit"),
        ({"limit_tokens": 5}, "limit_usd"),
        ({"limit_usd": None, "limit_tokens": -1}, "limit_tokens"),
        ({"limit_usd": None, "limit_tokens": 1.5}, "limit_tokens"),
        ({"limit_usd": None, "limit_requests": 10**16}, "limit_requests"),
        ({"hours": 5}, "hours"),
        ({"window": "rolling"}, "hours"),
        ({"window": "rolling", "hours": 0}, "hours"),
        ({"window": "rolling", "hours": 9_000}, "hours"),
        ({"mode": "warn"}, "mode"),
        ({"thresholds": [0]}, "thresholds"),
        ({"thresholds": [101]}, "thresholds"),
        ({"thresholds": list(range(1, 12))}, "thresholds"),
        ({"key_id": "k"}, "key_id"),
        ({"scope": "key"}, "key_id"),
        ({"scope": "key", "key_id": "nobody's"}, "key_id"),
        ({"scope": "model"}, "model"),
        ({"scope": "model", "model": "a b"}, "model"),
        ({"scope": "each_session", "model": "gpt-4o"}, "model"),
    ],
)
async def test_a_wrong_field_of_a_budget_is_400_and_named(
    management: Management, change: dict[str, Any], field: str
) -> None:
    project = await management.project()
    body = {"scope": "project", "window": "day", "limit_usd": 1, **change}

    answer = await management.client().post(f"/v1/projects/{project}/budgets", json=body)

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert field in answer.json()["message"]
    assert published(management, project) == ()


@pytest.mark.parametrize("missing", ["scope", "window"])
async def test_what_a_budget_needs_is_said(management: Management, missing: str) -> None:
    project = await management.project()
    body: dict[str, Any] = {"scope": "project", "window": "day", "limit_usd": 1}
    del body[missing]

    answer = await management.client().post(f"/v1/projects/{project}/budgets", json=body)

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert answer.json()["message"] == f"{missing} is required"


async def test_a_number_that_is_none_is_refused(management: Management) -> None:
    project = await management.project()
    body = b'{"scope":"project","window":"day","limit_usd":NaN}'

    answer = await management.client().post(
        f"/v1/projects/{project}/budgets", content=body, headers={"content-type": "application/json"}
    )

    assert refusal(answer) == (400, "VALIDATION_ERROR")
