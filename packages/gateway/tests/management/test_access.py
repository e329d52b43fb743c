"""Who may manage, and what each of them sees."""

from __future__ import annotations

import httpx
import pytest

from .conftest import SECRET, Management


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, whose shape is checked on the way."""
    body = answer.json()
    assert set(body) == {"error", "message", "code", "retryable", "trace_id"}
    assert body["error"] == body["message"]
    return answer.status_code, body["code"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {SECRET}"},
        {"Authorization": f"bearer {SECRET}"},
        {"X-Admin-Secret": SECRET},
        {"X-Admin-Secret": SECRET, "Authorization": "Bearer nonsense"},
    ],
)
async def test_the_operator_secret_is_taken_in_either_header(management: Management, headers: dict[str, str]) -> None:
    answer = await management.client(None, **headers).get("/v1/tenants")

    assert (answer.status_code, answer.json()) == (200, {"data": []})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        ({}, "Send the operator secret"),
        ({"Authorization": "Basic b3BzOnNlY3JldA=="}, "Send the operator secret"),
        ({"Authorization": "Bearer "}, "Send the operator secret"),
        ({"Authorization": "Bearer wrong-secret"}, "neither the operator secret nor a token"),
        ({"Authorization": "Bearer a.b.c"}, "JWT"),
        ({"Authorization": "Bearer behest_sk_live_" + "0" * 32}, "only mints"),
        ({"X-Admin-Secret": "wrong-secret"}, "not this gateway's operator secret"),
        ({"X-Admin-Secret": "wrong-secret", "Authorization": f"Bearer {SECRET}"}, "not this gateway's operator"),
    ],
)
async def test_a_missing_or_wrong_credential_is_401_with_a_hint(
    management: Management, headers: dict[str, str], hint: str
) -> None:
    answer = await management.client(None, **headers).get("/v1/tenants")

    assert refusal(answer) == (401, "INVALID_TOKEN")
    assert hint in answer.json()["message"]
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_users_token_is_forbidden(management: Management) -> None:
    project = await management.project()
    token = await management.token((await management.key(project))["key"])

    assert refusal(await management.client(token).get(f"/v1/projects/{project}")) == (403, "FORBIDDEN")


async def test_an_admins_token_manages_its_own_tenant(management: Management) -> None:
    tenant = await management.tenant("Mine")
    project = await management.project(tenant)
    admin = management.client(await management.token((await management.key(project, "admin"))["key"]))

    me = await admin.get("/v1/tenants/me")
    made = await admin.post("/v1/projects", json={"name": "Another"})
    projects = await admin.get("/v1/projects")
    key = await admin.post(f"/v1/projects/{project}/keys", json={})
    signing_key = await admin.post("/v1/signing-keys", json={})

    assert (me.status_code, me.json()["id"]) == (200, tenant)
    assert (made.status_code, made.json()["tenant_id"]) == (201, tenant)
    assert [p["id"] for p in projects.json()["data"]] == [project, made.json()["id"]]
    assert (key.status_code, signing_key.status_code) == (201, 201)


async def test_another_tenant_is_not_even_seen(management: Management) -> None:
    mine, other = await management.tenant("Mine"), await management.tenant("Other")
    project, hidden = await management.project(mine), await management.project(other)
    hidden_key = await management.key(hidden)
    hidden_signing_key = await management.made("/v1/signing-keys", {"tenant_id": other})
    budget = {"scope": "project", "window": "day", "limit_usd": 1}
    hidden_budget = await management.made(f"/v1/projects/{hidden}/budgets", budget)
    admin = management.client(await management.token((await management.key(project, "admin"))["key"]))
    base = f"/v1/projects/{hidden}"

    not_found = [
        await admin.get(base),
        await admin.patch(base, json={"name": "x"}),
        await admin.delete(base),
        await admin.post(f"{base}/suspend"),
        await admin.post(f"{base}/resume"),
        await admin.get(f"{base}/settings"),
        await admin.put(f"{base}/settings", json={"rpm_limit": 1}),
        await admin.post(f"{base}/deploy"),
        await admin.delete(f"{base}/draft"),
        await admin.get(f"{base}/keys"),
        await admin.post(f"{base}/keys", json={}),
        await admin.delete(f"{base}/keys/{hidden_key['id']}"),
        await admin.post(f"{base}/keys/{hidden_key['id']}/rotate"),
        await admin.delete(f"/v1/projects/{project}/keys/{hidden_key['id']}"),
        await admin.get(f"{base}/budgets"),
        await admin.post(f"{base}/budgets", json=budget),
        await admin.patch(f"{base}/budgets/{hidden_budget['id']}", json={"limit_usd": 9}),
        await admin.delete(f"/v1/projects/{project}/budgets/{hidden_budget['id']}"),
        await admin.get(f"{base}/tiers"),
        await admin.post(f"{base}/tiers", json={"name": "team"}),
        await admin.get(f"{base}/tiers/free"),
        await admin.put(f"{base}/tiers/free", json={"overrides": {}}),
        await admin.delete(f"{base}/tiers/free"),
        await admin.get(f"{base}/tiers/free/resolved"),
        await admin.delete(f"/v1/signing-keys/{hidden_signing_key['kid']}"),
    ]
    forbidden = [
        await admin.get("/v1/tenants"),
        await admin.post("/v1/tenants", json={"name": "x"}),
        await admin.get(f"/v1/tenants/me?tenant_id={other}"),
        await admin.get(f"/v1/projects?tenant_id={other}"),
        await admin.post("/v1/projects", json={"name": "x", "tenant_id": other}),
        await admin.get(f"/v1/signing-keys?tenant_id={other}"),
        await admin.post("/v1/signing-keys", json={"tenant_id": other}),
        await admin.patch("/v1/tenants/me", json={"plan": "enterprise"}),
        await admin.post("/v1/admin/minting-key/rotate"),
    ]

    assert [refusal(answer) for answer in not_found] == [(404, "NOT_FOUND")] * len(not_found)
    assert [refusal(answer) for answer in forbidden] == [(403, "FORBIDDEN")] * len(forbidden)
    assert [p["id"] for p in (await admin.get("/v1/projects")).json()["data"]] == [project]
    assert (await admin.get("/v1/signing-keys")).json() == {"data": []}


async def test_an_admins_token_ends_with_the_key_that_minted_it(management: Management) -> None:
    project = await management.project()
    key = await management.key(project, "admin")
    admin = management.client(await management.token(key["key"]))
    assert (await admin.get("/v1/tenants/me")).status_code == 200

    await management.client().delete(f"/v1/projects/{project}/keys/{key['id']}")

    answer = await admin.get("/v1/tenants/me")
    assert refusal(answer) == (401, "INVALID_TOKEN")
    assert "API key that minted this token was revoked" in answer.json()["message"]


async def test_an_admin_cannot_resume_a_project_that_was_suspended_over_it(management: Management) -> None:
    project = await management.project()
    admin = management.client(await management.token((await management.key(project, "admin"))["key"]))
    await management.client().post(f"/v1/projects/{project}/suspend")

    assert refusal(await admin.post(f"/v1/projects/{project}/resume")) == (403, "FORBIDDEN")


async def test_an_admins_token_ends_with_its_project(management: Management) -> None:
    project = await management.project()
    admin = management.client(await management.token((await management.key(project, "admin"))["key"]))
    await management.client().delete(f"/v1/projects/{project}")

    assert refusal(await admin.get("/v1/tenants/me")) == (401, "INVALID_TOKEN")


async def test_a_token_of_a_tenants_own_key_is_never_an_admins(management: Management) -> None:
    import time

    import jwt

    tenant = await management.tenant()
    project = await management.project(tenant)
    key = await management.made("/v1/signing-keys", {"tenant_id": tenant})
    now = int(time.time())
    claims = {
        "tid": tenant,
        "pid": project,
        "uid": "u_1",
        "role": "admin",
        "iss": "behest",
        "aud": "behest",
        "iat": now,
        "nbf": now,
        "exp": now + 300,
    }
    token = jwt.encode(claims, key["private_key_pem"], algorithm="RS256", headers={"kid": key["kid"]})

    assert refusal(await management.client(token).get("/v1/tenants/me")) == (403, "FORBIDDEN")


async def test_an_operator_must_say_which_tenant_is_meant(management: Management) -> None:
    operator = management.client()

    answers = [
        await operator.get("/v1/tenants/me"),
        await operator.post("/v1/projects", json={"name": "x"}),
        await operator.post("/v1/signing-keys"),
    ]

    assert [refusal(answer) for answer in answers] == [(400, "VALIDATION_ERROR")] * 3
    assert all("tenant_id" in answer.json()["message"] for answer in answers)
