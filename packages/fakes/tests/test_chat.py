"""The dialect, judged by the OpenAI SDK and by the bytes on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from behest_fakes import FakeProvider

HI: Any = [{"role": "user", "content": "hi there"}]
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HI}


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=provider.openai_base_url, api_key="sk-x", max_retries=0, timeout=10
    ) as client:
        yield client


async def events(http: httpx.AsyncClient, **more: Any) -> list[Any]:
    answer = await http.post("/v1/chat/completions", json={**ASK, "stream": True, **more})
    assert answer.status_code == 200
    frames = answer.text.split("\n\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: ") for frame in frames)
    return [frame[6:] if frame == "data: [DONE]" else json.loads(frame[6:]) for frame in frames]


async def test_a_json_answer_is_a_completion_that_the_sdk_reads(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(model="gpt-4o-mini", messages=HI)
    assert completion.id.startswith("chatcmpl-")
    assert (completion.object, completion.model) == ("chat.completion", "gpt-4o-mini")
    choice = completion.choices[0]
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert '"hi there"' in (choice.message.content or "")
    assert completion.usage is not None
    # "hi there" has 8 bytes: 2 tokens, 4 for the message, 3 for the request.
    assert completion.usage.prompt_tokens == 9
    assert 40 <= completion.usage.completion_tokens <= 60
    assert completion.usage.total_tokens == 9 + completion.usage.completion_tokens


async def test_a_stream_has_a_role_then_one_event_a_token_then_the_reason(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(reply="One, two.")
    got = await events(http)
    assert got.pop() == "[DONE]"
    assert len({chunk["id"] for chunk in got}) == 1
    assert {chunk["object"] for chunk in got} == {"chat.completion.chunk"}
    assert [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in got] == [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"content": "One"}, None),
        ({"content": ","}, None),
        ({"content": " two"}, None),
        ({"content": "."}, None),
        ({}, "stop"),
    ]
    assert all("usage" not in chunk for chunk in got)


async def test_the_usage_chunk_comes_last_and_only_when_asked_for(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(reply="One, two.", cached_tokens=2)
    got = await events(http, stream_options={"include_usage": True})
    assert got.pop() == "[DONE]"
    last = got.pop()
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == 9
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] == 2
    assert last["usage"]["completion_tokens"] == 4
    assert all(chunk["usage"] is None for chunk in got)


@pytest.mark.parametrize("delay", [0, 1])
async def test_the_sdk_reads_a_stream_at_any_pace(
    provider: FakeProvider, client: openai.AsyncOpenAI, delay: int
) -> None:
    provider.script(completion_tokens=30, token_delay_ms=delay, first_token_delay_ms=delay)
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    contents = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert len([content for content in contents if content]) == 30
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 30
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_a_long_stream_without_delay_arrives_whole(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(completion_tokens=10_000)
    got = await events(http)
    assert len([1 for chunk in got[:-1] if chunk["choices"][0]["delta"].get("content")]) == 10_000
    assert provider.bill().calls[0].completion_tokens == 10_000


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("delay", [0, 1])
async def test_a_limit_ends_the_answer_with_the_reason_length(
    provider: FakeProvider, http: httpx.AsyncClient, field: str, stream: bool, delay: int
) -> None:
    provider.script(completion_tokens=50, token_delay_ms=delay)
    if stream:
        got = await events(http, **{field: 7, "stream_options": {"include_usage": True}})
        assert got[-3]["choices"][0]["finish_reason"] == "length"
        assert got[-2]["usage"]["completion_tokens"] == 7
        assert len([1 for chunk in got[:-2] if chunk["choices"][0]["delta"].get("content")]) == 7
    else:
        answer = (await http.post("/v1/chat/completions", json={**ASK, field: 7})).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["choices"][0]["message"]["content"] == "one two and so on, one two "
        assert answer["usage"]["completion_tokens"] == 7
    call = provider.bill().calls[0]
    assert (call.state, call.max_tokens, call.completion_tokens) == ("finished", 7, 7)


async def test_a_reply_that_fits_its_limit_exactly_ends_with_the_reason_stop(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(completion_tokens=7)
    answer = (await http.post("/v1/chat/completions", json={**ASK, "max_tokens": 7})).json()
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_of_two_limits_the_smaller_holds(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(completion_tokens=50)
    both = {**ASK, "max_tokens": 9, "max_completion_tokens": 5}
    assert (await http.post("/v1/chat/completions", json=both)).json()["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("delay", [0, 1])
async def test_n_choices_cost_n_times_the_tokens(
    provider: FakeProvider, client: openai.AsyncOpenAI, http: httpx.AsyncClient, delay: int
) -> None:
    provider.script(reply="One, two.", token_delay_ms=delay)
    completion = await client.chat.completions.create(model="gpt-4o-mini", messages=HI, n=3)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert {choice.message.content for choice in completion.choices} == {"One, two."}
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (9, 12)

    got = await events(http, n=3, stream_options={"include_usage": True})
    texts = {0: "", 1: "", 2: ""}
    finished: list[int] = []
    for chunk in got[:-2]:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content") or ""
        if choice["finish_reason"]:
            finished.append(choice["index"])
    assert texts == dict.fromkeys(range(3), "One, two.")
    assert finished == [0, 1, 2]
    assert got[-2]["usage"]["completion_tokens"] == 12
    assert [call.completion_tokens for call in provider.bill().calls] == [12, 12]


@pytest.mark.parametrize("delay", [0, 1])
async def test_a_tool_call_is_streamed_and_answered_in_the_dialect(
    provider: FakeProvider, client: openai.AsyncOpenAI, delay: int
) -> None:
    provider.script(tool_calls=[{"name": "weather", "arguments": {"city": "Rome"}}], token_delay_ms=delay)
    completion = await client.chat.completions.create(model="gpt-4o-mini", messages=HI)
    choice = completion.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Rome"}')

    stream = await client.chat.completions.create(model="gpt-4o-mini", messages=HI, stream=True)
    name, arguments = "", ""
    reasons: list[str | None] = []
    async for chunk in stream:
        reasons.append(chunk.choices[0].finish_reason)
        for part in chunk.choices[0].delta.tool_calls or []:
            assert part.function is not None
            name += part.function.name or ""
            arguments += part.function.arguments or ""
    assert (name, arguments, reasons[-1]) == ("weather", '{"city":"Rome"}', "tool_calls")
    first, second = provider.bill().calls
    assert first.completion_tokens == second.completion_tokens > 1


async def test_a_limit_can_end_a_tool_call_in_its_arguments(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(reply="Well,", tool_calls=[{"function": {"name": "weather", "arguments": '{"city":"Rome"}'}}])
    answer = (await http.post("/v1/chat/completions", json={**ASK, "max_tokens": 4})).json()
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == "Well,"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"'}


async def test_reasoning_tokens_are_hidden_billed_and_within_the_limit(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(completion_tokens=5, reasoning_tokens=20)
    usage = (await http.post("/v1/chat/completions", json=ASK)).json()["usage"]
    assert usage["completion_tokens"] == 25
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 20
    got = await events(http, max_tokens=18, stream_options={"include_usage": True})
    assert [chunk["choices"][0]["delta"].get("content") for chunk in got[:-2]] == ["", None]
    assert got[-3]["choices"][0]["finish_reason"] == "length"
    assert got[-2]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 18
    assert [(call.completion_tokens, call.reasoning_tokens) for call in provider.bill().calls] == [(25, 20), (18, 18)]


async def test_models_are_listed_and_found_by_name(client: openai.AsyncOpenAI) -> None:
    models = [model.id async for model in client.models.list()]
    assert models == ["gpt-4o-mini", "gpt-4o", "gpt-4.1-mini"]
    assert (await client.models.retrieve("gpt-4o")).id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-none")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b'{"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"m","messages":[{"content":"x"}]}', "messages[0].role"),
        (b'{"model":"","messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"m","messages":[]}', "messages"),
        (b'{"model":"m","messages":[{"role":"user","content":5}]}', "messages[0].content"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":"5"}', "max_tokens"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":0}', "max_tokens"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"n":0}', "n"),
        (b'{"model":"o3","messages":[{"role":"user","content":"x"}],"max_tokens":5}', "max_tokens"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream_options":{}}', "stream_options"),
    ],
)
async def test_a_malformed_request_is_400_names_the_field_and_is_not_on_the_bill(
    provider: FakeProvider, http: httpx.AsyncClient, body: bytes, param: str | None
) -> None:
    answer = await http.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert (provider.bill().count, provider.bill().refused) == (0, 1)


async def test_unknown_addresses_and_methods_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/nothing")).status_code == 404
    assert (await http.get("/v1/chat/completions")).status_code == 405
    assert (await http.get("/_fake/nothing")).status_code == 404
    assert (await http.delete("/_fake/bill")).status_code == 405


async def test_a_key_is_asked_for_only_when_one_is_configured(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/chat/completions", json=ASK)).status_code == 200
    provider.configure(api_key="sk-right")
    for authorization in (None, "Basic sk-right", "Bearer sk-wrong"):
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await http.post("/v1/chat/completions", json=ASK, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert (await http.get("/v1/models", headers=headers)).status_code == 401
    right = {"Authorization": "Bearer sk-right"}
    assert (await http.post("/v1/chat/completions", json=ASK, headers=right)).status_code == 200
    assert (await http.get("/v1/models", headers=right)).status_code == 200
    assert (provider.bill().count, provider.bill().refused) == (2, 3)


async def test_a_large_body_in_many_pieces_is_read_whole(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    text = "word " * 200_000
    answer = await http.post(
        "/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": text}]}
    )
    assert answer.json()["usage"]["prompt_tokens"] == 250_000 + 4 + 3


async def test_a_body_beyond_every_bound_is_413(provider: FakeProvider) -> None:
    host, port = provider.base_url.removeprefix("http://").split(":")
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        answering = asyncio.create_task(reader.readline())
        while not answering.done():
            writer.write(b" " * 1_000_000)
            await asyncio.wait({answering, asyncio.ensure_future(writer.drain())}, return_when="FIRST_COMPLETED")
        assert b" 413 " in await answering
        writer.transport.abort()
    assert provider.bill().refused == 1


async def test_many_calls_at_once_get_their_own_answers(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    async def call(number: int) -> str:
        body = {"model": "m", "messages": [{"role": "user", "content": f"number {number}!"}]}
        return str((await http.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]["content"])

    provider.configure(token_delay_ms=1)
    answers = await asyncio.gather(*(call(number) for number in range(60)))
    assert all(f'"number {number}!"' in answer for number, answer in enumerate(answers))
    assert len({call.id for call in provider.bill().calls}) == 60
