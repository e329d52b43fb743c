"""HTTP/1.1 for callers, on asyncio and httptools: bytes become requests, and replies become bytes.

A request is handed on once it is whole, so whoever serves it never waits for its body. While it is served, nothing of
its connection is watched by a task: a caller who hangs up is noticed by the protocol itself. All time limits of idle
and slow connections are looked after by one sweep a second, so that a request costs no timer. The choice against an
ASGI server, and what was measured: docs/decisions/0003-own-front.md.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

import httptools
from msgspec import Struct

from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.http.exchange import Headers, Reply, Request, Responder

MAX_HEAD_BYTES = 64 * 1024
DRAIN_LIMIT = 64 * 1024 * 1024
"""How much of a body that is too large is read and dropped, so that its sender gets to read the answer."""

SWEEP_SECONDS = 1.0
_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Serve = Callable[[Request, Responder], Awaitable[None]]


class Limits(Struct, frozen=True, kw_only=True):
    """What a connection may ask for.

    Attributes:
        body_bytes: The largest body that is handed on.
        request_seconds: In which a request must be whole, from its first byte or, for the first, from the connection.
        idle_seconds: That a connection may wait for its next request.
    """

    body_bytes: int
    request_seconds: float
    idle_seconds: float = 75.0


class _Answer:
    """How one request is answered; `exchange.Responder`."""

    __slots__ = (
        "_cancel", "_connection", "_head", "_headers", "_only_head", "is_whole", "keep_alive", "left", "status", "task",
    )  # fmt: skip

    def __init__(self, connection: Connection, *, keep_alive: bool, only_head: bool) -> None:
        self._connection = connection
        self._headers: Headers = []
        self._head = b""
        self._only_head = only_head
        self._cancel = False
        self.is_whole = False
        self.keep_alive = keep_alive
        self.left = False
        self.status = 0
        self.task: asyncio.Task[None] | None = None

    def cancel_when_left(self, wanted: bool) -> None:
        self._cancel = wanted

    def leave(self) -> None:
        """The caller has hung up."""
        self.left = True
        if self._cancel and self.task is not None:
            self._cancel = False
            self.task.cancel()

    def add(self, headers: Headers) -> None:
        self._headers += headers

    def _head_of(self, status: int, headers: Headers, framing: bytes) -> bytes:
        parts = [_STATUS_LINES[status]]
        for fields in (headers, self._headers):
            for name, value in fields:
                if b"\n" in value or b"\r" in value:
                    raise ValueError(f"the header {name!r} has a line break in it")
                parts += (name, b": ", value, b"\r\n")
        parts.append(framing)
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        self.status = status
        return b"".join(parts)

    def reply(self, reply: Reply) -> None:
        length = b"" if reply.status == 204 else b"content-length: %d\r\n" % len(reply.body)
        head = self._head_of(reply.status, reply.headers, length)
        self.is_whole = True
        self._connection.write(head if self._only_head else head + reply.body)

    def start(self, status: int, headers: Headers) -> None:
        self._head = self._head_of(status, headers, b"transfer-encoding: chunked\r\n" if self.keep_alive else b"")

    async def write(self, part: bytes) -> None:
        if self._only_head or not part or self.left:
            return
        data = b"%b%x\r\n%b\r\n" % (self._head, len(part), part) if self.keep_alive else self._head + part
        self._head = b""
        self._connection.write(data)
        if self._connection.is_paused:
            await self._connection.writable()

    def end(self) -> None:
        self.is_whole = True
        last = b"0\r\n\r\n" if self.keep_alive and not self._only_head else b""
        data, self._head = self._head + last, b""
        if data:
            self._connection.write(data)


class _Incoming:
    """A request that is still arriving."""

    __slots__ = ("body", "head_bytes", "headers", "keep_alive", "method", "problem", "size", "url")

    def __init__(self) -> None:
        self.url = b""
        self.method = ""
        self.headers: dict[bytes, bytes] = {}
        self.body: list[bytes] = []
        self.size = 0
        self.head_bytes = 0
        self.keep_alive = False
        self.problem: GatewayError | None = None


class Connection(asyncio.Protocol):
    """One caller's connection: requests one after another, each answered before the next is begun."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._limits = server.limits
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._client = ("", 0)
        self._incoming = _Incoming()
        self._waiting: deque[_Incoming] = deque()
        self._answer: _Answer | None = None
        self._writable: asyncio.Future[None] | None = None
        self._closing = False
        self._is_deaf = False
        self._refusal: GatewayError | None = None
        self._is_arriving = False
        self.is_paused = False
        self.deadline = server.now + server.limits.request_seconds
        """When patience ends, by the server's coarse clock; infinite while a request is served."""

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer:
            self._client = (str(peer[0]), int(peer[1]))
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._server.connections.discard(self)
        self._waiting.clear()
        self._resume()
        if self._answer is not None:
            self._answer.leave()

    def data_received(self, data: bytes) -> None:
        if self._closing or self._is_deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The offer to change the protocol is not taken up; the request is answered, and is the last.
            self._is_deaf = True
            if self._waiting:
                self._waiting[-1].keep_alive = False
            elif self._answer is not None and self._answer.status == 0:
                self._answer.keep_alive = False
        except httptools.HttpParserError:
            self._refuse(invalid("This is not HTTP/1.1."))

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self._resume()

    def _resume(self) -> None:
        self.is_paused = False
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- httptools' side

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()
        self._is_arriving = True
        if self._answer is None:
            self.deadline = self._server.now + self._limits.request_seconds

    def on_url(self, url: bytes) -> None:
        self._incoming.url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        incoming = self._incoming
        self._count_head(len(name) + len(value))
        if incoming.method:
            return  # A trailer. It is no header: whoever checked this request on its way here looked at those.
        name = name.lower()
        if name == b"host" and name in incoming.headers:
            incoming.problem = invalid("The request names two hosts.")
        incoming.headers[name] = value

    def _count_head(self, size: int) -> None:
        incoming = self._incoming
        incoming.head_bytes += size
        if incoming.head_bytes > MAX_HEAD_BYTES and incoming.problem is None:
            incoming.headers.clear()
            self._refuse(invalid(f"The request's head is larger than {MAX_HEAD_BYTES} bytes."))

    def on_headers_complete(self) -> None:
        incoming = self._incoming
        incoming.method = self._parser.get_method().decode("ascii")
        if self._parser.should_upgrade() and incoming.headers.keys() & {b"content-length", b"transfer-encoding"}:
            # The parser takes what follows for the other protocol.
            incoming.problem = invalid("A request with a body cannot offer another protocol; send it without Upgrade.")
        if incoming.headers.get(b"expect", b"").lower() == b"100-continue" and self._answer is None:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        incoming = self._incoming
        incoming.size += len(body)
        if incoming.size <= self._limits.body_bytes:
            incoming.body.append(body)
            return
        incoming.body.clear()
        if incoming.problem is None:
            incoming.problem = GatewayError(
                "payload_too_large",
                f"The body is larger than the {self._limits.body_bytes} bytes that this gateway accepts.",
                details={"limit_bytes": self._limits.body_bytes},
            )
        if incoming.size > DRAIN_LIMIT:
            self._refuse(incoming.problem)

    def on_message_complete(self) -> None:
        incoming = self._incoming
        # Asked any later, the parser says no.
        incoming.keep_alive = self._parser.should_keep_alive()
        self._is_arriving = False
        if self._closing or self._is_deaf:
            return
        if self._answer is None:
            self._serve(incoming)
        else:
            # Sent ahead of its turn; nothing more is read until it has come.
            self._waiting.append(incoming)
            self._transport.pause_reading()

    # -- serving

    def _serve(self, incoming: _Incoming) -> None:
        self.deadline = float("inf")
        answer = _Answer(
            self,
            keep_alive=incoming.keep_alive and not self._server.is_closing,
            only_head=incoming.method == "HEAD",
        )
        self._answer = answer
        url = incoming.url
        if not url.startswith(b"/"):
            url = _origin_form(url)
        target, _, query = url.partition(b"?")
        path = target.decode("latin-1")
        parts = incoming.body
        request = Request(
            method=incoming.method,
            path=unquote(path) if "%" in path else path,
            target=target,
            query_string=query,
            headers=incoming.headers,
            body=parts[0] if len(parts) == 1 else b"".join(parts),
            client=self._client,
        )
        answer.task = self._server.loop.create_task(self._run(request, answer, incoming.problem))

    async def _run(self, request: Request, answer: _Answer, problem: GatewayError | None) -> None:
        try:
            if problem is None:
                await self._server.serve(request, answer)
            else:
                self._server.refuse(request, answer, problem)
        finally:
            self._done(answer)

    def _done(self, answer: _Answer) -> None:
        self._answer = None
        if self._closing:
            return
        if not (answer.keep_alive and answer.is_whole) or self._server.is_closing:
            self.close()
            return
        self.deadline = self._server.now + self._limits.idle_seconds
        if self._waiting:
            self._serve(self._waiting.popleft())
            if not self._waiting:
                self._transport.resume_reading()
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif self._is_deaf:
            self.close()

    def _refuse(self, error: GatewayError) -> None:
        """Answer what cannot be read to its end, and close. What was asked before it is answered first."""
        self._is_deaf = True
        if self._answer is not None:
            self._refusal = error
            return
        if not self._closing:
            answer = _Answer(self, keep_alive=False, only_head=False)
            request = Request(
                method="", path="", target=b"", query_string=b"", headers={}, body=b"", client=self._client
            )
            self._server.refuse(request, answer, error)
        self.close()

    def expire(self) -> None:
        """Patience has ended: tell a caller who was speaking, and close."""
        if self._is_arriving and self._answer is None:
            seconds = self._limits.request_seconds
            self._refuse(GatewayError("request_timeout", f"The request did not arrive within {seconds:g} s."))
        else:
            self.close()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that answers a request now, if there is one."""
        return self._answer.task if self._answer is not None else None

    def write(self, data: bytes) -> None:
        """Send bytes, if there is still somebody to read them."""
        if not self._closing:
            self._transport.write(data)

    async def writable(self) -> None:
        """Wait until the caller has read some."""
        # A waiter that a kill switch cancelled is of no more use, though its request goes on to tell its end.
        if self._writable is None or self._writable.done():
            self._writable = self._server.loop.create_future()
        await self._writable

    def close(self) -> None:
        """Close once everything written is sent."""
        self._closing = True
        self._transport.close()


def _origin_form(url: bytes) -> bytes:
    """The path and query of a target that names a whole address, as proxies send it."""
    _, _, rest = url.partition(b"://")
    _, slash, path = rest.partition(b"/")
    return slash + path or b"/"


class HttpServer:
    """Listens, and hands whole requests on.

    Args:
        serve: Answers a request; must not raise, and must answer or leave the connection to be closed.
        refuse: Answers a request that could not be read, at once.
    """

    def __init__(
        self, serve: Serve, refuse: Callable[[Request, Responder, GatewayError], None], limits: Limits
    ) -> None:
        self.serve = serve
        self.refuse = refuse
        self.limits = limits
        self.connections: set[Connection] = set()
        self.is_closing = False
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time()
        """A coarse clock, set once a second."""
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, listener: socket.socket, backlog: int) -> None:
        """Serve a listening socket."""
        self._listener = await self.loop.create_server(lambda: Connection(self), sock=listener, backlog=backlog)
        self._sweep()

    def _sweep(self) -> None:
        self.now = self.loop.time()
        for connection in [c for c in self.connections if c.deadline < self.now]:
            connection.expire()
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    async def stop(self, seconds: float) -> None:
        """Take no more requests, let those that are served end, and cancel what is left after a while."""
        self.is_closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            if connection.task is None:
                connection.close()
        await self._until_quiet(seconds)
        for connection in self.connections:
            if connection.task is not None:
                connection.task.cancel()
        await self._until_quiet(seconds)
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _until_quiet(self, seconds: float) -> None:
        serving = [task for connection in self.connections if (task := connection.task) is not None]
        if serving:
            await asyncio.wait(serving, timeout=seconds)
