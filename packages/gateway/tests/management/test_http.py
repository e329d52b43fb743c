"""What every answer of the management plane has in common."""

from __future__ import annotations

import logging

import httpx
import pytest
from behest_gateway.http.management_api import management_app
from starlette.types import Receive, Scope, Send

from .conftest import SECRET, Management
from .test_access import refusal


async def test_an_address_that_is_none_is_a_flat_404(management: Management) -> None:
    assert refusal(await management.client().get("/v1/nothing")) == (404, "NOT_FOUND")
    assert refusal(await management.client().get("/v1/tenants/")) == (404, "NOT_FOUND")
    assert refusal(await management.client(None).get("/docs")) == (404, "NOT_FOUND")


async def test_a_method_that_is_not_served_is_a_flat_405(management: Management) -> None:
    answer = await management.client().put("/v1/tenants/me", json={})

    assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'"x"', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"name": ' + b"9" * 5000 + b"}", "application/json"),
        (b'{"name":"\\ud800"}', "application/json"),
        (b'{"name":"Acme"}', "text/plain"),
        (b"name=Acme", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_cannot_be_read_is_400(management: Management, body: bytes, content_type: str) -> None:
    answer = await management.client().post("/v1/tenants", content=body, headers={"content-type": content_type})

    assert refusal(answer) == (400, "VALIDATION_ERROR")


async def test_what_was_sent_is_not_repeated_in_a_refusal(management: Management) -> None:
    answer = await management.client().post("/v1/tenants", json={"name": ["canary-value"], "plan": "canary-value"})

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert "canary-value" not in answer.text


async def test_a_refusal_carries_the_trace_id_of_the_front(management: Management) -> None:
    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        await management_app(management.services)({**scope, "state": {"request_id": "r-1"}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://gateway") as client:
        answer = await client.get("/v1/tenants")

    assert (answer.status_code, answer.json()["trace_id"]) == (401, "r-1")


async def test_a_failure_that_nobody_foresaw_is_a_flat_500_and_tells_no_secret(
    management: Management, caplog: pytest.LogCaptureFixture
) -> None:
    operator = management.client()
    management.lose_the_tenants()

    with caplog.at_level(logging.ERROR, "behest.management"):
        answer = await operator.get("/v1/tenants")

    assert refusal(answer) == (500, "SERVER_ERROR")
    assert answer.json()["retryable"] is True
    assert "SQLError" in caplog.text
    assert "control.py" in caplog.text
    assert "no such table" not in caplog.text + answer.text
    assert SECRET not in caplog.text


async def test_the_api_reference_is_open_and_whole(management: Management) -> None:
    answer = await management.client(None).get("/v1/openapi.json")
    document = answer.json()

    assert answer.status_code == 200
    operations = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert operations == {
        ("POST", "/v1/tenants"),
        ("GET", "/v1/tenants"),
        ("GET", "/v1/tenants/me"),
        ("PATCH", "/v1/tenants/me"),
        ("POST", "/v1/projects"),
        ("GET", "/v1/projects"),
        ("GET", "/v1/projects/{project_id}"),
        ("PATCH", "/v1/projects/{project_id}"),
        ("DELETE", "/v1/projects/{project_id}"),
        ("POST", "/v1/projects/{project_id}/suspend"),
        ("POST", "/v1/projects/{project_id}/resume"),
        ("POST", "/v1/projects/{project_id}/provisioning/retry"),
        ("GET", "/v1/projects/{project_id}/settings"),
        ("PUT", "/v1/projects/{project_id}/settings"),
        ("POST", "/v1/projects/{project_id}/deploy"),
        ("DELETE", "/v1/projects/{project_id}/draft"),
        ("GET", "/v1/events"),
        ("GET", "/v1/projects/{project_id}/events"),
        ("GET", "/v1/projects/{project_id}/webhooks"),
        ("POST", "/v1/projects/{project_id}/webhooks"),
        ("GET", "/v1/projects/{project_id}/webhooks/{webhook_id}"),
        ("PATCH", "/v1/projects/{project_id}/webhooks/{webhook_id}"),
        ("DELETE", "/v1/projects/{project_id}/webhooks/{webhook_id}"),
        ("POST", "/v1/projects/{project_id}/webhooks/{webhook_id}/rotate"),
        ("POST", "/v1/projects/{project_id}/webhooks/{webhook_id}/test"),
        ("GET", "/v1/projects/{project_id}/webhooks/{webhook_id}/deliveries"),
        ("POST", "/v1/projects/{project_id}/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"),
        ("POST", "/v1/projects/{project_id}/keys"),
        ("GET", "/v1/projects/{project_id}/keys"),
        ("DELETE", "/v1/projects/{project_id}/keys/{key_id}"),
        ("POST", "/v1/projects/{project_id}/keys/{key_id}/rotate"),
        ("POST", "/v1/signing-keys"),
        ("GET", "/v1/signing-keys"),
        ("DELETE", "/v1/signing-keys/{kid}"),
        ("POST", "/v1/projects/{project_id}/budgets"),
        ("GET", "/v1/projects/{project_id}/budgets"),
        ("PATCH", "/v1/projects/{project_id}/budgets/{budget_id}"),
        ("DELETE", "/v1/projects/{project_id}/budgets/{budget_id}"),
        ("POST", "/v1/projects/{project_id}/budgets/{budget_id}/top-ups"),
        ("GET", "/v1/projects/{project_id}/budgets/{budget_id}/top-ups"),
        ("GET", "/v1/projects/{project_id}/tiers"),
        ("POST", "/v1/projects/{project_id}/tiers"),
        ("GET", "/v1/projects/{project_id}/tiers/{tier}"),
        ("PUT", "/v1/projects/{project_id}/tiers/{tier}"),
        ("DELETE", "/v1/projects/{project_id}/tiers/{tier}"),
        ("GET", "/v1/projects/{project_id}/tiers/{tier}/resolved"),
        ("POST", "/v1/tenants/me/budgets"),
        ("GET", "/v1/tenants/me/budgets"),
        ("PATCH", "/v1/tenants/me/budgets/{budget_id}"),
        ("DELETE", "/v1/tenants/me/budgets/{budget_id}"),
        ("POST", "/v1/tenants/me/budgets/{budget_id}/top-ups"),
        ("GET", "/v1/tenants/me/budgets/{budget_id}/top-ups"),
        ("GET", "/v1/projects/{project_id}/analytics/summary"),
        ("GET", "/v1/projects/{project_id}/usage.csv"),
        ("GET", "/v1/projects/{project_id}/analytics/users"),
        ("GET", "/v1/projects/{project_id}/analytics/sessions"),
        ("GET", "/v1/projects/{project_id}/analytics/threads"),
        ("GET", "/v1/projects/{project_id}/analytics/models"),
        ("GET", "/v1/projects/{project_id}/analytics/tiers"),
        ("GET", "/v1/admin/kill-switches"),
        ("GET", "/v1/admin/kill-switch-changes"),
        ("GET", "/v1/admin/kill-switches/{scope}"),
        ("PUT", "/v1/admin/kill-switches/{scope}"),
        ("DELETE", "/v1/admin/kill-switches/{scope}"),
        ("GET", "/v1/admin/kill-switches/{scope}/{target}"),
        ("PUT", "/v1/admin/kill-switches/{scope}/{target}"),
        ("DELETE", "/v1/admin/kill-switches/{scope}/{target}"),
        ("POST", "/v1/admin/minting-key/rotate"),
    }
    for path in document["paths"].values():
        for operation in path.values():
            assert "422" not in operation["responses"]
            assert operation["description"]
            assert operation["security"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
