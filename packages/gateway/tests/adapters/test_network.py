"""The HTTP client against servers of raw bytes: what it reads, what it refuses, what it keeps and what it closes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from behest_gateway.adapters import network
from behest_gateway.adapters.network import HttpReply, HttpSender
from behest_gateway.stages.upstream.ports import SendError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """A listening socket that answers with whatever a test says, and knows what happened to it."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.requests: list[bytes] = []
        self.closed = asyncio.Event()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


@asynccontextmanager
async def serving(answer: bytes | Handler) -> AsyncIterator[Server]:
    server = Server()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while True:
                server.requests.append(await _read_request(reader))
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            server.closed.set()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1/chat/completions?x=1"
    try:
        yield server
    finally:
        listener.close()


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    sender = HttpSender(connect_timeout=2, timeout=5, idle_timeout=0.4)
    yield sender
    sender.close()
    await asyncio.sleep(0)


async def _ask(sender: HttpSender, server: Server) -> HttpReply:
    return await sender.send(server.url, (("X-One", "1"),), b'{"a":1}')


async def test_a_request_is_written_as_asked(sender: HttpSender) -> None:
    async with serving(OK) as server:
        reply = await _ask(sender, server)

        assert (reply.status, await reply.read(10)) == (200, b"ok")
        reply.close()
    [request] = server.requests
    host = server.url.split("/")[2].encode()
    assert request.startswith(b"POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: " + host + b"\r\n")
    assert b"\r\nX-One: 1\r\n" in request
    assert request.endswith(b'\r\nContent-Length: 7\r\n\r\n{"a":1}')


async def test_a_connection_is_used_again_after_a_whole_answer(sender: HttpSender) -> None:
    async with serving(OK) as server:
        for _ in range(5):
            reply = await _ask(sender, server)
            assert await reply.read(10) == b"ok"
            reply.close()
        assert server.connections == 1


async def test_a_connection_is_not_used_again_when_the_server_says_so(sender: HttpSender) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok") as server:
        for _ in range(2):
            reply = await _ask(sender, server)
            assert await reply.read(10) == b"ok"
            reply.close()
        assert server.connections == 2


async def test_an_answer_that_is_left_early_closes_its_connection(sender: HttpSender) -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"5\r\nhello\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(endless) as server:
        reply = await _ask(sender, server)
        assert b"hello" in await reply.chunk()
        reply.close()
        async with asyncio.timeout(5):
            await server.closed.wait()


async def test_cancelling_before_the_answer_closes_the_connection(sender: HttpSender) -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        raise ConnectionError

    async with serving(silent) as server:
        asking = asyncio.create_task(_ask(sender, server))
        async with asyncio.timeout(5):
            await asked.wait()
            asking.cancel()
            await server.closed.wait()


async def test_a_connection_is_kept_when_the_body_ends_just_after_it_was_released(sender: HttpSender) -> None:
    go_on = asyncio.Event()

    async def late_end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlast\r\n")
        await go_on.wait()
        writer.write(b"0\r\n\r\n")

    async with serving(late_end) as server:
        for _ in range(2):
            reply = await _ask(sender, server)
            assert await reply.chunk() == b"last"
            reply.release()
            go_on.set()
            await asyncio.sleep(0.05)
        assert server.connections == 1


async def test_a_body_that_does_not_end_after_its_release_is_closed(
    sender: HttpSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "LINGER_SECONDS", 0.05)

    async def never_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlast\r\n")
        await reader.read()
        raise ConnectionError

    async with serving(never_ends) as server:
        reply = await _ask(sender, server)
        assert await reply.chunk() == b"last"
        reply.release()
        async with asyncio.timeout(5):
            await server.closed.wait()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
)
async def test_every_framing_is_read(answer: bytes, body: bytes, sender: HttpSender) -> None:
    async with serving(answer) as server:
        reply = await _ask(sender, server)
        assert (reply.status, await reply.read(100)) == (200, body)
        reply.close()


async def test_an_answer_that_comes_byte_by_byte_is_read(sender: HttpSender) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(drip) as server:
        reply = await _ask(sender, server)
        assert await reply.read(100) == b"abc"
        reply.close()


async def test_a_body_without_a_length_ends_with_its_connection(sender: HttpSender) -> None:
    async def until_closed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()
        raise ConnectionError

    async with serving(until_closed) as server:
        reply = await _ask(sender, server)
        assert await reply.read(100) == b"all of it"
        reply.close()


async def _whole(sender: HttpSender, server: Server) -> bytes:
    reply = await _ask(sender, server)
    try:
        return await reply.read(1000)
    finally:
        reply.close()


async def _broken(answer: bytes, sender: HttpSender) -> SendError:
    async def then_close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        raise ConnectionError

    async with serving(then_close) as server:
        with pytest.raises(SendError) as caught:
            await _whole(sender, server)
    return caught.value


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 20",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
    ],
    ids=["nothing", "half a head", "no HTTP", "cut body", "cut chunks", "bad chunk", "gzip", "huge head", "too long"],
)
async def test_what_breaks_off_or_is_no_http_is_broken(answer: bytes, sender: HttpSender) -> None:
    assert (await _broken(answer, sender)).kind == "broken"


async def test_a_silent_server_times_out_before_its_answer_and_within_it(sender: HttpSender) -> None:
    async def begins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await reader.read()
        raise ConnectionError

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        raise ConnectionError

    for handler in (begins, silent):
        async with serving(handler) as server:
            with pytest.raises(SendError) as caught:
                await _whole(sender, server)
            assert caught.value.kind == "timed_out"
            async with asyncio.timeout(5):
                await server.closed.wait()


async def test_a_server_that_is_not_there_is_unreached(sender: HttpSender) -> None:
    async with serving(OK) as server:
        pass
    with pytest.raises(SendError) as caught:
        await _ask(sender, server)
    assert caught.value.kind == "unreached"


async def test_a_certificate_that_nobody_vouches_for_is_unreached(sender: HttpSender) -> None:
    async with serving(OK) as server:
        with pytest.raises(SendError) as caught:
            await sender.send(server.url.replace("http:", "https:"), (), b"")
    assert caught.value.kind == "unreached"
    assert issubclass(ssl.SSLError, OSError)


async def test_a_slow_reader_makes_the_server_wait(sender: HttpSender) -> None:
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(400):
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536
        writer.write(b"0\r\n\r\n")

    async with serving(flood) as server:
        reply = await _ask(sender, server)
        await asyncio.sleep(0.3)
        waiting = sent
        total = 0
        while part := await reply.chunk():
            total += len(part)
        reply.close()

    assert waiting < 400 * 65536
    assert total == 400 * 65536


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced(sender: HttpSender) -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        raise ConnectionError

    async with serving(once) as server:
        for _ in range(3):
            reply = await _ask(sender, server)
            assert await reply.read(10) == b"ok"
            reply.close()
            async with asyncio.timeout(5):
                await server.closed.wait()
            await asyncio.sleep(0.02)
            server.closed.clear()
        assert server.connections == 3
