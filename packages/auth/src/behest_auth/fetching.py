"""Pages over HTTP. The one file of this package that opens a connection."""

from __future__ import annotations

import asyncio
import ssl
import time
from functools import lru_cache

import httpx

from .ports import FETCH_SECONDS, MAX_BYTES, Answer, Ask, FetchError

# An answer that is packed could unfold to any size.
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class HttpFetcher:
    """Fetches with httpx; it follows no redirect, and what it reads is bounded in size and in time."""

    def get(self, ask: Ask) -> Answer:
        """Fetch a page."""
        ends = time.monotonic() + FETCH_SECONDS
        body = bytearray()
        try:
            with (
                httpx.Client(verify=_trusted(), timeout=FETCH_SECONDS) as client,
                client.stream("GET", ask.url, headers={**_HEADERS, **ask.headers}) as response,
            ):
                for part in response.iter_raw():
                    body += part
                    _within_size(body)
                    if time.monotonic() > ends:
                        raise FetchError(f"{ask.url} took longer than {FETCH_SECONDS:g} s")
                return Answer(status=response.status_code, body=bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as problem:
            raise FetchError(f"{ask.url}: {type(problem).__name__}") from problem

    async def aget(self, ask: Ask) -> Answer:
        """Fetch a page without blocking the event loop."""
        body = bytearray()
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                httpx.AsyncClient(verify=_trusted(), timeout=FETCH_SECONDS) as client,
                client.stream("GET", ask.url, headers={**_HEADERS, **ask.headers}) as response,
            ):
                async for part in response.aiter_raw():
                    body += part
                    _within_size(body)
                return Answer(status=response.status_code, body=bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as problem:
            raise FetchError(f"{ask.url}: {type(problem).__name__}") from problem


def _within_size(body: bytearray) -> None:
    if len(body) > MAX_BYTES:
        raise FetchError(f"the answer is larger than {MAX_BYTES} bytes")


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """Reading the authorities' certificates takes 20 ms, so it is done once; SSL_CERT_FILE is obeyed."""
    return httpx.create_ssl_context()
