"""Stored conversations, and what was used."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from behest import BehestAuthError, BehestError, BehestServerError, BudgetState, Thread, ThreadMessage, UsageReport

from .both import done
from .stub_gateway import Answer, StubGateway

HELLO = [{"role": "user", "content": "Hello"}]


async def test_a_thread_is_begun_read_and_deleted(client: Any) -> None:
    ada = client.for_user("ada")
    await done(ada.chat.completions.create(messages=HELLO, thread_id="t:1"))

    (thread,) = await done(ada.threads.list())
    assert isinstance(thread, Thread)
    assert (thread.id, thread.title, thread.last_message_at) == ("t:1", "Hello", None)
    assert (await done(ada.threads.get("t:1"))).messages_count == 2
    messages = await done(ada.threads.messages("t:1"))
    assert isinstance(messages[0], ThreadMessage)
    assert messages == [*HELLO, {"role": "assistant", "content": "Hello, ada!"}]

    assert await done(ada.threads.delete("t:1")) is None
    assert await done(ada.threads.list()) == []


async def test_another_users_thread_is_not_there(client: Any) -> None:
    await done(client.chat.completions.create(messages=HELLO, user_id="ada", thread_id="t_1"))

    for call in (client.threads.get, client.threads.delete, client.threads.messages):
        with pytest.raises(BehestError, match="No thread 't_1'") as caught:
            await done(call("t_1", user_id="grace"))
        assert (caught.value.status, caught.value.code) == (404, "not_found")


async def test_threads_in_another_shape_are_the_gateways_fault(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next("GET /v1/threads", Answer(200, {"data": []}))

    with pytest.raises(BehestServerError, match="JSON array"):
        await done(client.threads.list())


async def test_usage_is_summed_up_in_tokens_and_dollars(client: Any, gateway: StubGateway) -> None:
    await done(client.chat.completions.create(messages=HELLO, user_id="ada"))

    report = await done(
        client.usage.get(
            from_=datetime(2026, 11, 1, tzinfo=UTC), to=date(2026, 12, 1), user_id="ada", granularity="hour"
        )
    )

    assert isinstance(report, UsageReport)
    assert (report.totals.tokens, report.totals.cost_usd) == (12, 0.0015)
    assert report.breakdown[0].timestamp == "2026-11-23T00:00:00Z"
    assert report.budgets is not None
    assert report.budgets[0].limit_usd == 5
    assert gateway.seen[-1].query == {
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-12-01",
        "user_id": "ada",
        "granularity": "hour",
    }
    assert gateway.seen[-1].claims["uid"] == "ada"


async def test_a_budget_is_read_in_the_unit_that_it_counts(client: Any, gateway: StubGateway) -> None:
    state = {
        "id": "b_1",
        "scope": "each_thread",
        "window": "rolling",
        "hours": 5,
        "limit_tokens": 500,
        "spent_tokens": 12,
        "held_tokens": 0,
        "resets_at": None,
        "mode": "shadow",
    }
    gateway.plan_next(
        "GET /v1/usage", Answer(200, {"totals": {"tokens": 0, "cost_usd": 0}, "breakdown": [], "budgets": [state]})
    )

    (budget,) = (await done(client.usage.get())).budgets

    assert isinstance(budget, BudgetState)
    assert (budget.limit_tokens, budget.spent_tokens, budget.held_tokens) == (500, 12, 0)
    assert (budget.limit_usd, budget.limit_requests, budget.resets_at) == (None, None, None)
    assert (budget.window, budget.hours, budget.mode) == ("rolling", 5, "shadow")
    assert dict(budget) == state


async def test_usage_without_a_user_leaves_that_to_the_gateway(client: Any, gateway: StubGateway) -> None:
    await done(client.usage.get())

    assert gateway.seen[-1].query == {"granularity": "day"}


async def test_an_admins_token_sees_every_user(client: Any) -> None:
    admin = await done(client.auth.mint(user_id="ops", role="admin"))
    await done(client.chat.completions.create(messages=HELLO, user_id="ada"))

    assert (await done(client.usage.get(user_id="ada", token=admin.token))).totals.requests == 1
    ada = await done(client.auth.mint(user_id="ada"))
    with pytest.raises(BehestAuthError) as caught:
        await done(client.usage.get(user_id="grace", token=ada.token))
    assert (caught.value.status, caught.value.code) == (403, "forbidden")


async def test_a_gateway_without_a_usage_endpoint_says_not_supported(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next("GET /v1/usage", Answer(404, headers={"X-Trace-Id": "tr_1"}))

    with pytest.raises(BehestError) as caught:
        await done(client.usage.get())

    assert (caught.value.status, caught.value.code, caught.value.trace_id) == (404, "not_supported", "tr_1")
