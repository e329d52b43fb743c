"""Sending to webhooks, whose addresses come from tenants: never to what is not public, unless that is allowed.

A name is looked up once for each attempt. If any of its addresses is not public, nothing is sent at all. The connection
goes to one of the addresses that were checked, so that a name which changes in between reaches nothing else; TLS and
the Host header keep the name. Redirects are answers like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence

from behest_gateway.adapters.network import HttpSender, Resolve
from behest_gateway.control.delivering import TIMEOUT_SECONDS, UndeliveredError
from behest_gateway.core.addresses import is_public, read_address
from behest_gateway.stages.upstream.ports import SendError

MAX_ANSWER_BYTES = 64 * 1024
"""How much of an answer is read, so that its sender can finish; none of it is kept."""

BODY_SECONDS = 1.0
"""How long the body of an answer is read: its status has decided already."""

MAX_ADDRESSES = 4
"""How many addresses of a name are tried in one attempt."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class WebhookSender:
    """Implements `control.delivering.Poster`.

    Args:
        allow_private: Reach private addresses as well, and http without TLS.
        resolver: Looks names up; the system's own when left out.
        tls: Whom to trust; the system's authorities when left out.
    """

    def __init__(self, *, allow_private: bool, resolver: Resolve = resolve, tls: ssl.SSLContext | None = None) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._http = HttpSender(
            connect_timeout=TIMEOUT_SECONDS,
            timeout=TIMEOUT_SECONDS,
            idle_timeout=TIMEOUT_SECONDS,
            resolve=self._addresses,
            for_status=True,
            tls=tls,
        )

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = [host] if read_address(host) is not None else await self._resolver(host, port)
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise SendError("unreached", "the name of the receiver has no address")
        if not self._allow_private and not all(map(is_public, addresses)):
            raise SendError("unreached", "the receiver's address is not public, and this gateway sends nothing there")
        return addresses[:MAX_ADDRESSES]

    async def post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> int:
        if not self._allow_private and not url.startswith("https://"):
            raise UndeliveredError("the url is not https, and this gateway sends nothing unencrypted")
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reply = await self._http.send(url, tuple(headers), body)
        except TimeoutError:
            raise UndeliveredError(f"no answer within {TIMEOUT_SECONDS:g} s") from None
        except SendError as problem:
            raise UndeliveredError(f"no answer: {problem}") from None
        try:
            with contextlib.suppress(SendError, TimeoutError):
                async with asyncio.timeout(BODY_SECONDS):
                    await reply.read(MAX_ANSWER_BYTES)
            return reply.status
        finally:
            reply.close()

    def close(self) -> None:
        """Close what is open."""
        self._http.close()
