"""An ASGI application behind our server: its answers in one part and in many, and what a hang-up does to the latter."""

from __future__ import annotations

import asyncio
from itertools import repeat
from typing import Any

from behest_gateway.http.bridge import Receive, Scope, Send, run_asgi
from behest_gateway.http.exchange import Request, Responder

from .test_http_server import App, serving


class Bridged(App):
    """Answers through an ASGI application: `/parts` in two parts, `/endless` until nobody listens."""

    async def _serve(self, request: Request, responder: Responder) -> None:
        await run_asgi(self._asgi, request, responder)

    async def _asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        parts: Any = {"/parts": [b"one", b"two"], "/endless": repeat(b"x" * 65536)}.get(scope["path"], [])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                self.sent += len(part)
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_an_answer_goes_out_as_it_is_made_and_the_connection_is_good_for_another() -> None:
    async with serving(Bridged()) as (_, connect):
        peer = connect()
        for _ in range(2):
            head, _, body = (await peer.ask(get("/parts"), b"\r\n0\r\n\r\n")).partition(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        assert b"content-length: 0" in await peer.ask(get("/whole"), b"\r\n\r\n")


async def test_an_application_that_streams_is_ended_when_its_caller_hangs_up() -> None:
    app = Bridged()
    async with serving(app) as (_, connect):
        peer = connect()
        await peer.send(get("/endless"))
        async with asyncio.timeout(10):
            await app.entered.wait()
            while not app.sent:
                await asyncio.sleep(0)
            peer.close()
            await app.cancelled.wait()
            while app.running:
                await asyncio.sleep(0)

            assert b"two" in await connect().ask(get("/parts"), b"\r\n0\r\n\r\n")
