"""Budgets are made, listed with what they have counted, changed and ended, each for the next request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from behest_gateway.control.access import Actor
from behest_gateway.control.publishing import PUBLISHED_ALLOWANCES, Publishing
from behest_gateway.control.tenants import Tenants
from behest_gateway.core.budgets import Budget
from behest_gateway.core.clock import SystemClock

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


# -- what may change


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"mode": "shadow"}, {"mode": "shadow"}),
        ({"thresholds": [90, 10, 90]}, {"thresholds": [10, 90]}),
        ({"thresholds": []}, {"thresholds": []}),
        (
            {"limit_tokens": 7, "mode": "shadow", "thresholds": [1]},
            {"limit_tokens": 7, "mode": "shadow", "thresholds": [1]},
        ),
    ],
)
async def test_a_mode_and_thresholds_change_for_the_next_request(
    management: Management, change: dict[str, Any], shown: dict[str, Any]
) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/budgets"
    budget = await management.made(base, {"scope": "each_user", "window": "day", "limit_tokens": 5})

    answer = await management.client().patch(f"{base}/{budget['id']}", json=change)

    assert (answer.status_code, answer.json()) == (200, {**budget, **shown})
    (there,) = published(management, project)
    expected = {**budget, **shown}
    assert (there.limit, there.mode, list(there.thresholds)) == (
        expected["limit_tokens"],
        expected["mode"],
        expected["thresholds"],
    )
    again = management.restarted().project(project)
    assert again is not None
    assert again.budgets.all == (there,)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "limit_tokens"),
        ({"limit_usd": 1}, "limit_usd"),
        ({"limit_tokens": 1, "limit_requests": 1}, "limit_usd"),
        ({"mode": "warn"}, "mode"),
        ({"thresholds": [0]}, "thresholds"),
        ({"scope": "project"}, "scope"),
        ({"hours": 1}, "hours"),
    ],
)
async def test_a_change_that_cannot_be_is_400_and_names_the_field(
    management: Management, change: dict[str, Any], field: str
) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/budgets"
    budget = await management.made(base, {"scope": "each_user", "window": "day", "limit_tokens": 5})

    answer = await management.client().patch(f"{base}/{budget['id']}", json=change)

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert field in answer.json()["message"]
    assert (await management.client().get(base)).json() == {"data": [budget]}


# -- budgets of a key


async def test_a_budget_of_a_key_names_a_key_of_the_project(management: Management) -> None:
    tenant = await management.tenant()
    project, other = await management.project(tenant), await management.project(tenant)
    key, foreign = await management.key(project), await management.key(other)
    base = f"/v1/projects/{project}/budgets"
    body = {"scope": "key", "window": "month", "limit_requests": 5}

    budget = await management.made(base, {**body, "key_id": key["id"]})
    refused = await management.client().post(base, json={**body, "key_id": foreign["id"]})

    assert (budget["key_id"], budget["limit_requests"], budget["spent_requests"]) == (key["id"], 5, 0)
    assert (budget["user_id"], budget["model"]) == (None, None)
    assert refusal(refused) == (400, "VALIDATION_ERROR")
    assert "key_id" in refused.json()["message"]
    assert [(there.scope, there.subject) for there in published(management, project)] == [("key", key["id"])]


# -- top-ups


async def wallet_of(management: Management, project: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    """A prepaid budget, and the path of its top-ups."""
    body = {"scope": "user", "user_id": "u_42", "window": "lifetime", "limit_usd": 1, **changes}
    budget = await management.made(f"/v1/projects/{project}/budgets", body)
    return f"/v1/projects/{project}/budgets/{budget['id']}/top-ups", budget


async def test_a_top_up_raises_the_limit_and_is_listed(management: Management) -> None:
    project = await management.project()
    path, budget = await wallet_of(management, project)

    first = await management.made(path, {"amount_usd": "2.50", "note": "invoice 7"})
    second = await management.made(path, {"amount_usd": 0.25, "id": "pay_8"})

    raised = {**budget, "limit_usd": 3.5}
    record = {
        "id": first["id"],
        "budget_id": budget["id"],
        "amount_usd": 2.5,
        "amount_tokens": None,
        "amount_requests": None,
        "note": "invoice 7",
        "added_by": "operator",
        "added_at": first["added_at"],
    }
    assert first == {**record, "object": "top_up", "budget": raised}
    assert (second["id"], second["budget"]["limit_usd"]) == ("pay_8", 3.75)
    listed = (await management.client().get(path)).json()["data"]
    assert listed[0] == record
    assert [each["amount_usd"] for each in listed] == [2.5, 0.25]
    assert [there.limit for there in published(management, project)] == [3_750_000_000]
    again = management.restarted().project(project)
    assert again is not None
    assert again.budgets.all == published(management, project)


async def test_the_same_top_up_a_second_time_adds_nothing(management: Management) -> None:
    project = await management.project()
    path, _ = await wallet_of(management, project)
    body = {"id": "pay_7", "amount_usd": 2, "note": "invoice 7"}

    first = await management.made(path, body)
    again = await management.made(path, {**body, "note": "sent twice"})

    assert again == first
    assert [there.limit for there in published(management, project)] == [3_000_000_000]
    assert len((await management.client().get(path)).json()["data"]) == 1


async def test_an_id_of_a_top_up_is_for_one_amount_of_its_budget(management: Management) -> None:
    project = await management.project()
    path, _ = await wallet_of(management, project)
    elsewhere, _ = await wallet_of(management, project, user_id="u_43")
    await management.made(path, {"id": "pay_7", "amount_usd": 2})
    operator = management.client()

    assert refusal(await operator.post(path, json={"id": "pay_7", "amount_usd": 3})) == (409, "CONFLICT")
    await management.made(elsewhere, {"id": "pay_7", "amount_usd": 3})
    assert [there.limit for there in published(management, project)] == [3_000_000_000, 4_000_000_000]


@pytest.mark.parametrize(
    "body",
    [
        {"scope": "project", "window": "day", "limit_usd": 1},
        {"scope": "project", "window": "month", "limit_usd": 1},
        {"scope": "project", "window": "rolling", "hours": 5, "limit_usd": 1},
        {"scope": "each_user", "window": "lifetime", "limit_usd": 1},
        {"scope": "each_session", "window": "lifetime", "limit_usd": 1},
    ],
)
async def test_only_a_lifetime_with_one_counter_can_be_topped_up(management: Management, body: dict[str, Any]) -> None:
    project = await management.project()
    base = f"/v1/projects/{project}/budgets"
    budget = await management.made(base, body)

    answer = await management.client().post(f"{base}/{budget['id']}/top-ups", json={"amount_usd": 1})

    assert refusal(answer) == (409, "CONFLICT")
    assert "lifetime" in answer.json()["message"]
    assert [there.limit for there in published(management, project)] == [1_000_000_000]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "amount_usd"),
        ({"amount_usd": 0}, "amount_usd"),
        ({"amount_usd": -1}, "amount_usd"),
        ({"amount_usd": 9_000_000}, "amount_usd"),
        ({"amount_tokens": 5}, "amount_usd"),
        ({"amount_usd": 1, "amount_tokens": 5}, "amount_usd"),
        ({"amount_usd": 1, "id": "a b"}, "id"),
        ({"amount_usd": 1, "id": "x" * 129}, "id"),
        ({"amount_usd": 1, "note": "x" * 201}, "note"),
        ({"amount_usd": 1, "note": "two\nlines"}, "note"),
        ({"amount_usd": 1, "colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_field_of_a_top_up_is_400_and_named(
    management: Management, body: dict[str, Any], field: str
) -> None:
    project = await management.project()
    path, _ = await wallet_of(management, project)

    answer = await management.client().post(path, json=body)

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert field in answer.json()["message"]
    assert [there.limit for there in published(management, project)] == [1_000_000_000]
    assert (await management.client().get(path)).json() == {"data": []}


async def test_a_top_up_of_a_budget_that_is_not_there_is_404(management: Management) -> None:
    tenant = await management.tenant()
    project, other = await management.project(tenant), await management.project(tenant)
    path, budget = await wallet_of(management, project)
    operator = management.client()

    for wrong in (path.replace(project, other), path.replace(budget["id"], "nobody")):
        assert refusal(await operator.post(wrong, json={"amount_usd": 1})) == (404, "NOT_FOUND")
        assert refusal(await operator.get(wrong)) == (404, "NOT_FOUND")


# -- budgets of a tenant

OF_TENANT = "/v1/tenants/me/budgets"


async def test_a_tenants_budget_holds_in_each_of_its_projects_at_once(management: Management) -> None:
    tenant, stranger = await management.tenant(), await management.tenant("Initech")
    projects = [await management.project(tenant) for _ in range(2)]
    elsewhere = await management.project(stranger)
    path = f"{OF_TENANT}?tenant_id={tenant}"
    operator = management.client()

    budget = await management.made(path, {"scope": "tenant", "window": "lifetime", "limit_usd": 25})
    later = await management.project(tenant)

    assert (budget["scope"], budget["tenant_id"], budget["project_id"]) == ("tenant", tenant, None)
    assert (await operator.get(path)).json() == {"data": [budget]}
    one = f"{OF_TENANT}/{budget['id']}"
    for project in (*projects, later):
        assert [(there.id, there.limit) for there in published(management, project)] == [(budget["id"], 25 * 10**9)]
        assert (await operator.get(f"/v1/projects/{project}/budgets")).json() == {"data": []}
    assert published(management, elsewhere) == ()
    again = management.restarted()
    assert [again.project(each) for each in projects] == [management.directory.project(each) for each in projects]

    changed = await operator.patch(f"{one}?tenant_id={tenant}", json={"limit_usd": 5})
    topped = await management.made(f"{one}/top-ups?tenant_id={tenant}", {"amount_usd": 1})
    assert (changed.status_code, changed.json()["limit_usd"], topped["budget"]["limit_usd"]) == (200, 5, 6)
    assert [published(management, project)[0].limit for project in projects] == [6 * 10**9] * 2
    listed = (await operator.get(f"{one}/top-ups?tenant_id={tenant}")).json()["data"]
    assert [each["amount_usd"] for each in listed] == [1]

    assert (await operator.delete(f"{one}?tenant_id={tenant}")).status_code == 204
    assert [published(management, project) for project in projects] == [(), ()]


async def test_a_tenants_admin_reads_its_budgets_and_changes_none(management: Management) -> None:
    tenant, stranger = await management.tenant(), await management.tenant("Initech")
    project = await management.project(tenant)
    budget = await management.made(
        f"{OF_TENANT}?tenant_id={tenant}", {"scope": "tenant", "window": "lifetime", "limit_usd": 25}
    )
    theirs = await management.made(
        f"{OF_TENANT}?tenant_id={stranger}", {"scope": "tenant", "window": "lifetime", "limit_usd": 1}
    )
    admin = management.client(await management.token((await management.key(project, "admin"))["key"]))
    body = {"scope": "tenant", "window": "day", "limit_usd": 1_000}
    one = f"{OF_TENANT}/{budget['id']}"

    assert (await admin.get(OF_TENANT)).json() == {"data": [budget]}
    assert (await admin.get(f"{one}/top-ups")).json() == {"data": []}
    for refused in (
        await admin.post(OF_TENANT, json=body),
        await admin.patch(one, json={"limit_usd": 1_000}),
        await admin.delete(one),
        await admin.post(f"{one}/top-ups", json={"amount_usd": 1_000}),
        await admin.get(f"{OF_TENANT}?tenant_id={stranger}"),
        await admin.post(f"{OF_TENANT}?tenant_id={stranger}", json=body),
        await admin.delete(f"{OF_TENANT}/{theirs['id']}?tenant_id={stranger}"),
    ):
        assert refusal(refused) == (403, "FORBIDDEN")
    assert refusal(await admin.get(f"{OF_TENANT}/{theirs['id']}/top-ups")) == (404, "NOT_FOUND")
    assert [there.limit for there in published(management, project)] == [25 * 10**9]


async def test_a_tenants_budget_is_made_with_its_tenant_and_nowhere_else(management: Management) -> None:
    tenant = await management.tenant()
    operator = management.client()
    body = {"scope": "tenant", "window": "day", "limit_usd": 1}

    unnamed = await operator.post(OF_TENANT, json=body)
    unknown = await operator.post(f"{OF_TENANT}?tenant_id=nobody", json=body)
    of_a_project = await operator.post(f"{OF_TENANT}?tenant_id={tenant}", json={**body, "scope": "project"})

    assert refusal(unnamed) == (400, "VALIDATION_ERROR")
    assert "tenant_id" in unnamed.json()["message"]
    assert refusal(unknown) == (404, "NOT_FOUND")
    assert refusal(of_a_project) == (400, "VALIDATION_ERROR")
    assert "scope" in of_a_project.json()["message"]


# -- what a plan allows


async def test_a_plans_tokens_are_a_budget_of_the_tenant_that_follows_the_plan_at_once(management: Management) -> None:
    publishing = Publishing(management.store, management.directory, PUBLISHED_ALLOWANCES)
    tenants = Tenants(management.store, publishing, SystemClock())
    tenant = await management.tenant()
    project = await management.project(tenant)
    publishing.everything()

    (allowed,) = published(management, project)
    assert (allowed.scope, allowed.unit, allowed.window) == ("tenant", "tokens", "month")
    assert (allowed.limit, allowed.source, allowed.is_enforced) == (5_000_000, "plan", True)

    for plan, limit in (("pro", 50_000_000), ("max", 500_000_000)):
        tenants.change(Actor(), tenant, plan=plan)
        assert published(management, project) == (replace(allowed, limit=limit),)
    tenants.change(Actor(), tenant, plan="enterprise")
    assert published(management, project) == ()
    assert (await management.client().get(f"{OF_TENANT}?tenant_id={tenant}")).json() == {"data": []}
