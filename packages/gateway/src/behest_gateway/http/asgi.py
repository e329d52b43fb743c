"""The front: ASGI in, one reply out.

The hot path is found by one look-up and goes through no framework. Whatever is not of the data plane goes to the
management application, which is only loaded when the first such request comes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Identified
from behest_gateway.core.ids import new_id
from behest_gateway.core.snapshot import Directory, ProjectSnapshot
from behest_gateway.http import cors, mint_api
from behest_gateway.http.data_api import DataApi, call_of
from behest_gateway.http.exchange import Headers, Reply, Request, Responder
from behest_gateway.http.health import Health
from behest_gateway.http.render import error_reply, failure, json_reply
from behest_gateway.mint.actions import Minter
from behest_gateway.pipeline import Exchange, Stages
from behest_gateway.stages.door.rules import slug_of

_log = logging.getLogger("behest.http")
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_DRAIN_LIMIT = 64 * 1024 * 1024
"""How much of a body that is too large is read and dropped, so that its sender gets to read the answer."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class _AsgiResponder(Responder):
    """Sends over ASGI, with the two trace headers on everything."""

    __slots__ = ("_request_id", "_send", "started", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode("latin-1")
        self.started = False
        self.status = 0

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        self.status = status
        headers.append((b"x-trace-id", self._request_id))
        headers.append((b"x-request-id", self._request_id))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, *, end: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": not end})

    async def reply(self, reply: Reply, headers: Headers) -> None:
        await self.start(reply.status, [*reply.headers, (b"content-length", b"%d" % len(reply.body)), *headers])
        await self.write(reply.body, end=True)


class _CallerLeftError(Exception):
    """The caller left while it was still speaking; there is nobody to answer."""


class _Body:
    """Reads a request's body within its limits, and then watches for the caller to hang up."""

    __slots__ = ("_headers", "_limit", "_receive", "_seconds", "complete")

    def __init__(self, receive: Receive, headers: dict[bytes, bytes], limit: int, seconds: float) -> None:
        self._receive = receive
        self._headers = headers
        self._limit = limit
        self._seconds = seconds
        self.complete = False

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            GatewayError: `payload_too_large`, or `request_timeout`.
        """
        message = await self._receive()
        if not message.get("more_body") and message["type"] == "http.request":
            self.complete = True
            body: bytes = message.get("body", b"")
            if len(body) > self._limit:
                raise self._too_large()
            return body
        try:
            async with asyncio.timeout(self._seconds):
                return await self._rest(message)
        except TimeoutError:
            raise GatewayError(
                "request_timeout", f"The request's body did not arrive within {self._seconds:g} s."
            ) from None

    async def _rest(self, message: MutableMapping[str, Any]) -> bytes:
        parts: list[bytes] = []
        size = 0
        while message["type"] == "http.request":
            part: bytes = message.get("body", b"")
            size += len(part)
            if size <= self._limit:
                parts.append(part)
            else:
                parts.clear()
            if not message.get("more_body"):
                self.complete = True
                break
            if size > _DRAIN_LIMIT:
                break
            message = await self._receive()
        else:
            raise _CallerLeftError
        if size > self._limit:
            raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> GatewayError:
        return GatewayError(
            "payload_too_large",
            f"The body is larger than the {self._limit} bytes that this gateway accepts.",
            details={"limit_bytes": self._limit},
        )

    async def gone(self) -> None:
        """Return once the caller has hung up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Watch:
    """Cancels the current task when the caller hangs up, until `over` is called."""

    __slots__ = ("_task", "_watcher", "left")

    def __init__(self, gone: Callable[[], Awaitable[None]]) -> None:
        self.left = False
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self._watcher = loop.create_task(self._watch(gone))

    async def _watch(self, gone: Callable[[], Awaitable[None]]) -> None:
        await gone()
        task, self._task = self._task, None
        if task is not None:
            self.left = True
            task.cancel()

    def over(self) -> None:
        self._task = None
        self._watcher.cancel()


class Front:
    """The ASGI application.

    Args:
        management: Makes the management application when it is first needed.
        on_start: Awaited once, when the server starts.
        on_stop: Awaited once, when it has stopped serving.
    """

    def __init__(
        self,
        *,
        stages: Stages,
        directory: Directory,
        clock: Clock,
        data: DataApi,
        minter: Minter,
        health: Health,
        management: Callable[[], AsgiApp],
        base_domain: str,
        max_body_bytes: int,
        body_timeout: float,
        access_log: bool,
        on_start: Callable[[], Awaitable[None]],
        on_stop: Callable[[], Awaitable[None]],
    ) -> None:
        self._stages = stages
        self._directory = directory
        self._clock = clock
        self._data = data
        self._minter = minter
        self._management_factory = management
        self._management: AsgiApp | None = None
        self._base_domain = base_domain
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._access_log = access_log
        self.start_failure: Exception | None = None
        """Why `on_start` failed, if it did."""
        self._on_start = on_start
        self._on_stop = on_stop
        self._reads: dict[str, Callable[[Request], Awaitable[tuple[Identified, Reply]]]] = {
            "/v1/models": data.models,
            "/v1/usage": data.usage,
            "/v1/billing/usage": data.billing,
        }
        self._open_pages: dict[str, Callable[[], Reply]] = {
            "/health": health.health,
            "/ready": health.ready,
            mint_api.JWKS_PATH: lambda: mint_api.jwks_reply(directory),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._on_start()
        except Exception as problem:
            self.start_failure = problem
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._on_stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        asked = headers.get(b"x-request-id")
        request_id = asked.decode("latin-1") if asked is not None else ""
        if not request_id or _SANE_ID.fullmatch(request_id) is None:
            request_id = new_id()
        path: str = scope["path"]
        if path.startswith("/v1/v1/"):
            path = path[3:]
        body = _Body(receive, headers, self._max_body_bytes, self._body_timeout)
        request = Request(
            method=scope["method"],
            path=path,
            query_string=scope["query_string"],
            headers=headers,
            request_id=request_id,
            body=body.read,
            gone=body.gone,
        )
        responder = _AsgiResponder(send, request_id)
        try:
            await self._serve(request, responder, scope, receive, send)
        except GatewayError as error:
            if not responder.started:
                await responder.reply(error_reply(error, request_id), self._cors(request, None))
        except _CallerLeftError:
            pass
        except Exception:
            _log.exception("request %s failed", request_id)
            if not responder.started:
                await responder.reply(error_reply(failure(), request_id), self._cors(request, None))
            else:
                raise
        if self._access_log:
            _log.info("%s %s %s %d", request_id, request.method, path, responder.status)

    async def _serve(
        self, request: Request, responder: _AsgiResponder, scope: Scope, receive: Receive, send: Send
    ) -> None:
        path, method = request.path, request.method
        if path == "/v1/chat/completions" and method == "POST":
            await self._chat(request, responder)
        elif cors.is_preflight(method, request.headers) and self._is_data_path(path):
            allowed = cors.allows(self._directory, self._addressed(request), request.headers[b"origin"])
            await responder.reply(Reply(status=204, body=b""), cors.preflight_headers(allowed, request.headers))
        elif path in self._reads:
            if method != "GET":
                raise _wrong_method(method, "GET")
            identified, reply = await self._reads[path](request)
            await responder.reply(reply, self._cors(request, identified.project))
        elif path in mint_api.PATHS:
            await self._mint_token(request, responder)
        elif path in self._open_pages:
            await responder.reply(self._open_pages[path](), [])
        elif path == "/v1/chat/completions":
            raise _wrong_method(method, "POST")
        elif path == "/":
            await responder.reply(json_reply({"service": "behest", "docs": "/v1/openapi.json"}), [])
        else:
            await self._manage(request, scope, receive, send)

    def _is_data_path(self, path: str) -> bool:
        return path == "/v1/chat/completions" or path in self._reads

    def _addressed(self, request: Request) -> ProjectSnapshot | None:
        slug = slug_of(request.header(b"host") or "", self._base_domain)
        return self._directory.project_by_slug(slug) if slug else None

    def _cors(self, request: Request, project: ProjectSnapshot | None) -> Headers:
        origin = request.headers.get(b"origin")
        if origin is None or not self._is_data_path(request.path):
            return []
        return cors.reply_headers(cors.allows(self._directory, project or self._addressed(request), origin), origin)

    async def _chat(self, request: Request, responder: _AsgiResponder) -> None:
        call = call_of(request, self._clock, "chat", await request.body())
        exchange = Exchange(self._stages, call)
        watch = _Watch(request.gone)
        try:
            async with exchange:
                fields: Headers = []
                if b"origin" in request.headers:
                    fields = self._cors(request, exchange.identify().project)
                await self._data.chat(request, exchange, responder, fields)
                watch.over()
        except asyncio.CancelledError:
            if not watch.left:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        except GatewayError as error:
            watch.over()
            identified = exchange.identified
            fields = self._cors(request, identified.project if identified else None)
            await responder.reply(error_reply(error, request.request_id), fields)
        finally:
            watch.over()

    async def _mint_token(self, request: Request, responder: _AsgiResponder) -> None:
        try:
            if request.method != "POST":
                raise _wrong_method(request.method, "POST")
            host_project = self._addressed_for_mint(request)
            reply = await mint_api.mint(self._minter, request, host_project, await request.body())
        except GatewayError as error:
            reply = error_reply(error, request.request_id, flat=request.path == mint_api.FLAT_PATH)
        await responder.reply(reply, [(b"cache-control", b"no-store")])

    def _addressed_for_mint(self, request: Request) -> ProjectSnapshot | None:
        host = request.header(b"host") or ""
        project = self._addressed(request)
        if project is None and slug_of(host, self._base_domain) is not None:
            raise GatewayError("not_found", f"No project is served at {host}. Check the project's slug.")
        return project

    async def _manage(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on to the management application, within the same limits as any other."""
        if self._management is None:
            self._management = await asyncio.to_thread(self._management_factory)
        path = request.path.removeprefix("/auth") if request.path.startswith("/auth/v1/") else request.path
        trace = request.request_id.encode("latin-1")
        try:
            body = await request.body()
        except GatewayError as error:
            responder = _AsgiResponder(send, request.request_id)
            await responder.reply(error_reply(error, request.request_id, flat=True), [])
            return
        given = False

        async def receive_whole() -> MutableMapping[str, Any]:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send_traced(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                fields = [*message.get("headers", []), (b"x-trace-id", trace), (b"x-request-id", trace)]
                message = {**message, "headers": fields}
            await send(message)

        inner = {**scope, "path": path, "raw_path": path.encode(), "state": {"request_id": request.request_id}}
        await self._management(inner, receive_whole, send_traced)


def _wrong_method(method: str, right: str) -> GatewayError:
    return GatewayError("method_not_allowed", f"{method} is not served here; use {right}.")
