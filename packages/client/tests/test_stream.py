"""Streams: chunks as they come, and an end that reaches the gateway at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from behest import (
    AsyncBehest,
    AsyncStream,
    Behest,
    BehestAuthError,
    BehestError,
    BehestQuotaError,
    BehestServerError,
    Stream,
)

from .both import done, listed
from .stub_gateway import API_KEY, CHAT, PATIENCE, Answer, StubGateway

HELLO = [{"role": "user", "content": "Hello"}]


async def _stream(client: Any, **options: Any) -> Stream | AsyncStream:
    stream = await done(client.chat.completions.create(messages=HELLO, stream=True, user_id="u_42", **options))
    assert isinstance(stream, (Stream, AsyncStream))
    return stream


async def _first(stream: Stream | AsyncStream) -> str:
    """Read until the first word."""
    while True:
        chunk = await anext(stream) if isinstance(stream, AsyncStream) else next(stream)
        if chunk.text:
            return chunk.text


async def test_chunks_come_in_order_and_end(client: Any, gateway: StubGateway) -> None:
    chunks = await listed(await _stream(client))

    assert "".join(chunk.text for chunk in chunks) == "Hello, u_42!"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    (seen,) = gateway.requests(CHAT)
    assert seen.body == {"messages": HELLO, "stream": True}
    assert seen.headers["accept"] == "text/event-stream"


async def test_the_last_chunk_tells_the_cost_when_asked(client: Any) -> None:
    chunks = await listed(await _stream(client, stream_options={"include_usage": True}))

    assert chunks[-1].choices == []
    assert (chunks[-1].usage.total_tokens, chunks[-1].usage.cost_usd) == (12, 0.0015)


async def test_a_stream_that_was_read_gives_its_connection_back(client: Any, gateway: StubGateway) -> None:
    for _ in range(3):
        await listed(await _stream(client))

    assert {seen.connection for seen in gateway.seen} == {1}


async def test_the_end_does_not_wait_for_a_connection_that_stays_open(client: Any, gateway: StubGateway) -> None:
    gateway.hold_after_done = True

    async with asyncio.timeout(PATIENCE / 2):
        chunks = await listed(await _stream(client))

    assert "".join(chunk.text for chunk in chunks) == "Hello, u_42!"
    gateway.hold_after_done = False
    assert (await done(client.chat.completions.create(messages=HELLO))).text == "Hello, default!"


async def test_the_headers_can_be_read_before_the_first_chunk(client: Any) -> None:
    stream = await _stream(client)

    assert stream.response.headers["x-trace-id"] == "tr_stream"
    await listed(stream)


async def test_closing_a_stream_hangs_up_at_once(client: Any, gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()
    stream = await _stream(client)
    assert await _first(stream) == "Hello,"

    await done(stream.close())

    assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)
    assert await listed(stream) == []
    await done(stream.close())


async def test_leaving_the_block_hangs_up(client: Any, gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()
    stream = await _stream(client)

    if isinstance(stream, AsyncStream):
        async with stream:
            await _first(stream)
    else:
        with stream:
            await _first(stream)

    assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)


async def test_a_stream_that_was_never_read_can_be_closed(client: Any, gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()
    stream = await _stream(client)
    assert await asyncio.to_thread(gateway.streaming.wait, PATIENCE)

    await done(stream.close())

    assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)
    assert await listed(stream) == []


def test_a_loop_that_is_left_hangs_up_when_nobody_holds_the_stream(gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()
    with Behest(key=API_KEY, base_url=gateway.base_url) as behest:
        for chunk in behest.chat.completions.create(messages=HELLO, stream=True):
            if chunk.text:
                break

        assert gateway.hung_up.wait(PATIENCE)


async def test_a_loop_that_is_left_in_a_task_hangs_up_too(gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()
    async with AsyncBehest(key=API_KEY, base_url=gateway.base_url) as behest:
        async for chunk in await behest.chat.completions.create(messages=HELLO, stream=True):
            if chunk.text:
                break

        assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)


def test_another_thread_can_close_a_stream_that_waits_for_a_word(gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()
    words: list[str] = []
    with Behest(key=API_KEY, base_url=gateway.base_url) as behest:
        stream = behest.chat.completions.create(messages=HELLO, stream=True)
        reading = threading.Thread(target=lambda: words.extend(chunk.text for chunk in stream))
        reading.start()
        assert gateway.streaming.wait(PATIENCE)

        stream.close()
        reading.join(PATIENCE)

        assert not reading.is_alive()
        assert gateway.hung_up.wait(PATIENCE)
    assert "".join(words) in ("", "Hello,")


async def test_another_task_can_close_a_stream_that_waits_for_a_word(gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()
    async with AsyncBehest(key=API_KEY, base_url=gateway.base_url) as behest, asyncio.timeout(PATIENCE):
        stream = await behest.chat.completions.create(messages=HELLO, stream=True)
        reading = asyncio.create_task(listed(stream))
        assert await asyncio.to_thread(gateway.streaming.wait, PATIENCE)

        await stream.close()

        assert "".join(chunk.text for chunk in await reading) in ("", "Hello,")
        assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)


async def test_cancelling_the_reader_hangs_up(gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()

    async def read(behest: AsyncBehest) -> None:
        async with await behest.chat.completions.create(messages=HELLO, stream=True) as stream:
            await listed(stream)

    async with AsyncBehest(key=API_KEY, base_url=gateway.base_url) as behest:
        reading = asyncio.create_task(read(behest))
        assert await asyncio.to_thread(gateway.streaming.wait, PATIENCE)

        reading.cancel()

        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)


async def test_a_refusal_is_raised_before_there_is_a_stream(client: Any, gateway: StubGateway) -> None:
    gateway.over_budget.add("u_42")

    with pytest.raises(BehestQuotaError, match="used up"):
        await _stream(client)


async def test_an_error_within_the_stream_is_raised_after_what_came_before(client: Any, gateway: StubGateway) -> None:
    gateway.stream_ending = [
        b'data: {"error":{"code":"upstream_error","message":"The provider failed."},"choices":[]}\n\n',
        b"data: [DONE]\n\n",
    ]
    stream = await _stream(client)
    texts = [await _first(stream), await _first(stream)]

    with pytest.raises(BehestServerError, match="The provider failed") as caught:
        await _first(stream)

    assert "".join(texts) == "Hello, u_42!"
    assert (caught.value.status, caught.value.code, caught.value.trace_id) == (502, "upstream_error", "tr_stream")


async def test_a_stream_that_failed_hangs_up_while_somebody_still_holds_it(client: Any, gateway: StubGateway) -> None:
    gateway.stream_ending = [b"data: {oops\n\n"]
    gateway.hold_after_done = True
    stream = await _stream(client)

    with pytest.raises(BehestError) as caught:
        await listed(stream)

    assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)
    assert caught.value.code == "stream_parse_error"


@pytest.mark.parametrize(("ending", "code"), [([b" "], "stream_incomplete"), ([b" ", b""], "network_error")])
async def test_a_stream_that_breaks_off_is_not_taken_for_an_answer(
    ending: list[bytes], code: str, client: Any, gateway: StubGateway
) -> None:
    gateway.stream_ending = ending

    with pytest.raises(BehestServerError) as caught:
        await listed(await _stream(client))

    assert caught.value.code == code


async def test_a_stream_that_cannot_be_read_says_so(client: Any, gateway: StubGateway) -> None:
    gateway.stream_ending = [b"data: {oops\n\n"]

    with pytest.raises(BehestError) as caught:
        await listed(await _stream(client))

    assert caught.value.code == "stream_parse_error"


async def test_a_silence_in_the_stream_ends_at_the_time_out(make: Callable[..., Any], gateway: StubGateway) -> None:
    gateway.stream_gate = threading.Event()
    client = make(timeout=0.2)

    with pytest.raises(BehestServerError, match="did not answer in time") as caught:
        await listed(await _stream(client))

    assert caught.value.code == "network_error"
    assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)


async def test_a_stream_begins_with_a_new_token_when_the_kept_one_is_refused(client: Any, gateway: StubGateway) -> None:
    await listed(await _stream(client))
    gateway.change_signing_key()

    chunks = await listed(await _stream(client))

    assert "".join(chunk.text for chunk in chunks) == "Hello, u_42!"


async def test_a_given_token_that_is_refused_is_not_replaced(client: Any, gateway: StubGateway) -> None:
    with pytest.raises(BehestAuthError):
        await _stream(client, token="a.b.c")

    assert len(gateway.seen) == 1


async def test_a_stream_is_begun_again_after_a_passing_failure(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(503, headers={"Retry-After": "0"}))

    assert len(await listed(await _stream(client))) == 4


async def test_what_is_left_of_budgets_is_read_from_the_headers_of_a_stream(client: Any) -> None:
    stream = await _stream(client)

    assert stream.response.headers["X-Behest-Budget-Remaining-Usd"] == "0.25"
    assert len(await listed(stream)) > 1
