"""Many calls at once against one budget: exactly as many pass as it affords."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import httpx
from plant import Plant

CALLS = 200
MAX_TOKENS = 64
BODY = {"messages": [{"role": "user", "content": "How are you?"}], "max_tokens": MAX_TOKENS}
INPUT_NANO, OUTPUT_NANO = 150, 600
"""What a token of gpt-4o-mini costs."""


def _client(plant: Plant) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CALLS, max_keepalive_connections=CALLS)
    return httpx.AsyncClient(base_url=plant.gateway_url, timeout=60, limits=limits)


async def _wave(plant: Plant, headers: dict[str, str], calls: int) -> Counter[int]:
    async with _client(plant) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=BODY, headers=headers) for _ in range(calls))
        )
    for answer in answers:
        if answer.status_code == 402:
            assert answer.json()["error"]["code"] == "quota_exceeded"
            assert answer.headers["x-should-retry"] == "false"
    return Counter(answer.status_code for answer in answers)


async def _hold_of_one_call(plant: Plant, project_id: str) -> int:
    assert await _wave(plant, plant.token(project_id, "first"), 1) == {200: 1}
    [(hold,)] = plant.rows("select hold_nano from ledger where project_id = ?", project_id)
    return int(hold)


async def test_exactly_ten_of_two_hundred_calls_pass_a_budget_for_ten(plant: Plant) -> None:
    project_id = plant.new_project(min_output_tokens=MAX_TOKENS)
    hold = await _hold_of_one_call(plant, project_id)
    prompt_tokens, rest = divmod(hold - MAX_TOKENS * OUTPUT_NANO, INPUT_NANO)
    assert rest == 0
    plant.script(prompt_tokens=prompt_tokens, completion_tokens=MAX_TOKENS)
    plant.new_budget(project_id, 10 * hold, "user", user_id="u")

    outcome = await _wave(plant, plant.token(project_id, "u"), CALLS)

    assert outcome == {200: 10, 402: CALLS - 10}
    [budget] = plant.usage(project_id, "u")["budgets"]
    assert (budget["spent_usd"], budget["held_usd"]) == (budget["limit_usd"], 0)
    billed = [call for call in plant.bill()["calls"] if call["headers"].get("X-End-User-Id") == "u"]
    assert len(billed) == 10
    assert sum(call["cost_nano_usd"] for call in billed) == 10 * hold


async def test_what_is_left_after_settling_is_admitted_again(plant: Plant) -> None:
    project_id = plant.new_project(min_output_tokens=MAX_TOKENS)
    hold = await _hold_of_one_call(plant, project_id)
    plant.script(prompt_tokens=1, completion_tokens=8)
    cost = INPUT_NANO + 8 * OUTPUT_NANO
    plant.new_budget(project_id, 10 * hold, "user", user_id="u")
    headers = plant.token(project_id, "u")

    passed = 0
    for _ in range(100):
        outcome = await _wave(plant, headers, 25)
        assert set(outcome) <= {200, 402}
        passed += outcome[200]
        [budget] = plant.usage(project_id, "u")["budgets"]
        assert budget["held_usd"] == 0
        if not outcome[200]:
            break

    # A call is admitted as long as its worst case still fits, so this many must pass, and no more.
    assert passed == (10 * hold - hold) // cost + 1
    assert round(budget["spent_usd"] * 1e9) == passed * cost <= 10 * hold


async def _stream(client: httpx.AsyncClient, headers: dict[str, str], patience: float) -> str:
    body: dict[str, Any] = {**BODY, "stream": True, "max_tokens": 200}
    try:
        async with (
            asyncio.timeout(patience),
            client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer,
        ):
            if answer.status_code != 200:
                await answer.aread()
                return str(answer.status_code)
            text = "".join([part async for part in answer.aiter_text()])
            assert text.endswith("data: [DONE]\n\n")
            return "whole"
    except TimeoutError:
        return "left"


async def test_streams_whose_callers_hang_up_never_cost_more_than_the_budget(plant: Plant) -> None:
    project_id = plant.new_project()
    limit = 2_000_000
    plant.new_budget(project_id, limit, "each_user", window="day")
    dice = random.Random(7)
    users = ["u1", "u2", "u3"]

    seen: Counter[str] = Counter()
    async with _client(plant) as client:
        for _ in range(3):
            outcomes = await asyncio.gather(
                *(
                    _stream(client, plant.token(project_id, dice.choice(users)), dice.choice([0.01, 30, dice.random()]))
                    for _ in range(CALLS)
                )
            )
            seen.update(outcomes)
            await plant.until_nothing_is_open()

    assert set(seen) <= {"whole", "left", "402"}
    assert min(seen["whole"], seen["left"], seen["402"]) >= 10, seen
    plant.bill(until_running=0, timeout=10)
    bill = plant.bill()
    ledger = {row[0]: row for row in plant.rows("select attempt_id, cost_nano, state from ledger where attempt > 0")}
    assert plant.rows("select count(*) from holds") == [(0,)]
    for call in bill["calls"]:
        _, cost, state = ledger[call["client_request_id"]]
        assert cost >= call["cost_nano_usd"], (call, state)
        if state == "settled":
            assert cost == call["cost_nano_usd"]
    for user in users:
        [budget] = plant.usage(project_id, user)["budgets"]
        billed = sum(c["cost_nano_usd"] for c in bill["calls"] if c["headers"]["X-End-User-Id"] == user)
        assert billed <= round(budget["spent_usd"] * 1e9) <= limit
        assert budget["held_usd"] == 0
