"""Serving: a socket, an event loop and a line that says where."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import signal
import socket
import sys
from typing import Any

import uvicorn

from behest_gateway.app import build
from behest_gateway.settings import Settings, variable_of

BACKLOG = 2048


class StartError(Exception):
    """The gateway cannot start; the message says why and what to do."""


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        raise StartError(
            f"cannot listen on {settings.host}:{settings.port} ({problem.strerror}); stop what uses it, or choose "
            f"another with {variable_of('port')}"
        ) from None
    return listener


class _Server(uvicorn.Server):
    """Says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # What is alive now lives for ever; looking at it again and again would cost a twentieth of the time.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)
            sys.stdout.write(self._ready + "\n")
            sys.stdout.flush()


def serve(settings: Settings, *, as_json: bool) -> None:
    """Serve until a signal says stop.

    Args:
        as_json: Print the line that says where as JSON.

    Raises:
        StartError, DatabaseError, VaultError, PriceFileError, OperatorSecretError: It cannot start.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    base_url = f"http://{shown}:{port}"
    ready = json.dumps({"base_url": base_url}) if as_json else f"The gateway serves at {base_url}"
    options: dict[str, Any] = {
        "http": "httptools",
        "loop": "asyncio" if sys.platform == "win32" else "uvloop",
        "ws": "none",
        "lifespan": "on",
        "interface": "asgi3",
        "access_log": False,
        "log_config": None,
        "log_level": "error",
        "proxy_headers": False,
        "server_header": False,
        "date_header": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": settings.shutdown_seconds,
    }
    try:
        front = build(settings)
    except BaseException:
        listener.close()
        raise
    server = _Server(uvicorn.Config(front, **options), ready)
    # Once it has stopped, uvicorn raises the signal that stopped it again; to have been asked to stop is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(SystemExit):  # Also how uvicorn reports a start that failed; the reason is the front's.
        server.run(sockets=[listener])
    if front.start_failure is not None:
        raise front.start_failure
