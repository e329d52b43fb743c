"""What a project's money went to: by time, user, session, thread, model and tier, for whoever manages the project."""

from __future__ import annotations

from typing import Any

import pytest
from behest_gateway.core.budgets import Amounts
from behest_gateway.core.exchange import Entry, Outcome
from behest_gateway.core.ids import new_id
from behest_protocol.usage import Usage

from .conftest import Management
from .test_access import refusal

HOUR = 3_600_000_000
APRIL = 1_775_001_600_000_000
"""2026-04-01T00:00:00Z."""


def book(management: Management, project: str, hour: int, cost: int, **more: Any) -> None:
    """Write a row of the ledger as the gateway does."""
    texts = dict.fromkeys(("request_id", "tenant_id", "provider", "model_asked", "price_version", "price_hash"), "x")
    entry = Entry(
        **{
            **texts,
            **{"attempt_id": new_id(), "attempt": 1, "operation": "chat", "started_at": APRIL + hour * HOUR + 7},
            **{"project_id": project, "user_id": "ada", "api_key_id": None, "thread_id": None, "stream": False},
            **{"session_id": None, "tier": None, "model": "m"},
            **more,
        }
    )
    outcome = Outcome(
        state="settled",
        charged=Amounts(cost, 0, 1),
        usage=Usage(input=10, cached_read=4, output=2),
        status=200,
        error_code=None,
        finish_reason=None,
        latency_us=1,
        first_byte_us=None,
    )
    management.ledger.refuse(entry, outcome)
    management.ledger.close()


def sums(requests: int, cost_usd: float) -> dict[str, Any]:
    """The sums of calls as `book` makes them."""
    return {
        "requests": requests,
        "tokens": 12 * requests,
        "input_tokens": 10 * requests,
        "cached_read_tokens": 4 * requests,
        "output_tokens": 2 * requests,
        "cost_usd": cost_usd,
    }


@pytest.fixture
async def project(management: Management) -> str:
    """A project with four attempts, a refusal, and another project's attempt."""
    project = await management.project()
    book(management, project, 0, 10**9)
    book(management, project, 1, 2 * 10**9, session_id="s", thread_id="t", tier="free")
    book(management, project, 25, 4 * 10**9, session_id="s", model="n", byok=True)
    book(management, project, 26, 8 * 10**9, user_id="bob", session_id="s", tier="free")
    book(management, project, 26, 0, attempt=0)
    book(management, await management.project(), 1, 10**9)
    return project


async def ask(management: Management, project: str, question: str, **query: Any) -> Any:
    answer = await management.client().get(
        f"/v1/projects/{project}/analytics/{question}", params={"from": "2026-04-01", "to": "2026-04-02", **query}
    )
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["window"] == {"from": "2026-04-01T00:00:00Z", "to": "2026-04-03T00:00:00Z"}
    return said["data"]


async def test_a_project_by_day_and_by_hour(management: Management, project: str) -> None:
    assert await ask(management, project, "summary") == [
        {"timestamp": "2026-04-01T00:00:00Z", **sums(2, 3)},
        {"timestamp": "2026-04-02T00:00:00Z", **sums(2, 12)},
    ]
    hours = await ask(management, project, "summary", granularity="hour")
    assert [(hour["timestamp"][8:13], hour["cost_usd"]) for hour in hours] == [
        ("01T00", 1), ("01T01", 2), ("02T01", 4), ("02T02", 8),
    ]  # fmt: skip


async def test_the_dearest_come_first(management: Management, project: str) -> None:
    assert await ask(management, project, "users") == [
        {"user_id": "bob", **sums(1, 8)},
        {"user_id": "ada", **sums(3, 7)},
    ]
    assert await ask(management, project, "sessions") == [
        {"session_id": "s", "user_id": "bob", **sums(1, 8)},
        {"session_id": "s", "user_id": "ada", **sums(2, 6)},
    ]
    assert await ask(management, project, "threads") == [{"thread_id": "t", "user_id": "ada", **sums(1, 2)}]
    assert await ask(management, project, "models") == [
        {"model": "m", "byok": False, **sums(3, 11)},
        {"model": "n", "byok": True, **sums(1, 4)},
    ]
    assert await ask(management, project, "tiers") == [{"tier": "free", **sums(2, 10)}, {"tier": None, **sums(2, 5)}]
    assert await ask(management, project, "users", limit=1) == [{"user_id": "bob", **sums(1, 8)}]


async def test_a_window_is_widened_to_whole_hours_or_days(management: Management, project: str) -> None:
    query = {"from": "2026-04-01T01:30:00Z", "to": "2026-04-01T01:40:00Z"}
    path = f"/v1/projects/{project}/analytics"
    tiers = (await management.client().get(f"{path}/tiers", params=query)).json()
    users = (await management.client().get(f"{path}/users", params=query)).json()

    assert tiers == {
        "window": {"from": "2026-04-01T01:00:00Z", "to": "2026-04-01T02:00:00Z"},
        "data": [{"tier": "free", **sums(1, 2)}],
    }
    assert users == {
        "window": {"from": "2026-04-01T00:00:00Z", "to": "2026-04-02T00:00:00Z"},
        "data": [{"user_id": "ada", **sums(2, 3)}],
    }


@pytest.mark.parametrize(
    "query",
    [
        {"granularity": "minute"}, {"limit": 0}, {"limit": 1001}, {"limit": "many"}, {"from": "soon"},
        {"from": "2026-04-02", "to": "2026-04-01T00:00:00Z"}, {"from": "1980-01-01", "granularity": "hour"},
    ],
)  # fmt: skip
async def test_a_wrong_parameter_is_refused(management: Management, project: str, query: dict[str, Any]) -> None:
    answer = await management.client().get(f"/v1/projects/{project}/analytics/summary", params=query)

    assert refusal(answer)[:2] == (400, "VALIDATION_ERROR")


async def test_another_tenants_admin_learns_nothing(management: Management, project: str) -> None:
    key = await management.key(await management.project(), "admin")
    other = management.client(await management.token(key["key"]))

    answer = await other.get(f"/v1/projects/{project}/analytics/users")
    assert answer.status_code == 404
