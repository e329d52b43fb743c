"""Tokens are kept per user, session and tier, and minted once however many ask at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from behest import AsyncBehest, Behest, BehestAuthError

from .both import done
from .stub_gateway import API_KEY, CHAT, MINT, PATIENCE, StubGateway

HELLO = [{"role": "user", "content": "Hello"}]


async def test_a_token_is_kept_for_the_same_user_session_and_tier(client: Any, gateway: StubGateway) -> None:
    ada: dict[str, Any] = {"user_id": "ada"}
    for options in [{}, ada, {**ada, "tier": 2}, {**ada, "session_id": "s_1"}]:
        for _ in range(2):
            await done(client.chat.completions.create(messages=HELLO, **options))
            await done(client.usage.get(**options))
            await done(client.threads.list(**options))

    assert [(seen.body["user_id"], seen.body.get("tier")) for seen in gateway.requests(MINT)] == [
        ("default", None),
        ("ada", None),
        ("ada", 2),
        ("ada", None),
    ]


async def test_one_users_call_never_goes_with_anothers_token(client: Any, gateway: StubGateway) -> None:
    for user_id in ["ada", "grace", "ada", "default", "grace"]:
        answer = await done(client.chat.completions.create(messages=HELLO, user_id=user_id))
        assert answer.text == f"Hello, {user_id}!"

    assert len(gateway.requests(MINT)) == 3


async def test_a_token_that_is_about_to_end_is_replaced_before_it_is_used(client: Any, gateway: StubGateway) -> None:
    gateway.reported_ttl = 0
    await done(client.chat.completions.create(messages=HELLO))
    gateway.reported_ttl = None
    await done(client.chat.completions.create(messages=HELLO))
    await done(client.chat.completions.create(messages=HELLO))

    assert [f"{seen.method} {seen.path}" for seen in gateway.seen] == [MINT, CHAT, MINT, CHAT, CHAT]


def test_threads_that_ask_at_once_cause_one_mint(gateway: StubGateway) -> None:
    gateway.mint_gate = threading.Event()
    together = threading.Barrier(8)

    def ask(behest: Behest) -> str:
        together.wait(PATIENCE)
        return behest.chat.completions.create(messages=HELLO, user_id="u_42").text

    with Behest(key=API_KEY, base_url=gateway.base_url) as behest, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, behest) for _ in range(8)]
        assert gateway.mint_arrived.wait(PATIENCE)
        gateway.mint_gate.set()
        answers = [each.result(PATIENCE) for each in asked]

    assert answers == ["Hello, u_42!"] * 8
    assert len(gateway.requests(MINT)) == 1


async def _all_but_one_wait(behest: AsyncBehest, number: int) -> None:
    """Wait until so many tasks wait for the one that mints."""
    async with asyncio.timeout(PATIENCE):
        while True:
            flights = list(behest._tokens._flights.values())
            if flights and flights[0].lock.statistics().tasks_waiting == number - 1:
                return
            await asyncio.sleep(0)


async def test_tasks_that_ask_at_once_cause_one_mint(gateway: StubGateway) -> None:
    gateway.mint_gate = threading.Event()
    async with AsyncBehest(key=API_KEY, base_url=gateway.base_url) as behest, asyncio.TaskGroup() as group:
        asked = [group.create_task(behest.chat.completions.create(messages=HELLO, user_id="u_42")) for _ in range(8)]
        await _all_but_one_wait(behest, 8)
        gateway.mint_gate.set()

    assert [each.result().text for each in asked] == ["Hello, u_42!"] * 8
    assert len(gateway.requests(MINT)) == 1


async def test_a_mint_that_fails_fails_for_all_who_wait_and_for_nobody_later(gateway: StubGateway) -> None:
    gateway.mint_gate = threading.Event()
    gateway.refuse_mints = True
    async with AsyncBehest(key=API_KEY, base_url=gateway.base_url) as behest:
        asked = [asyncio.create_task(behest.chat.completions.create(messages=HELLO, user_id="u_42")) for _ in range(4)]
        await _all_but_one_wait(behest, 4)
        gateway.mint_gate.set()
        failures = await asyncio.gather(*asked, return_exceptions=True)

        assert [type(each) for each in failures] == [BehestAuthError] * 4
        assert len({id(each) for each in failures}) == 4
        assert len(gateway.requests(MINT)) == 1

        gateway.refuse_mints = False
        assert (await behest.chat.completions.create(messages=HELLO, user_id="u_42")).text == "Hello, u_42!"


async def test_a_cancelled_mint_leaves_the_work_to_the_next_who_waits(gateway: StubGateway) -> None:
    gateway.mint_gate = threading.Event()
    async with AsyncBehest(key=API_KEY, base_url=gateway.base_url) as behest:
        asked = [asyncio.create_task(behest.chat.completions.create(messages=HELLO, user_id="u_42")) for _ in range(3)]
        await _all_but_one_wait(behest, 3)
        assert await asyncio.to_thread(gateway.mint_arrived.wait, PATIENCE)
        asked[0].cancel()
        gateway.mint_gate.set()

        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*asked, return_exceptions=True)

    assert isinstance(answers[0], asyncio.CancelledError)
    assert [getattr(each, "text", each) for each in answers[1:]] == ["Hello, u_42!"] * 2
    assert len(gateway.requests(MINT)) == 2


async def test_a_refused_key_is_told_to_every_call(make: Callable[..., Any], gateway: StubGateway) -> None:
    client = make(key="behest_sk_live_ffffffffffffffffffffffffffffffff")

    for _ in range(2):
        with pytest.raises(BehestAuthError):
            await done(client.chat.completions.create(messages=HELLO))
    assert len(gateway.requests(MINT)) == 2
