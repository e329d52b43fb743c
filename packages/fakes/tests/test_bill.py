"""The bill is the truth: what was generated, at the provider's own prices, to the nano-dollar."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import Any, cast

import httpx
import pytest
from behest_fakes import ConfigError, FakeProvider

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi there"}]}


async def read_contents(answer: httpx.Response, contents: int) -> None:
    """Read a stream until so many content events came."""
    seen = 0
    async for line in answer.aiter_lines():
        seen += '"delta":{"content":' in line
        if seen == contents:
            return
    raise AssertionError(f"the stream ended after {seen} content events")


async def test_a_finished_call_is_on_the_bill_with_everything_known_about_it(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(completion_tokens=10, cached_tokens=4, reasoning_tokens=2)
    edge = {
        "X-Tenant-Id": "t",
        "X-Project-Id": "p",
        "X-End-User-Id": "u_42",
        "X-Role": "user",
        "X-Tier": "2",
        "X-Session-Id": "s",
    }
    headers = {**edge, "X-Client-Request-Id": "req-1", "X-Other": "not kept"}
    answer = await http.post("/v1/chat/completions", json={**ASK, "max_tokens": 99}, headers=headers)
    bill = (await http.get("/_fake/bill")).json()
    (call,) = bill.pop("calls")
    iso = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    assert iso.fullmatch(call.pop("started_at"))
    assert iso.fullmatch(call.pop("ended_at"))
    # 5 uncached at 150, 4 cached at 75, 12 out at 600 nano-USD a token.
    cost = 5 * 150 + 4 * 75 + 12 * 600
    assert call == {
        "id": answer.json()["id"],
        "client_request_id": "req-1",
        "headers": edge,
        "model": "gpt-4o-mini",
        "stream": False,
        "state": "finished",
        "prompt_tokens": 9,
        "cached_tokens": 4,
        "completion_tokens": 12,
        "reasoning_tokens": 2,
        "max_tokens": 99,
        "cost_nano_usd": cost,
    }
    assert bill == {"total_nano_usd": cost, "running": 0, "count": 1, "refused": 0}


@pytest.mark.parametrize(
    ("model", "nano"),
    [
        ("gpt-4o-mini", 9 * 150 + 10 * 600),
        ("gpt-4o", 9 * 2_500 + 10 * 10_000),
        ("gpt-4.1-mini", 9 * 400 + 10 * 1_600),
        ("some-other-model", 9 * 150 + 10 * 600),
    ],
)
async def test_each_model_has_its_price_and_others_the_default(
    provider: FakeProvider, http: httpx.AsyncClient, model: str, nano: int
) -> None:
    provider.script(completion_tokens=10)
    await http.post("/v1/chat/completions", json={**ASK, "model": model})
    assert provider.bill().total_nano_usd == nano


async def test_prices_are_changed_by_configuration_and_a_call_is_rounded_up_once(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(completion_tokens=3)
    prices = {"tiny": {"input_mtok": "0.0001", "output_mtok": "0.0002"}}
    answer = await http.post("/_fake/config", json={"prices": prices})
    assert answer.status_code == 200
    assert answer.json()["prices"]["tiny"] == {
        "input_mtok": "0.0001",
        "cached_input_mtok": "0.0001",
        "output_mtok": "0.0002",
    }
    await http.post("/v1/chat/completions", json={**ASK, "model": "tiny"})
    # 9 * 0.1 + 3 * 0.2 nano-USD = 1.5, so 2.
    assert provider.bill().total_nano_usd == 2


async def test_a_malformed_configuration_changes_nothing(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    before = (await http.get("/_fake/config")).json()
    malformed: list[Any] = [
        {"token_delay_ms": 5, "speed": 1},
        {"token_delay_ms": "fast"},
        {"token_delay_ms": -1},
        {"token_delay_ms": 5, "prices": {"m": {"input_mtok": "x", "output_mtok": "1"}}},
        {"token_delay_ms": 5, "prices": {"m": {"input_mtok": "-1", "output_mtok": "1"}}},
        {"token_delay_ms": 5, "prices": {"m": {"input_mtok": "NaN", "output_mtok": "1"}}},
        {"token_delay_ms": 5, "prices": {"m": {"input": "1", "output_mtok": "1"}}},
        {"token_delay_ms": 5, "prices": {"m": 5}},
        {"token_delay_ms": 5, "prices": []},
        [],
    ]
    for changes in malformed:
        answer = await http.post("/_fake/config", json=changes)
        assert answer.status_code == 400, changes
        assert answer.json()["error"]["message"]
        if isinstance(changes, dict):
            with pytest.raises(ConfigError):
                provider.configure(**cast(dict[str, Any], changes))
    assert (await http.get("/_fake/config")).json() == before


async def test_a_running_stream_shows_what_it_cost_so_far(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(completion_tokens=1_000, token_delay_ms=5)
    async with http.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as answer:
        await read_contents(answer, 3)
        bill = provider.bill()
        (call,) = bill.calls
        assert (bill.running, call.state, call.ended_at) == (1, "running", None)
        assert 3 <= call.completion_tokens < 1_000
        assert bill.total_nano_usd == call.cost_nano_usd == 9 * 150 + call.completion_tokens * 600


async def test_a_stream_that_its_caller_leaves_stops_and_costs_what_was_generated(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(completion_tokens=1_000, token_delay_ms=20)
    async with http.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as answer:
        await read_contents(answer, 5)
        generated = provider.bill().calls[0].completion_tokens
    (call,) = (await provider.settled()).calls
    assert call.state == "closed_by_client"
    # The close is seen at once, not at the next token: at most one more could have been due in between.
    assert 5 <= generated <= call.completion_tokens <= generated + 2
    assert call.cost_nano_usd == 9 * 150 + call.completion_tokens * 600
    assert provider.bill().calls == (call,)


async def test_a_json_call_that_its_caller_leaves_costs_the_prompt_and_what_was_generated(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(completion_tokens=100, token_delay_ms=50)
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/v1/chat/completions", json=ASK, timeout=0.3)
    (call,) = (await provider.settled()).calls
    assert call.state == "closed_by_client"
    assert 1 <= call.completion_tokens <= 30
    assert call.cost_nano_usd == 9 * 150 + call.completion_tokens * 600


async def test_a_running_json_call_shows_what_it_cost_so_far(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(completion_tokens=50, token_delay_ms=2, first_token_delay_ms=50)
    calling = asyncio.create_task(http.post("/v1/chat/completions", json=ASK))
    (call,) = (await provider.called(1)).calls
    assert (call.state, call.completion_tokens, call.cost_nano_usd) == ("running", 0, 9 * 150)
    await calling
    (call,) = provider.bill().calls
    assert (call.state, call.completion_tokens) == ("finished", 50)


async def test_a_caller_that_leaves_before_the_first_token_pays_for_the_prompt(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(first_token_delay_ms=60_000)
    for stream in (False, True):
        calling = asyncio.create_task(http.post("/v1/chat/completions", json={**ASK, "stream": stream}))
        await provider.called(1 + stream)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        call = (await provider.settled()).calls[-1]
        assert (call.state, call.completion_tokens, call.cost_nano_usd) == ("closed_by_client", 0, 9 * 150)


async def test_without_delay_the_generator_is_not_far_ahead_of_a_caller_that_does_not_read(
    provider: FakeProvider,
) -> None:
    provider.script(completion_tokens=200_000)
    body = json.dumps({**ASK, "stream": True}).encode()
    host, port = provider.base_url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.setblocking(False)
        await loop.sock_connect(caller, (host, int(port)))
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        await loop.sock_sendall(caller, head + body)
        await provider.called(1)
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert len(await loop.sock_recv(caller, 1024)) == 1024
    (call,) = (await provider.settled()).calls
    assert call.state == "closed_by_client"
    assert call.completion_tokens < 2_000


async def test_the_bill_is_filtered_by_position_and_by_client_request_id(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(completion_tokens=10)
    for number in (1, 2, 2):
        await http.post("/v1/chat/completions", json=ASK, headers={"X-Client-Request-Id": f"req-{number}"})
    everything = (await http.get("/_fake/bill")).json()
    assert everything["total_nano_usd"] == 3 * 7_350
    later = (await http.get("/_fake/bill", params={"since": 1})).json()
    assert later["calls"] == everything["calls"][1:]
    assert later["total_nano_usd"] == 2 * 7_350
    same = (await http.get("/_fake/bill", params={"client_request_id": "req-2"})).json()
    assert same["calls"] == everything["calls"][1:]
    assert (await http.get("/_fake/bill", params={"client_request_id": "req-3"})).json()["calls"] == []
    for params in ({"since": "-1"}, {"since": "x"}, {"sinse": "1"}, {"until_running": "0", "timeout": "soon"}):
        answer = await http.get("/_fake/bill", params=params)
        assert answer.status_code == 400


async def test_the_bill_can_be_awaited(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(http.get("/_fake/bill", params={"until_calls": 2, "until_running": 0}))
    provider.script(completion_tokens=5, token_delay_ms=2)
    for _ in range(2):
        await http.post("/v1/chat/completions", json=ASK)
    bill = (await waiting).json()
    assert [call["state"] for call in bill["calls"]] == ["finished", "finished"]
    late = await http.get("/_fake/bill", params={"until_calls": 3, "timeout": "0.05"})
    assert (late.status_code, late.json()["error"]["code"]) == (408, "timeout")
    with pytest.raises(TimeoutError):
        await provider.settled(calls=3, timeout=0.05)


async def test_a_reset_forgets_calls_and_rules_and_keeps_prices(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.configure(prices={"m": {"input_mtok": "1", "output_mtok": "2"}}, token_delay_ms=1)
    provider.script(completion_tokens=1_000, token_delay_ms=5)
    async with http.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as answer:
        await read_contents(answer, 1)
        assert (await http.post("/_fake/reset")).json() == {"status": "ok"}
        assert (provider.bill().calls, provider.bill().total_nano_usd, provider.bill().running) == ((), 0, 0)
    assert (await http.get("/_fake/script")).json() == {"rules": []}
    config = (await http.get("/_fake/config")).json()
    assert (config["token_delay_ms"], config["prices"]["m"]["output_mtok"]) == (1, "2")


async def test_without_records_the_counters_are_still_exact() -> None:
    async with FakeProvider(record=False, fast=True) as provider, httpx.AsyncClient(timeout=10) as http:
        url = f"{provider.openai_base_url}/chat/completions"
        for _ in range(3):
            answer = (await http.post(url, json=ASK)).json()
            assert answer["usage"]["completion_tokens"] == 30
        provider.script(completion_tokens=1_000, token_delay_ms=5)
        async with http.stream("POST", url, json={**ASK, "stream": True}) as stream:
            await read_contents(stream, 2)
            bill = provider.bill()
            assert (bill.calls, bill.running, bill.count) == ((), 1, 4)
            assert bill.total_nano_usd >= 3 * (9 * 150 + 30 * 600) + 9 * 150 + 2 * 600
        final = await provider.settled()
        assert final.total_nano_usd >= bill.total_nano_usd
        assert (final.total_nano_usd - 4 * 9 * 150) % 600 == 0


async def test_the_fast_answer_has_thirty_events_and_a_kilobyte_or_so_of_json() -> None:
    async with FakeProvider(fast=True) as provider, httpx.AsyncClient(timeout=10) as http:
        url = f"{provider.openai_base_url}/chat/completions"
        whole = await http.post(url, json=ASK)
        assert 1_300 <= len(whole.content) <= 1_500
        stream = await http.post(url, json={**ASK, "stream": True})
        assert stream.text.count('"delta":{"content":') == 30
        assert [call.completion_tokens for call in provider.bill().calls] == [30, 30]


async def test_what_was_asked_can_be_looked_at_until_a_reset(http: httpx.AsyncClient) -> None:
    other = {**ASK, "messages": [*ASK["messages"], {"role": "user", "content": "still there?"}]}
    await http.post("/v1/chat/completions", json=ASK)
    await http.post("/v1/chat/completions", json=other, headers={"X-End-User-Id": "u_42"})

    assert (await http.get("/_fake/requests")).json() == {"requests": [ASK, other]}
    assert (await http.get("/_fake/requests", params={"user": "u_42"})).json() == {"requests": [other]}
    await http.post("/_fake/reset")
    assert (await http.get("/_fake/requests")).json() == {"requests": []}
