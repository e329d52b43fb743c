"""A streamed answer: chunks as they come, and an end that frees the connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self

import httpx
from behest_protocol.headers import TRACE_ID

from .._results import ChatCompletionChunk
from .._synchronization import async_at_most, interrupt, owns_connection
from .._wire import ChunkReader, unreachable

DRAIN_SECONDS = 0.25


class AsyncStream:
    """The chunks of a streamed answer, in order, each once.

    Use it as a context manager when you may stop early: leaving the block, or `close()`, ends the HTTP stream at once,
    whereupon the gateway stops the provider and charges only for what was generated.

    Attributes:
        response: The HTTP answer, for its headers.

    >>> behest = AsyncBehest()
    >>> stream = await behest.chat.completions.create(
    ...     messages=[{"role": "user", "content": "Say hello."}], stream=True, user_id="u_42"
    ... )
    >>> async with stream:
    ...     print("".join([chunk.text async for chunk in stream]))
    Hello, u_42!
    """

    def __init__(self, response: httpx.Response, base_url: str) -> None:
        self.response = response
        self._closing = threading.Event()
        # The generator knows nothing of this object, so that it ends as soon as nobody holds the stream any more.
        self._chunks = _read(response, base_url, self._closing)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        if self._closing.is_set():
            raise StopAsyncIteration
        return await self._chunks.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the stream; a loop over it in another task or thread ends too. Closing twice does no harm."""
        self._closing.set()
        interrupt(self.response)
        await self.response.aclose()
        # While another task or thread is inside the generator it cannot be closed, and ends by itself.
        with contextlib.suppress(RuntimeError, ValueError):
            await self._chunks.aclose()

    aclose = close  # async only


async def _read(
    response: httpx.Response, base_url: str, closing: threading.Event
) -> AsyncGenerator[ChatCompletionChunk, None]:
    reader = ChunkReader(response.headers.get(TRACE_ID))
    pieces = response.aiter_bytes()
    try:
        async for data in pieces:
            for chunk in reader.feed(data):
                yield chunk
            if reader.done:
                break
        for chunk in reader.finish():
            yield chunk
        await _drain(response, pieces)
    except (httpx.HTTPError, httpx.StreamError) as problem:
        if not closing.is_set():
            raise unreachable(base_url, problem) from problem
    finally:
        await response.aclose()


async def _drain(response: httpx.Response, pieces: AsyncIterator[bytes]) -> None:
    """Read what follows `[DONE]`, the end of the body, so that the connection can be used again."""
    if owns_connection(response):
        async with async_at_most(DRAIN_SECONDS, response):
            async for _ in pieces:
                pass
