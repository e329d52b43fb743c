"""Lets one test speak to the blocking and to the awaiting client: the stub gateway runs in a thread of its own."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable
from typing import Any

from behest import AsyncBehest, AsyncStream, Behest, Stream

AnyBehest = Behest | AsyncBehest


async def done(value: Any) -> Any:
    """The outcome of a call of either client."""
    return await value if inspect.isawaitable(value) else value


async def listed(stream: Stream | AsyncStream) -> list[Any]:
    """What a stream of either client yields."""
    if isinstance(stream, AsyncIterable):
        return [chunk async for chunk in stream]
    return list(stream)
