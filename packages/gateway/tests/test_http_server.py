"""HTTP as callers speak it: well, badly, slowly and in the wrong order, over raw sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from behest_gateway.core.errors import GatewayError
from behest_gateway.http import server as module
from behest_gateway.http.exchange import Reply, Request, Responder
from behest_gateway.http.server import HttpServer, Limits

GET = b"GET /hello?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"


class App:
    """Answers by path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.sent = 0
        self.running = 0
        self.most_running = 0

    async def serve(self, request: Request, responder: Responder) -> None:
        self.seen.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.entered.set()
        try:
            await self._serve(request, responder)
        finally:
            self.running -= 1

    async def _serve(self, request: Request, responder: Responder) -> None:
        responder.add([(b"x-always", b"1")])
        match request.path:
            case "/wait":
                responder.cancel_when_left(True)
                try:
                    await self.go_on.wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    if not responder.left:
                        raise
                    return
                responder.reply(Reply(status=200, body=b"waited"))
            case "/stream":
                responder.start(200, [(b"content-type", b"text/plain")])
                for part in (b"one", b"", b"two"):
                    await responder.write(part)
                responder.end()
            case "/flood":
                responder.start(200, [])
                for _ in range(400):
                    await responder.write(b"x" * 65536)
                    self.sent += 65536
                responder.end()
            case "/nothing":
                responder.reply(Reply(status=204, body=b""))
            case "/silent":
                pass
            case "/broken-header":
                responder.reply(Reply(status=200, body=b"", headers=[(b"x", b"a\r\nset-cookie: b")]))
            case _:
                await asyncio.sleep(0)
                responder.reply(Reply(status=200, body=request.method.encode() + b" " + request.body))

    def refuse(self, request: Request, responder: Responder, error: GatewayError) -> None:
        responder.reply(Reply(status=error.status, body=error.message.encode()))


@asynccontextmanager
async def serving(app: App, **limits: float) -> AsyncIterator[tuple[HttpServer, Callable[[], Peer]]]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    settings = {"body_bytes": 1000, "request_seconds": 30.0, "idle_seconds": 30.0, **limits}
    server = HttpServer(app.serve, app.refuse, Limits(**settings))  # type: ignore[arg-type]
    await server.start(listener, 100)
    peers: list[Peer] = []

    def connect() -> Peer:
        peers.append(Peer(listener.getsockname()[1]))
        return peers[-1]

    try:
        yield server, connect
    finally:
        for peer in peers:
            peer.close()
        await server.stop(0.2)
        listener.close()


class Peer:
    """One connection of a caller."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.left = b""

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def read(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(5):
            while part := await asyncio.get_running_loop().sock_recv(self._socket, 65536):
                self.left += part
        return self.left

    async def read_some(self) -> None:
        """Keep the end of what comes next."""
        async with asyncio.timeout(5):
            self.left = (self.left + await asyncio.get_running_loop().sock_recv(self._socket, 1 << 20))[-20:]

    async def read_until(self, end: bytes) -> bytes:
        async with asyncio.timeout(5):
            while end not in self.left:
                part = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
                assert part, f"closed after {self.left!r}"
                self.left += part
        found, _, self.left = self.left.partition(end)
        return found + end

    async def ask(self, request: bytes, end: bytes) -> bytes:
        await self.send(request)
        return await self.read_until(end)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def app() -> App:
    return App()


async def test_requests_of_one_connection_are_answered_in_turn(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        for _ in range(3):
            answer = await peer.ask(GET, b"GET ")
            assert answer == b"HTTP/1.1 200 OK\r\nx-always: 1\r\ncontent-length: 4\r\n\r\nGET "

    first = app.seen[0]
    assert (first.method, first.path, first.query_string, first.headers) == ("GET", "/hello", b"a=1", {b"host": b"x"})
    assert first.query == {"a": "1"}
    assert first.client[0] == "127.0.0.1"


async def test_requests_sent_ahead_are_answered_in_order_and_one_at_a_time(app: App) -> None:
    async with serving(app) as (_, connect):
        posts = [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d" % n for n in range(20)]
        peer = connect()
        await peer.send(b"".join(posts))
        answers = [(await peer.read_until(b"POST %02d" % n))[-7:] for n in range(20)]

    assert answers == [b"POST %02d" % n for n in range(20)]
    assert app.most_running == 1


async def test_a_body_in_chunks_and_a_request_in_single_bytes_are_put_together(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        for byte in chunked:
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        await peer.read_until(b"POST abcde")


async def test_a_stream_is_sent_in_chunks(app: App) -> None:
    async with serving(app) as (_, connect):
        answer = await connect().ask(GET.replace(b"hello", b"stream"), b"0\r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_an_old_client_gets_a_stream_that_ends_with_its_connection(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(b"GET /stream HTTP/1.0\r\n\r\n")
        answer = await peer.read()

    assert b"connection: close" in answer
    assert answer.endswith(b"\r\n\r\nonetwo")


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
)
async def test_a_connection_is_closed_when_its_caller_wants_that(request_: bytes, app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(request_)
        answer = await peer.read()

    assert answer.endswith(b"connection: close\r\n\r\nGET ")


async def test_an_offer_to_change_the_protocol_is_not_taken_up(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nmore")
        answer = await peer.read()

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"connection: close\r\n\r\nGET ")


async def test_a_head_request_gets_the_head_alone(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        answer = await peer.read_until(b"GET ")

    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"content-length: 5\r\n\r\nHTTP/1.1 200" in answer


async def test_an_answer_without_content_has_no_length(app: App) -> None:
    async with serving(app) as (_, connect):
        answer = await connect().ask(GET.replace(b"hello", b"nothing"), b"\r\n\r\n")

    assert answer == b"HTTP/1.1 204 No Content\r\nx-always: 1\r\n\r\n"


async def test_a_caller_who_waits_for_leave_to_send_its_body_gets_it(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        assert await peer.ask(head, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await peer.ask(b"ok", b"POST ok")


async def test_a_whole_address_and_escapes_in_a_target_are_understood(app: App) -> None:
    async with serving(app) as (_, connect):
        await connect().ask(b"GET http://elsewhere/a%20b?c=%20 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET ")

    [request] = app.seen
    assert (request.path, request.target, request.query_string) == ("/a b", b"/a%20b", b"c=%20")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"hello\r\n\r\n", b"This is not HTTP/1.1."),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", b"not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", b"head is larger"),
        (b"GET /" + b"y" * 70_000, b"head is larger"),
    ],
)
async def test_what_is_no_request_is_refused_and_closed(request_: bytes, said: bytes, app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(request_)
        answer = await peer.read()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert said in answer
    assert app.seen == []


async def test_a_request_for_two_hosts_is_refused(app: App) -> None:
    async with serving(app) as (_, connect):
        await connect().ask(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"names two hosts.")

    assert app.seen == []


async def test_a_body_that_is_too_large_is_read_and_dropped_so_that_the_answer_is_seen(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000)
        await peer.read_until(b"larger than the 1000 bytes that this gateway accepts.")
        await peer.ask(GET, b"GET ")


async def test_a_body_without_end_is_cut_off(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAIN_LIMIT", 20_000)
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n" + b"x" * 30_000)
        assert (await peer.read()).startswith(b"HTTP/1.1 413 ")


async def test_a_caller_who_hangs_up_cancels_what_wants_that(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(GET.replace(b"hello", b"wait"))
        async with asyncio.timeout(5):
            await app.entered.wait()
            peer.close()
            await app.cancelled.wait()


async def test_a_slow_request_is_told_and_an_idle_connection_is_closed(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.05)
    async with serving(app, request_seconds=0.2, idle_seconds=0.2) as (_, connect):
        slow, idle, mute = connect(), connect(), connect()
        await slow.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        await idle.ask(GET, b"GET ")

        assert (await slow.read()).startswith(b"HTTP/1.1 408 ")
        assert await idle.read() == b""
        assert await mute.read() == b""


async def test_a_request_that_is_being_served_may_take_longer_than_one_that_arrives(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.05)
    async with serving(app, request_seconds=0.1, idle_seconds=0.1) as (_, connect):
        peer = connect()
        await peer.send(GET.replace(b"hello", b"wait"))
        await asyncio.sleep(0.4)
        app.go_on.set()
        await peer.read_until(b"waited")


async def test_a_slow_reader_makes_the_answer_wait(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(GET.replace(b"hello", b"flood"))
        await asyncio.sleep(0.3)
        waiting = app.sent
        while not peer.left.endswith(b"\r\n0\r\n\r\n"):
            await peer.read_some()

    assert waiting < 400 * 65536
    assert app.sent == 400 * 65536


async def test_stopping_lets_requests_end_and_closes_idle_connections(app: App) -> None:
    async with serving(app) as (server, connect):
        idle, busy = connect(), connect()
        await idle.ask(GET, b"GET ")
        app.entered.clear()
        await busy.send(GET.replace(b"hello", b"wait"))
        await app.entered.wait()
        stopping = asyncio.create_task(server.stop(5))
        await asyncio.sleep(0)
        app.go_on.set()
        await stopping

        assert (await busy.read()).endswith(b"waited")
        assert await idle.read() == b""


async def test_stopping_cancels_what_does_not_end(app: App) -> None:
    async with serving(app) as (server, connect):
        peer = connect()
        await peer.send(GET.replace(b"hello", b"wait"))
        await app.entered.wait()
        await server.stop(0.05)

        assert app.cancelled.is_set()
        assert await peer.read() == b""


async def test_a_request_that_nobody_answered_closes_its_connection(app: App) -> None:
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(GET.replace(b"hello", b"silent"))
        assert await peer.read() == b""


async def test_a_line_break_cannot_get_into_a_header(app: App) -> None:
    raised: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(GET.replace(b"hello", b"broken-header"))
        assert await peer.read() == b""
    import gc

    gc.collect()
    assert [str(error) for error in raised] == ["the header b'x' has a line break in it"]
