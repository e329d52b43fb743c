"""Every way in which the provider goes wrong when it is told to, and what it charges then."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from behest_fakes import FakeProvider

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi there"}]}
STREAM: dict[str, Any] = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
PATH = "/v1/chat/completions"
TOKENS = 10
PROMPT_NANO = 9 * 150

pytestmark = pytest.mark.parametrize("delay", [0, 1])


def script(provider: FakeProvider, delay: int, kind: str, **fault: Any) -> None:
    provider.script(completion_tokens=TOKENS, token_delay_ms=delay, fault={"kind": kind, **fault})


def billed(provider: FakeProvider) -> list[tuple[str, int, int]]:
    """State, completion tokens and cost of every call."""
    return [(call.state, call.completion_tokens, call.cost_nano_usd) for call in provider.bill().calls]


def full(tokens: int = TOKENS) -> tuple[str, int, int]:
    return ("finished", tokens, PROMPT_NANO + tokens * 600)


def failed(tokens: int) -> tuple[str, int, int]:
    return ("failed", tokens, PROMPT_NANO + tokens * 600)


def frames(text: str) -> list[str]:
    """The `data` of every event, whole ones only."""
    return [frame.removeprefix("data: ") for frame in text.split("\n\n")[:-1]]


def contents(got: list[str]) -> int:
    return len([frame for frame in got if '"delta":{"content":' in frame])


async def raw(provider: FakeProvider, body: dict[str, Any]) -> list[bytes]:
    """Send one request and return the chunks of its chunked body."""
    host, port = provider.base_url.removeprefix("http://").split(":")
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(host, int(port))
        content = json.dumps(body).encode()
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(content)))
        writer.write(content)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        chunks: list[bytes] = []
        while size := int(await reader.readline(), 16):
            chunks.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        writer.close()
        await writer.wait_closed()
    return chunks


@pytest.mark.parametrize("body", [ASK, STREAM])
async def test_status_answers_an_error_object_and_costs_nothing(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int, body: dict[str, Any]
) -> None:
    for status in (400, 401, 429, 500, 503):
        provider.reset()
        script(provider, delay, "status", status=status, headers={"Retry-After": "7"})
        answer = await http.post(PATH, json=body)
        assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert billed(provider) == [("failed", 0, 0)]
        assert provider.bill().calls[0].prompt_tokens == 0


async def test_status_sends_the_body_that_it_is_given(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    for given, sent in (({"error": "no"}, b'{"error":"no"}'), ("plain", b"plain"), (None, b"null")):
        provider.reset()
        script(provider, delay, "status", status=418, body=given)
        answer = await http.post(PATH, json=ASK)
        assert (answer.status_code, answer.content) == (418, sent)
    provider.reset()
    script(provider, delay, "status", status=204)
    assert (await http.post(PATH, json=ASK)).content == b""


async def test_status_is_the_error_that_the_sdk_raises_and_retries(provider: FakeProvider, delay: int) -> None:
    provider.script(
        times=2, token_delay_ms=delay, fault={"kind": "status", "status": 429, "headers": {"retry-after-ms": "1"}}
    )
    async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="x", timeout=10, max_retries=2) as client:
        completion = await client.chat.completions.create(model="m", messages=ASK["messages"])
    assert completion.choices[0].finish_reason == "stop"
    assert [call.state for call in provider.bill().calls] == ["failed", "failed", "finished"]


async def test_redirect_points_elsewhere_and_costs_nothing(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "redirect", location="http://127.0.0.1:1/elsewhere")
    answer = await http.post(PATH, json=STREAM)
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:1/elsewhere")
    assert billed(provider) == [("failed", 0, 0)]


async def test_not_json_is_a_page_of_html_and_costs_nothing(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "not_json")
    answer = await http.post(PATH, json=ASK)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")
    assert billed(provider) == [("failed", 0, 0)]


@pytest.mark.parametrize("body", [ASK, STREAM])
async def test_hang_never_answers_and_charges_the_prompt_when_the_caller_leaves(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int, body: dict[str, Any]
) -> None:
    script(provider, delay, "hang")
    with pytest.raises(httpx.ReadTimeout):
        await http.post(PATH, json=body, timeout=0.1)
    await provider.settled()
    assert billed(provider) == [("closed_by_client", 0, PROMPT_NANO)]


@pytest.mark.parametrize("body", [ASK, STREAM])
async def test_hang_after_tokens_begins_to_answer_and_falls_silent(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int, body: dict[str, Any]
) -> None:
    script(provider, delay, "hang", after_tokens=3)
    async with http.stream("POST", PATH, json=body, timeout=httpx.Timeout(5, read=0.2)) as answer:
        assert answer.status_code == 200
        got = b""
        try:
            async for piece in answer.aiter_bytes():
                got += piece
            pytest.fail("the answer ended")
        except httpx.ReadTimeout:
            assert got
    await provider.settled()
    assert billed(provider) == [("closed_by_client", 3, PROMPT_NANO + 3 * 600)]


@pytest.mark.parametrize("reset", [False, True])
async def test_cut_closes_the_connection_in_the_middle_of_a_stream(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int, reset: bool
) -> None:
    script(provider, delay, "cut", after_tokens=4, reset=reset)
    got = ""
    try:
        async with http.stream("POST", PATH, json=STREAM) as answer:
            async for piece in answer.aiter_text():
                got += piece
        pytest.fail("the answer ended")
    except httpx.ReadError:
        assert reset
    except httpx.RemoteProtocolError:
        assert not reset
        assert contents(frames(got)) == 4
    assert billed(provider) == [failed(4)]


async def test_cut_after_more_tokens_than_there_are_comes_before_the_end(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "cut", after_tokens=999)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post(PATH, json=STREAM)
    assert billed(provider) == [failed(TOKENS)]


@pytest.mark.parametrize("kind", ["cut", "hang"])
async def test_a_stream_can_end_badly_when_only_its_done_is_missing(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int, kind: str
) -> None:
    script(provider, delay, kind, after_usage=True)
    got, ended = "", ""
    try:
        async with http.stream("POST", PATH, json=STREAM, timeout=httpx.Timeout(5, read=0.5)) as answer:
            async for piece in answer.aiter_text():
                got += piece
    except httpx.RemoteProtocolError:
        ended = "cut"
    except httpx.ReadTimeout:
        ended = "hang"
    assert ended == kind
    *_, last = frames(got)
    assert json.loads(last)["usage"]["completion_tokens"] == TOKENS
    assert billed(provider) == [full()]


@pytest.mark.parametrize("kind", ["cut", "hang"])
async def test_after_usage_is_for_streams_only(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int, kind: str
) -> None:
    script(provider, delay, kind, after_usage=True)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadTimeout)):
        await http.post(PATH, json=ASK, timeout=0.5)
    await provider.settled()
    assert billed(provider)[0][1] == 0


async def test_cut_closes_the_connection_in_the_middle_of_a_json_answer(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "cut", after_tokens=4)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post(PATH, json=ASK)
    assert billed(provider) == [failed(4)]


async def test_garbage_is_an_event_that_is_no_json_and_the_stream_goes_on(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "garbage", after_tokens=2, text="{oops")
    got = frames((await http.post(PATH, json=STREAM)).text)
    assert got[3] == "{oops"
    assert (contents(got), got[-1]) == (TOKENS, "[DONE]")
    assert billed(provider) == [full()]


async def test_garbage_can_be_the_end(provider: FakeProvider, http: httpx.AsyncClient, delay: int) -> None:
    script(provider, delay, "garbage", after_tokens=2, end=True)
    got = frames((await http.post(PATH, json=STREAM)).text)
    assert (contents(got), got[-1]) == (2, "{this is not json")
    assert billed(provider) == [full(2)]


async def test_garbage_makes_a_json_answer_unreadable(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "garbage")
    answer = await http.post(PATH, json=ASK)
    assert (answer.headers["content-type"], answer.text) == ("application/json", "{this is not json")
    assert billed(provider) == [full()]


async def test_no_usage_leaves_the_usage_out(provider: FakeProvider, http: httpx.AsyncClient, delay: int) -> None:
    script(provider, delay, "no_usage")
    assert "usage" not in (await http.post(PATH, json=ASK)).json()
    got = frames((await http.post(PATH, json=STREAM)).text)
    assert got[-1] == "[DONE]"
    assert all(json.loads(frame).get("usage") is None for frame in got[:-1])
    assert billed(provider) == [full(), full()]


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -1}, "many", None, [1], {"prompt_tokens": 1, "completion_tokens": 1}]
)
async def test_bad_usage_is_sent_as_it_is_and_the_bill_keeps_the_truth(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int, usage: Any
) -> None:
    script(provider, delay, "bad_usage", usage=usage)
    assert (await http.post(PATH, json=ASK)).json()["usage"] == usage
    assert json.loads(frames((await http.post(PATH, json=STREAM)).text)[-2])["usage"] == usage
    assert billed(provider) == [full(), full()]


async def test_no_done_ends_a_stream_without_it(provider: FakeProvider, http: httpx.AsyncClient, delay: int) -> None:
    script(provider, delay, "no_done")
    got = frames((await http.post(PATH, json=STREAM)).text)
    assert json.loads(got[-1])["usage"]["completion_tokens"] == TOKENS
    assert billed(provider) == [full()]


async def test_no_finish_gives_no_reason(provider: FakeProvider, http: httpx.AsyncClient, delay: int) -> None:
    script(provider, delay, "no_finish")
    assert (await http.post(PATH, json=ASK)).json()["choices"][0]["finish_reason"] is None
    got = frames((await http.post(PATH, json=STREAM)).text)
    assert got[-1] == "[DONE]"
    assert all(choice["finish_reason"] is None for frame in got[:-1] for choice in json.loads(frame)["choices"])
    assert billed(provider) == [full(), full()]


async def test_ignore_max_tokens_generates_more_than_was_allowed(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "ignore_max_tokens", tokens=40)
    whole = (await http.post(PATH, json={**ASK, "max_tokens": 5})).json()
    assert (whole["usage"]["completion_tokens"], whole["choices"][0]["finish_reason"]) == (40, "stop")
    got = frames((await http.post(PATH, json={**STREAM, "max_tokens": 5})).text)
    assert contents(got) == 40
    assert billed(provider) == [full(40), full(40)]
    assert provider.bill().calls[0].max_tokens == 5


async def test_huge_event_is_one_valid_event_of_at_least_that_size(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "huge_event", bytes=2_000_000, after_tokens=2)
    got = frames((await http.post(PATH, json=STREAM)).text)
    assert len(got[3]) > 2_000_000
    assert json.loads(got[3])["choices"] == []
    assert contents(got) == TOKENS
    assert len((await http.post(PATH, json=ASK)).content) > 2_000_000
    assert billed(provider) == [full(), full()]


async def test_error_event_comes_after_a_good_status_and_ends_the_stream(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    script(provider, delay, "error_event", after_tokens=3)
    answer = await http.post(PATH, json=STREAM)
    got = frames(answer.text)
    assert answer.status_code == 200
    assert contents(got) == 3
    assert set(json.loads(got[-1])["error"]) == {"message", "type", "param", "code"}
    assert billed(provider) == [failed(3)]
    async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="x", timeout=10) as client:
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(model="m", messages=ASK["messages"], stream=True):
                pass


async def test_error_event_is_all_of_a_json_answer(provider: FakeProvider, http: httpx.AsyncClient, delay: int) -> None:
    script(provider, delay, "error_event", error={"message": "overloaded"})
    answer = await http.post(PATH, json=ASK)
    assert (answer.status_code, answer.json()) == (200, {"error": {"message": "overloaded"}})
    assert billed(provider) == [failed(0)]


async def test_crlf_frames_every_event_with_crlf(provider: FakeProvider, delay: int) -> None:
    script(provider, delay, "crlf")
    text = b"".join(await raw(provider, STREAM))
    assert text.count(b"\n") == text.count(b"\r\n") == 2 * text.count(b"data: ")
    assert text.endswith(b"data: [DONE]\r\n\r\n")
    assert billed(provider) == [full()]


@pytest.mark.parametrize("body", [ASK, STREAM])
async def test_byte_chunks_are_one_byte_each(provider: FakeProvider, delay: int, body: dict[str, Any]) -> None:
    script(provider, delay, "byte_chunks")
    chunks = await raw(provider, body)
    assert {len(chunk) for chunk in chunks} == {1}
    text = b"".join(chunks).decode()
    assert text.endswith("data: [DONE]\n\n") if body is STREAM else json.loads(text)["choices"]
    assert billed(provider) == [full()]


async def test_byte_chunks_stop_when_the_caller_leaves(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int
) -> None:
    provider.script(completion_tokens=50_000, token_delay_ms=delay, fault={"kind": "byte_chunks"})
    async with http.stream("POST", PATH, json=STREAM) as answer:
        async for _ in answer.aiter_raw():
            break
    (call,) = (await provider.settled()).calls
    assert call.state == "closed_by_client"
    assert call.completion_tokens < 50_000


@pytest.mark.parametrize("kind", ["cut", "hang", "garbage", "error_event", "huge_event"])
async def test_a_fault_of_a_stream_reaches_all_n_choices(
    provider: FakeProvider, http: httpx.AsyncClient, delay: int, kind: str
) -> None:
    script(provider, delay, kind, after_tokens=2, **({"bytes": 10} if kind == "huge_event" else {}))
    try:
        await http.post(PATH, json={**STREAM, "n": 2}, timeout=0.2)
    except httpx.TransportError:
        assert kind in ("cut", "hang")
    (call,) = (await provider.settled()).calls
    assert call.completion_tokens == (2 * TOKENS if kind in ("garbage", "huge_event") else 4)
