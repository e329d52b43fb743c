"""A gateway that is killed in mid-load loses no money and no row, and lets nobody over their limit."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import pytest
from plant import Plant

KILLS = 20
WORKERS = 24
LEAST_OPEN = 5
LEAST_ENDED = 5
TIGHT_LIMIT = 1_500_000
"""Nano-dollars that each of the old users may spend in all; they are soon at their limit."""


class Load:
    """Workers that call without pause until they are told to stop; some hang up on the way."""

    def __init__(self, plant: Plant, project_id: str, round_number: int) -> None:
        self._plant = plant
        self._project_id = project_id
        self._dice = random.Random(round_number)
        self._users = [f"fresh-{round_number}-{n}" for n in range(4)] + ["old-1", "old-2"]
        self.ended_well: set[str] = set()
        self.refused = 0
        self.surprises: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        limits = httpx.Limits(max_connections=WORKERS * 2)
        async with httpx.AsyncClient(base_url=self._plant.gateway_url, timeout=30, limits=limits) as client:
            await asyncio.gather(*(self._work(client, stop) for _ in range(WORKERS)))

    async def _work(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        while not stop.is_set():
            user = self._dice.choice(self._users)
            headers = self._plant.token(self._project_id, user)
            body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 60}
            body["stream"] = self._dice.random() < 0.6
            patience = self._dice.random() * 0.4 if self._dice.random() < 0.15 else 30
            try:
                async with asyncio.timeout(patience):
                    await self._call(client, body, headers)
            except (httpx.TransportError, TimeoutError):
                await asyncio.sleep(0)  # The gateway was killed, or this caller hung up.

    async def _call(self, client: httpx.AsyncClient, body: dict[str, Any], headers: dict[str, str]) -> None:
        async with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            text = (await answer.aread()).decode()
        if answer.status_code == 402:
            self.refused += 1
            await asyncio.sleep(0.02)
        elif answer.status_code != 200:
            self.surprises.append(f"{answer.status_code} {text}")
        elif not body["stream"] or (text.endswith("data: [DONE]\n\n") and '"error"' not in text):
            self.ended_well.add(answer.headers["x-request-id"])


async def _kill_in_mid_load(plant: Plant, load: Load) -> int:
    """Kill the gateway once the provider works on enough calls; returns how many were sent and not settled."""
    stop = asyncio.Event()
    running = asyncio.create_task(load.run(stop))
    try:
        async with asyncio.timeout(20), httpx.AsyncClient(base_url=plant.provider_url) as provider:
            # Not before some calls have ended, however slow the machine is; then at any moment.
            while len(load.ended_well) < LEAST_ENDED:
                await asyncio.sleep(0.01)
            await asyncio.sleep(random.random() * 0.3)
            while (await provider.get("/_fake/bill", params={"since": 10**9})).json()["running"] < LEAST_OPEN * 2:
                await asyncio.sleep(0.005)
        plant.kill_gateway()
    finally:
        stop.set()
        await running
    open_holds = {row[0] for row in plant.rows("select attempt_id from holds")}
    sent = {call["client_request_id"] for call in plant.bill()["calls"]}
    return len(open_holds & sent)


@pytest.mark.timeout(400)
async def test_twenty_kills_in_mid_load_lose_nothing(plant: Plant) -> None:
    project_id = plant.new_project()
    project_limit = 10**9
    plant.new_budget(project_id, project_limit, "project")
    plant.new_budget(project_id, TIGHT_LIMIT, "each_user")
    ended_well: set[str] = set()
    refused = 0
    open_at_kill: list[int] = []

    for number in range(KILLS):
        load = Load(plant, project_id, number)
        open_at_kill.append(await _kill_in_mid_load(plant, load))
        plant.start_gateway()
        assert load.surprises == []
        ended_well |= load.ended_well
        refused += load.refused
    plant.bill(until_running=0, timeout=10)

    assert min(open_at_kill) >= LEAST_OPEN, open_at_kill
    assert len(ended_well) >= KILLS * LEAST_ENDED
    assert refused > 0
    _check(plant, project_id, project_limit, ended_well)


def _check(plant: Plant, project_id: str, project_limit: int, ended_well: set[str]) -> None:
    calls = plant.bill()["calls"]
    billed = {call["client_request_id"]: call for call in calls}
    rows = plant.rows(
        "select attempt_id, request_id, cost_nano, state from ledger where attempt > 0 and project_id = ?", project_id
    )
    ledger = {row[0]: row for row in rows}
    assert len(billed) == len(calls), "the provider saw an attempt twice"
    assert len(ledger) == len(rows)
    assert plant.rows("select count(*) from holds") == [(0,)]

    # Every billed attempt has its one row, and the row is never below the bill.
    for attempt_id, call in billed.items():
        assert ledger[attempt_id][2] >= call["cost_nano_usd"], (ledger[attempt_id], call)

    # A call that ended well for its caller is booked at exactly what it cost, kill or no kill.
    by_request = {row[1]: row for row in rows}
    for request_id in ended_well:
        attempt_id, _, cost, state = by_request[request_id]
        assert (cost, state) == (billed[attempt_id]["cost_nano_usd"], "settled")

    # The counters are the sums of the ledger, and no bill is above a limit.
    spent = sum(row[2] for row in rows)
    total = sum(call["cost_nano_usd"] for call in calls)
    assert total <= spent <= project_limit
    by_user: dict[str, int] = {}
    for call in calls:
        user = call["headers"]["X-End-User-Id"]
        by_user[user] = by_user.get(user, 0) + call["cost_nano_usd"]
    assert max(by_user.values()) <= TIGHT_LIMIT
    counted = plant.rows(
        "select sum(case when scope = 'project' then spent end),"
        " sum(case when scope = 'each_user' then spent end),"
        " max(case when scope = 'each_user' then spent end) from counters join budgets on budgets.id = budget_id"
    )
    assert counted[0][:2] == (spent, spent)
    assert counted[0][2] <= TIGHT_LIMIT
