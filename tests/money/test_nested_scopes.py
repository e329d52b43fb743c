"""Five hundred calls at once over five nested scopes: none of them is ever exceeded, by the books or by the bill."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
from plant import Plant

CALLS = 500
USERS, SESSIONS = 5, 2
MAX_TOKENS = 64
BODY = {"messages": [{"role": "user", "content": "How are you?"}], "max_tokens": MAX_TOKENS}


async def _once(client: httpx.AsyncClient, plant: Plant, project_id: str, number: int) -> tuple[int, str | None]:
    user = f"u{number % USERS}"
    headers = {
        **plant.token(project_id, user),
        "X-Session-Id": f"s{number // USERS % SESSIONS}",
        "X-Thread-Id": f"t{number % 3}",
    }
    answer = await client.post("/v1/chat/completions", json=BODY, headers=headers)
    if answer.status_code == 200:
        return 200, None
    assert answer.status_code == 402, answer.text
    assert answer.headers["x-should-retry"] == "false"
    return 402, answer.json()["error"]["details"]["scope"]


async def _wave(plant: Plant, project_id: str, calls: int) -> Counter[tuple[int, str | None]]:
    limits = httpx.Limits(max_connections=calls, max_keepalive_connections=calls)
    async with httpx.AsyncClient(base_url=plant.gateway_url, timeout=60, limits=limits) as client:
        return Counter(await asyncio.gather(*(_once(client, plant, project_id, number) for number in range(calls))))


async def test_five_hundred_calls_over_five_nested_scopes_exceed_none_of_them(plant: Plant) -> None:
    project_id = plant.new_project(min_output_tokens=MAX_TOKENS, memory_enabled=False)  # each call costs the same
    assert await _wave(plant, project_id, 1) == {(200, None): 1}
    [(hold, cost, hold_tokens)] = plant.rows(
        "select hold_nano, cost_nano, hold_tokens from ledger where project_id = ?", project_id
    )
    # Tightest inside: a session affords 8, a thread of a user 9, a user 12, a project 40; a tenant's tokens 35.
    tenant = plant.manage(
        "POST",
        f"/v1/tenants/me/budgets?tenant_id={plant.tenant_id}",
        {"scope": "tenant", "window": "lifetime", "limit_tokens": 35 * hold_tokens},
    )["id"]
    project = plant.new_budget(project_id, 40 * hold + cost, "project", "month")
    user = plant.new_budget(project_id, 12 * hold + cost, "each_user", "rolling", hours=5)
    session = plant.new_budget(project_id, 8 * hold + cost, "each_session", "day")
    thread = plant.new_budget(project_id, 9 * hold, "each_thread", "lifetime")
    model = plant.new_budget(project_id, 30 * hold, "model", "lifetime", model="gpt-4o-mini", mode="shadow")

    for _ in range(4):
        outcome = await _wave(plant, project_id, CALLS)
        assert sum(outcome.values()) == CALLS
        await plant.until_nothing_is_open()
        for budget_id, subject, window, spent in plant.rows(
            "select budget_id, subject, window_id, spent from counters"
        ):
            limit = {
                tenant: 35 * hold_tokens,
                project: 40 * hold + cost,
                user: 12 * hold + cost,
                session: 8 * hold + cost,
                thread: 9 * hold,
            }.get(budget_id)
            assert limit is None or spent <= limit, (budget_id, subject, window)

    assert outcome[200, None] < CALLS
    plant.bill(until_running=0, timeout=10)
    billed = [call for call in plant.bill()["calls"] if call["headers"]["X-Project-Id"] == project_id]
    assert sum(call["cost_nano_usd"] for call in billed) <= 40 * hold + cost
    for number in range(USERS):
        mine = [call["cost_nano_usd"] for call in billed if call["headers"]["X-End-User-Id"] == f"u{number}"]
        assert sum(mine) <= 12 * hold + cost
    rows = plant.rows("select count(*) from ledger where project_id = ? and attempt > 0", project_id)
    assert rows == [(len(billed),)]
    shadow = next(b for b in plant.manage("GET", f"/v1/projects/{project_id}/budgets")["data"] if b["id"] == model)
    noted = plant.rows("select count(*) from ledger where would_refuse = ?", model)
    assert [(shadow["refused"],)] == noted


async def test_the_first_calls_of_an_unknown_user_do_not_slip_through(plant: Plant) -> None:
    project_id = plant.new_project(min_output_tokens=MAX_TOKENS, memory_enabled=False)  # each call costs the same
    assert await _wave(plant, project_id, 1) == {(200, None): 1}
    [(hold,)] = plant.rows("select hold_nano from ledger where project_id = ?", project_id)
    plant.new_budget(project_id, 3 * hold, "each_user", "day")
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)

    async with httpx.AsyncClient(base_url=plant.gateway_url, timeout=60, limits=limits) as client:
        headers = plant.token(project_id, "never-seen")
        plant.script(prompt_tokens=hold // 150 - MAX_TOKENS * 4, completion_tokens=MAX_TOKENS)
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=BODY, headers=headers) for _ in range(100))
        )

    assert Counter(answer.status_code for answer in answers) == {200: 3, 402: 97}
