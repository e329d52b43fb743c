"""HTTP/1.1 to providers, on asyncio and httptools.

A connection is a protocol of its own: the parser's callbacks fill it, one reader at a time waits on it. It is kept for
the next request only when an answer was read to its end; everything else closes it, and closing is how a provider is
stopped. The choice against an HTTP library, and what was measured: docs/decisions/0001-own-upstream-client.md.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast
from urllib.parse import urlsplit

import httptools

from behest_gateway.stages.upstream.ports import SendError

HIGH_WATER = 256 * 1024
"""Bytes that may wait for a slow reader before the provider is asked to pause."""

MAX_HEAD_BYTES = 64 * 1024
IDLE_SECONDS = 30.0
"""A connection unused for longer is closed: most servers close theirs after a minute, and a race would lose a call."""

LINGER_SECONDS = 1.0
"""How long the end of a body may take that is complete in sense."""

MAX_URLS = 1_000
"""Addresses whose parts are remembered."""

_Origin = tuple[str, str, int]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes a host and a port, and returns IP addresses."""


class _Connection(asyncio.Protocol):
    """One connection, and the answer that it is reading."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, for_status: bool = False) -> None:
        self._loop = loop
        self._for_status = for_status
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._then: Callable[[], None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self.closed = False
        self.idle_since = 0.0
        self.reset()

    def reset(self) -> None:
        """Make ready for the next answer."""
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._head_bytes = 0
        self._framed = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_head = False
        self.complete = False
        self.keep_alive = False
        self.problem: str | None = None

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.complete and self.has_head and not self._framed and exc is None:
            self.complete = True  # A body without a length ends with its connection.
        elif not self.complete and self.problem is None:
            self.problem = "the connection was closed"
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self.complete or self.problem is not None:
            self.close()  # Bytes that nobody asked for.
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self.problem is None:
                self.problem = "the answer is not HTTP"
            self.close()
        if not self.has_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.problem = "the head of the answer is too large"
                self.close()
        if self._then is not None and (self.complete or self.problem is not None):
            self._linger_over()
        self._wake()

    # -- httptools' side. What follows a whole answer was not asked for: it is dropped, and the connection with it.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self.headers.clear()
            return
        self.status = status
        self.has_head = True
        self._framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self.headers.get("content-encoding", "identity") != "identity" and not self._for_status:
            self.problem = "the answer is compressed, which was not asked for"
            self.close()

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        self._chunks.append(body)
        self._waiting += len(body)
        if self._waiting > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.has_head and not self.complete:
            self.complete = True
            # Asked any later, the parser says no.
            self.keep_alive = self._parser.should_keep_alive()

    # -- the reader's side

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close at once, without sending what is left."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    async def wait(self, deadline: float) -> None:
        """Wait until anything happens, or until then."""
        waiter = self._waiter = self._loop.create_future()
        self._deadline = deadline
        # One timer outlives many waits: most end soon, and arming one for each would cost more than the wait.
        if self._timer is None or self._timer.when() > deadline:
            self._arm()
        try:
            await waiter
        finally:
            self._waiter = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._over)

    def _over(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() >= self._deadline:
            self._wake()
        else:
            self._arm()

    def linger(self, then: Callable[[], None]) -> None:
        """Call `then` when the body ends, or when it has had long enough to: mostly its end is in the next packet."""
        self._then = then
        self._lingering = self._loop.call_later(LINGER_SECONDS, self._linger_over)

    def _linger_over(self) -> None:
        then, self._then = self._then, None
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if then is not None:
            then()

    @property
    def has_chunks(self) -> bool:
        return bool(self._chunks)

    def take(self) -> bytes:
        """All the bytes of the body that are here."""
        if not self._chunks:
            return b""
        chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._waiting = 0
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._transport.resume_reading()
        return chunk


class HttpReply:
    """An answer whose head has arrived; `stages.upstream.ports.Reply`."""

    __slots__ = ("_client", "_connection", "_deadline", "_done", "_idle", "_origin")

    def __init__(
        self, client: HttpSender, origin: _Origin, connection: _Connection, deadline: float, idle: float
    ) -> None:
        self._client = client
        self._origin = origin
        self._connection = connection
        self._deadline = deadline
        self._idle = idle
        self._done = False

    @property
    def status(self) -> int:
        return self._connection.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._connection.headers

    async def chunk(self) -> bytes:
        connection = self._connection
        loop = asyncio.get_running_loop()
        while not connection.has_chunks:
            if connection.complete:
                return b""
            if connection.problem is not None:
                raise SendError("broken", connection.problem)
            deadline = min(self._deadline, loop.time() + self._idle)
            await connection.wait(deadline)
            if loop.time() >= deadline and not (connection.has_chunks or connection.complete or connection.problem):
                raise SendError("timed_out", "the provider fell silent")
        return connection.take()

    async def read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            part = await self.chunk()
            if not part:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            parts.append(part)
            size += len(part)
            if size > limit:
                raise SendError("broken", "the answer is too large")

    def release(self) -> None:
        if self._done:
            return
        if self._connection.complete:
            self.close()
            return
        self._done = True
        self._connection.linger(lambda: self._client.retire(self._origin, self._connection))

    def close(self) -> None:
        if self._done:
            return
        self._done = True
        self._client.retire(self._origin, self._connection)


class HttpSender:
    """Sends requests over connections that it keeps; `stages.upstream.ports.Sender`.

    Args:
        connect_timeout: Seconds to reach a server, TLS included.
        timeout: Seconds that a whole answer may take.
        idle_timeout: Seconds that a server may stay silent, also before its answer begins.
        resolve: Says which addresses a host has, and may refuse with `SendError`; the connection goes to one of
            these, while TLS and the Host header keep the name. The system's own when left out.
        for_status: Only the status of an answer matters: its body may be encoded, and no connection is kept.
        tls: Whom to trust; the system's authorities when left out.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        timeout: float,
        idle_timeout: float,
        resolve: Resolve | None = None,
        for_status: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._resolve = resolve
        self._for_status = for_status
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._idle_timeout = idle_timeout
        self._idle: dict[_Origin, deque[_Connection]] = {}
        self._tls = tls
        self._urls: dict[str, tuple[_Origin, bytes]] = {}

    def _parse(self, url: str) -> tuple[_Origin, bytes]:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SendError("unreached", f"not an address: {url}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.netloc.rsplit("@", 1)[-1]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        start = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nUser-Agent: behest\r\n"
        parsed = ((parts.scheme, parts.hostname, port), start.encode("ascii"))
        if len(self._urls) >= MAX_URLS:
            self._urls.clear()
        self._urls[url] = parsed
        return parsed

    async def _connect(self, origin: _Origin) -> _Connection:
        idle = self._idle.get(origin)
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        while idle:
            connection = idle.pop()
            if not connection.closed:
                if connection.idle_since >= oldest:
                    connection.reset()
                    return connection
                connection.close()
        scheme, host, port = origin
        tls: ssl.SSLContext | None = None
        if scheme == "https":
            tls = self._tls = self._tls or ssl.create_default_context()
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await self._reach(host, port, tls)
        except TimeoutError:
            raise SendError("unreached", "no connection in time") from None
        except OSError as problem:
            raise SendError("unreached", problem.strerror or str(problem)) from None

    async def _reach(self, host: str, port: int, tls: ssl.SSLContext | None) -> _Connection:
        """Connect to the first address that takes it."""
        loop = asyncio.get_running_loop()

        def made() -> _Connection:
            return _Connection(loop, for_status=self._for_status)

        if self._resolve is None:
            return (await loop.create_connection(made, host, port, ssl=tls))[1]
        problem: OSError = OSError("the name has no address")
        for address in await self._resolve(host, port):
            try:
                name = host if tls is not None else None
                return (await loop.create_connection(made, address, port, ssl=tls, server_hostname=name))[1]
            except OSError as refused:
                problem = refused
        raise problem

    async def send(self, url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> HttpReply:
        origin, start = self._urls.get(url) or self._parse(url)
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
        head = b"%s%sContent-Length: %d\r\n\r\n" % (start, fields.encode("latin-1"), len(body))
        connection = await self._connect(origin)
        loop = asyncio.get_running_loop()
        began = loop.time()
        reply = HttpReply(self, origin, connection, began + self._timeout, self._idle_timeout)
        try:
            connection.write(head + body)
            deadline = began + min(self._idle_timeout, self._timeout)
            while not connection.has_head:
                if connection.problem is not None:
                    raise SendError("broken", connection.problem)
                await connection.wait(deadline)
                if loop.time() >= deadline and not (connection.has_head or connection.problem):
                    raise SendError("timed_out", "no answer in time")
            if connection.problem is not None and not self._for_status:
                raise SendError("broken", connection.problem)
        except BaseException:
            reply.close()
            raise
        return reply

    def retire(self, origin: _Origin, connection: _Connection) -> None:
        """Keep a connection whose answer is read to its end; close any other."""
        if connection.closed:
            return
        if self._for_status or not (connection.complete and connection.keep_alive and connection.problem is None):
            connection.close()
            return
        connection.take()
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.setdefault(origin, deque()).append(connection)

    def close(self) -> None:
        """Close every connection that is not in use."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()
