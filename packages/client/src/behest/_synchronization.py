"""The few things that waiting and blocking code do differently; the generated client takes the second of each pair."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import AsyncGenerator, Generator

import anyio
import httpx

AsyncLock = anyio.Lock
Lock = threading.Lock


async def async_sleep(seconds: float) -> None:
    """Wait without holding up other tasks."""
    await anyio.sleep(seconds)


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


@contextlib.asynccontextmanager
async def async_at_most(seconds: float, response: httpx.Response) -> AsyncGenerator[None, None]:
    """Give the last read of a response so much time; whether it succeeds does not matter."""
    with contextlib.suppress(httpx.HTTPError), anyio.move_on_after(seconds):
        yield


@contextlib.contextmanager
def at_most(seconds: float, response: httpx.Response) -> Generator[None, None, None]:
    """Give the last read of a response so much time; whether it succeeds does not matter."""
    timer = threading.Timer(seconds, interrupt, (response,))
    timer.daemon = True
    timer.start()
    try:
        with contextlib.suppress(httpx.HTTPError):
            yield
    finally:
        timer.cancel()


def interrupt(response: httpx.Response) -> None:
    """End a read that another thread is blocked in; closing a socket does not wake its reader, a shutdown does."""
    stream = response.extensions.get("network_stream")
    if response.is_closed or stream is None or not owns_connection(response):
        return
    sock = stream.get_extra_info("socket")
    if isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def owns_connection(response: httpx.Response) -> bool:
    """Whether nothing else travels on a response's connection; over HTTP/2 other calls do."""
    return response.http_version in ("HTTP/1.0", "HTTP/1.1")
