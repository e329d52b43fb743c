"""Serving: a socket, an event loop, and a line that says where."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import signal
import socket
import sys

from behest_gateway.app import Gateway, build
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
        listener.setblocking(False)
    except OSError as problem:
        listener.close()
        raise StartError(
            f"cannot listen on {settings.host}:{settings.port} ({problem.strerror}); stop what uses it, or choose "
            f"another with {variable_of('port')}"
        ) from None
    return listener


def _say_where(listener: socket.socket, *, as_json: bool) -> None:
    host, port = listener.getsockname()[:2]
    base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    sys.stdout.write((json.dumps({"base_url": base_url}) if as_json else f"The gateway serves at {base_url}") + "\n")
    sys.stdout.flush()


async def _until_asked_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows has no signal handlers in its loop.
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(stop.set) and None)
    await stop.wait()


async def _run(gateway: Gateway, listener: socket.socket, *, as_json: bool) -> None:
    async with gateway.serving(listener, BACKLOG):
        # What is alive now lives for ever; looking at it again and again would cost a twentieth of the time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        _say_where(listener, as_json=as_json)
        await _until_asked_to_stop()


def serve(settings: Settings, *, as_json: bool) -> None:
    """Serve until a signal says stop; then end what is under way, and return.

    Args:
        as_json: Print the line that says where as JSON.

    Raises:
        StartError, DatabaseError, VaultError, PriceFileError, OperatorSecretError: It cannot start.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with contextlib.closing(_listen(settings)) as listener:
        gateway = build(settings)
        if sys.platform == "win32":
            runner = asyncio.Runner()
        else:
            import uvloop

            runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        with runner:
            runner.run(_run(gateway, listener, as_json=as_json))
