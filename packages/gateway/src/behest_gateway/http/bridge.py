"""An ASGI application behind this gateway's own server: how the management plane is mounted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from behest_gateway.http.exchange import Headers, Reply, Request, Responder

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def scope_of(request: Request) -> dict[str, Any]:
    """A request as ASGI describes it; `state.request_id` is the trace id."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.target,
        "query_string": request.query_string,
        "root_path": "",
        "headers": list(request.headers.items()),
        "client": request.client,
        "server": None,
        "state": {"request_id": request.request_id},
    }


async def run_asgi(app: AsgiApp, request: Request, responder: Responder) -> None:
    """Let an application answer a request. An answer in one part goes out with its length.

    An answer in several parts may take as long as it likes: its task is cancelled when the caller hangs up, and it
    waits while the caller reads slower than it writes.
    """
    given = False
    status = 0
    headers: Headers = []
    streaming = False

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:
            # Nobody watches the caller from here: whoever waits for them to leave is cancelled when they do.
            await asyncio.get_running_loop().create_future()
        given = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, headers, streaming
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [(bytes(n), bytes(v)) for n, v in message.get("headers", []) if n != b"content-length"]
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if not streaming and not more:
            responder.reply(Reply(status=status, body=body, headers=headers))
            return
        if not streaming:
            streaming = True
            responder.cancel_when_left(True)
            responder.start(status, headers)
        await responder.write(body)
        if not more:
            responder.cancel_when_left(False)
            responder.end()

    try:
        await app(scope_of(request), receive, send)
    except asyncio.CancelledError:
        if not (streaming and responder.left):
            raise
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
    finally:
        responder.cancel_when_left(False)
