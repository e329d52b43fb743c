"""The front: which page answers a request.

The hot path is found by one look-up and goes through no framework. Whatever is not of the data plane goes to the
management application, which is only loaded when the first such request comes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Identified
from behest_gateway.core.ids import new_id
from behest_gateway.core.snapshot import Directory, ProjectSnapshot
from behest_gateway.http import cors, mint_api
from behest_gateway.http.bridge import AsgiApp, run_asgi
from behest_gateway.http.data_api import DataApi, call_of
from behest_gateway.http.exchange import Headers, Reply, Request, Responder
from behest_gateway.http.health import Health
from behest_gateway.http.rates import rate_headers
from behest_gateway.http.render import error_reply, failure, json_reply
from behest_gateway.mint.actions import Minter
from behest_gateway.pipeline import Exchange, Stages
from behest_gateway.stages.door.rules import rate_refusal, slug_of
from behest_gateway.stages.door.stage import Doorstep

_log = logging.getLogger("behest.http")
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_CHAT = "/v1/chat/completions"
_THREADS = "/v1/threads/"


ThreadPage = Callable[[Request, str], Awaitable[tuple[Identified, Reply]]]


class Front:
    """Serves every request of the gateway.

    Args:
        management: Makes the management application when it is first needed.
    """

    def __init__(
        self,
        *,
        stages: Stages,
        doorstep: Doorstep,
        directory: Directory,
        clock: Clock,
        data: DataApi,
        minter: Minter,
        health: Health,
        management: Callable[[], AsgiApp],
        base_domain: str,
        access_log: bool,
    ) -> None:
        self._stages = stages
        self._doorstep = doorstep
        self._directory = directory
        self._clock = clock
        self._data = data
        self._minter = minter
        self._management_factory = management
        self._management: AsgiApp | None = None
        self._base_domain = base_domain
        self._access_log = access_log
        self._reads: dict[str, Callable[[Request], Awaitable[tuple[Identified, Reply]]]] = {
            "/v1/models": data.models,
            "/v1/usage": data.usage,
            "/v1/billing/usage": data.billing,
            "/v1/threads": data.threads,
        }
        self._thread_pages: dict[str, dict[str, ThreadPage]] = {
            "/v1/threads/{thread_id}": {"GET": data.thread, "DELETE": data.delete_thread},
            "/v1/threads/{thread_id}/messages": {"GET": data.thread_messages},
        }
        self._open_pages: dict[str, Callable[[], Reply]] = {
            "/": lambda: json_reply({"service": "behest", "docs": "/v1/openapi.json"}),
            "/health": health.health,
            "/ready": health.ready,
            mint_api.JWKS_PATH: lambda: mint_api.jwks_reply(directory),
        }

    async def serve(self, request: Request, responder: Responder) -> None:
        """Answer a request. Both trace headers are on every answer."""
        self._trace(request, responder)
        if request.path.startswith("/v1/v1/"):
            request.path = request.path[3:]
        try:
            if request.path == _CHAT and request.method == "POST":
                await self._chat(request, responder)
            else:
                await self._page(request, responder)
        except GatewayError as error:
            self._tell(request, responder, error, None)
        except Exception:
            _log.exception("request %s failed", request.request_id)
            if not responder.status:
                self._tell(request, responder, failure(), None)
        if self._access_log:
            _log.info("%s %s %s %d", request.request_id, request.method, request.path, responder.status)

    def refuse(self, request: Request, responder: Responder, error: GatewayError) -> None:
        """Answer a request that could not be read."""
        self._trace(request, responder)
        self._tell(request, responder, error, None)

    def _trace(self, request: Request, responder: Responder) -> None:
        asked = request.headers.get(b"x-request-id")
        if asked is not None and _SANE_ID.fullmatch(asked) is not None:
            request.request_id = asked.decode("ascii")
        else:
            request.request_id = new_id()
            asked = request.request_id.encode("ascii")
        responder.add([(b"x-trace-id", asked), (b"x-request-id", asked)])

    def _tell(
        self, request: Request, responder: Responder, error: GatewayError, project: ProjectSnapshot | None
    ) -> None:
        flat = not self._is_data_path(request.path) and request.path != mint_api.PATHS[0] and request.path != ""
        responder.add(self._cors(request, project))
        responder.reply(error_reply(error, request.request_id, flat=flat))

    async def _page(self, request: Request, responder: Responder) -> None:
        path, method = request.path, request.method
        if cors.is_preflight(method, request.headers) and self._is_data_path(path):
            allowed = cors.allows(self._directory, self._addressed(request), request.headers[b"origin"])
            responder.reply(Reply(status=204, body=b"", headers=cors.preflight_headers(allowed, request.headers)))
        elif path in self._reads:
            _only(request, "GET")
            self._arrive(request, responder, self._stages.authenticate.knows)
            identified, reply = await self._reads[path](request)
            responder.add(self._cors(request, identified.project))
            responder.reply(reply)
        elif path.startswith(_THREADS):
            await self._thread(request, responder)
        elif path in mint_api.PATHS:
            responder.add([(b"cache-control", b"no-store")])
            _only(request, "POST")
            self._arrive(request, responder, self._minter.knows)
            host_project = self._addressed_for_mint(request)
            responder.reply(await mint_api.mint(self._minter, request, host_project, request.body))
        elif path in self._open_pages:
            if request.method != "HEAD":
                _only(request, "GET")
            responder.reply(self._open_pages[path]())
        elif path == _CHAT:
            _only(request, "POST")
        else:
            await self._manage(request, responder)

    async def _thread(self, request: Request, responder: Responder) -> None:
        """A page about one thread of the caller's."""
        thread_id, slash, rest = request.path[len(_THREADS) :].rpartition("/")
        if not slash or rest != "messages":
            thread_id, slash, rest = f"{thread_id}{slash}{rest}", "", ""
        pages = self._thread_pages[f"{_THREADS}{{thread_id}}{slash}{rest}"]
        page = pages.get(request.method)
        if page is None:
            raise GatewayError("method_not_allowed", f"{request.method} is not served here; use {' or '.join(pages)}.")
        self._arrive(request, responder, self._stages.authenticate.knows)
        identified, reply = await page(request, thread_id)
        responder.add(self._cors(request, identified.project))
        responder.reply(reply)

    def _is_data_path(self, path: str) -> bool:
        return path == _CHAT or path in self._reads or path.startswith(_THREADS)

    def _addressed(self, request: Request) -> ProjectSnapshot | None:
        slug = slug_of(request.header(b"host") or "", self._base_domain)
        return self._directory.project_by_slug(slug) if slug else None

    def _addressed_for_mint(self, request: Request) -> ProjectSnapshot | None:
        host = request.header(b"host") or ""
        project = self._addressed(request)
        if project is None and slug_of(host, self._base_domain) is not None:
            raise GatewayError("not_found", f"No project is served at {host}. Check the project's slug.")
        return project

    def _cors(self, request: Request, project: ProjectSnapshot | None) -> Headers:
        origin = request.headers.get(b"origin")
        if origin is None or not self._is_data_path(request.path):
            return []
        return cors.reply_headers(cors.allows(self._directory, project or self._addressed(request), origin), origin)

    def _arrive(self, request: Request, responder: Responder, knows: Callable[[str | None], bool]) -> None:
        """Count the address of a request whose credential would have to be verified. One that was verified before has
        rates of its own, and a backend asks for many users from one address."""
        if knows(request.bearer):
            return
        refused = self._doorstep.arrive(request.client[0], request.header(b"x-forwarded-for"))
        if refused is not None:
            responder.add(rate_headers([self._doorstep.standing(refused.rate)]))
            raise rate_refusal(refused)

    async def _chat(self, request: Request, responder: Responder) -> None:
        self._arrive(request, responder, self._stages.authenticate.knows)
        exchange = Exchange(self._stages, call_of(request, self._clock, "chat", request.body))
        responder.cancel_when_left(True)
        try:
            async with exchange:
                answer = await exchange.answer()
                if exchange.identified is not None:
                    responder.add(self._cors(request, exchange.identified.project))
                responder.add(rate_headers(exchange.visit.standings()))
                await self._data.tell(answer, responder)
                responder.cancel_when_left(False)
        except asyncio.CancelledError:
            if not responder.left:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        except GatewayError as error:
            responder.cancel_when_left(False)
            responder.add(rate_headers(exchange.visit.standings()))
            self._tell(request, responder, error, exchange.identified.project if exchange.identified else None)

    async def _manage(self, request: Request, responder: Responder) -> None:
        """Hand a request on to the management application."""
        if self._management is None:
            self._management = await asyncio.to_thread(self._management_factory)
        if request.path.startswith("/auth/v1/"):
            request.path, request.target = request.path[5:], request.target[5:]
        await run_asgi(self._management, request, responder)


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise GatewayError("method_not_allowed", f"{request.method} is not served here; use {method}.")
