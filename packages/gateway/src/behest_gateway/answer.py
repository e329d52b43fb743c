"""A streamed answer on its way to the caller: frames that are counted, and cut or ended, as they pass."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec
from behest_protocol.money import usd_from_nano
from behest_protocol.sse import DONE, comment, frame
from msgspec import Struct

from behest_gateway.core.budgets import Amounts
from behest_gateway.core.counters import remaining
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Admitted
from behest_gateway.stages.meter.rules import Ending
from behest_gateway.stages.upstream.dialects.openai import Event, Said
from behest_gateway.stages.upstream.stage import AttemptError, EventStream, broke_off, told_by_provider


class Attempt(Protocol):
    """The exchange that a stream belongs to, as the stream needs it."""

    stopped: GatewayError | None

    @property
    def is_finished(self) -> bool:
        """The provider said why it stopped, or what it used in all."""
        ...

    def see(self, event: Event) -> int:
        """Count an event; returns how many tokens certainly arrived so far."""
        ...

    def left(self, admitted: Admitted) -> Amounts | None:
        """The least that is left now in the budgets of the attempt."""
        ...

    async def settle(self, ending: Ending, error: GatewayError | None = None) -> int | None:
        """Settle the attempt; returns its cost in nano-dollars when the provider confirmed it."""
        ...

    async def settle_stopped(self, error: GatewayError) -> None:
        """Settle what a kill switch ended."""
        ...


class AnswerStream:
    """A streamed answer: frames for the caller, counted and cut as they pass.

    Its last frames are only given out once the attempt is settled, so that a caller who has seen the end can rely on
    what the gateway says was spent.

    Args:
        said: Takes what goes to the caller, when the call's conversation is kept.
    """

    __slots__ = (
        "_admitted", "_ended", "_events", "_exchange", "_failed", "_last", "_limit", "_ready", "_said", "_usage",
    )  # fmt: skip

    def __init__(self, exchange: Attempt, admitted: Admitted, events: EventStream, said: Said | None = None) -> None:
        self._said = said
        self._exchange = exchange
        self._admitted = admitted
        self._events = events
        self._limit = admitted.hold.max_tokens * admitted.routed.guarded.composed.choices
        self._ready = b""
        self._last = b""
        self._usage: bytes | None = None
        self._failed: AttemptError | None = None
        self._ended = False

    async def begin(self) -> None:
        """Wait for the first frames, so that a stream that fails before them is still answered as an error.

        Raises:
            AttemptError: It ended before it began.
        """
        while not self._ready and not self._ended:
            self._ready = await self._advance()

    async def next(self) -> bytes | None:
        """The next frames, or None after the last."""
        frames, self._ready = self._ready, b""
        while not self._ended and (not frames or self.is_stopped):
            try:
                frames = await (self._stop() if self.is_stopped else self._advance())
            except AttemptError as failed:
                frames = await self._fail(failed.error, failed.ending)
            except asyncio.CancelledError:
                if not self.is_stopped or self._ended:
                    raise
                frames = b""
        return frames or None

    @property
    def is_stopped(self) -> bool:
        """A kill switch ends it: whoever was cancelled while it was told goes on with `next`."""
        return self._exchange.stopped is not None

    async def _advance(self) -> bytes:
        if self._failed is not None:
            raise self._failed
        batch = await self._events.next()
        if batch is None:
            if not self._exchange.is_finished:
                raise broke_off()
            return await self._finish("answered")
        frames: list[bytes] = []
        for event in batch:
            if event.error is not None:
                self._failed = told_by_provider(event.error)
                if not frames:
                    raise self._failed
                return b"".join(frames)  # what came before it is told first
            tokens = self._exchange.see(event)
            if tokens > self._limit:
                frames.append(self._cut())
                frames.append(await self._finish("cut_short"))
                return b"".join(frames)
            if event.only_usage:
                self._usage = event.data
            else:
                self._last = event.data
                if self._said is not None:
                    self._said.add(event.data)
                frames.append(frame(event.data))
        if self._events.done:
            if not self._last and not self._exchange.is_finished:
                raise broke_off()
            frames.append(await self._finish("answered"))
        return b"".join(frames)

    async def _finish(self, ending: Ending) -> bytes:
        cost = await self._exchange.settle(ending)
        self._ended = True
        last = self._comment(cost) if self._admitted.routed.guarded.composed.identified.call.wants_comment else b""
        if self._usage is None or not self._admitted.routed.guarded.composed.wants_usage:
            return last + DONE
        chunk = msgspec.json.decode(self._usage)
        if cost is not None:
            chunk["usage"]["cost_usd"] = usd_from_nano(cost)
        return frame(msgspec.json.encode(chunk)) + last + DONE

    def _comment(self, cost: int | None) -> bytes:
        """What the call came to, as a comment that clients who do not ask for it never see."""
        left = self._exchange.left(self._admitted)
        told = {"cost_usd": None if cost is None else usd_from_nano(cost), **({} if left is None else remaining(left))}
        return comment(msgspec.json.encode(told))

    def _cut(self) -> bytes:
        chunk: dict[str, Any] = {"object": "chat.completion.chunk"}
        if self._last:
            chunk = msgspec.json.decode(self._last)
        choices = range(self._admitted.routed.guarded.composed.choices)
        chunk["choices"] = [{"index": index, "delta": {}, "finish_reason": "length"} for index in choices]
        return frame(msgspec.json.encode(chunk))

    async def _stop(self) -> bytes:
        self._ended = True
        error = self._exchange.stopped
        assert error is not None  # noqa: S101  (for the type checker)
        await self._exchange.settle_stopped(error)
        return _told(error)

    async def _fail(self, error: GatewayError, ending: Ending) -> bytes:
        self._ended = True
        await self._exchange.settle(ending, error)
        return _told(error)


def _told(error: GatewayError) -> bytes:
    """The end of a stream that failed after it began."""
    told = {"code": error.code, "message": error.message, "type": error.kind.type}
    return frame(msgspec.json.encode({"error": told, "choices": []})) + DONE


class Answer(Struct, kw_only=True):
    """What goes back: a whole `body` whose cost is known, or a `stream` that is told as it comes.

    `left` is the least that is left in any of the call's budgets, in each unit.
    """

    model: str
    provider: str
    clamped_to: int | None
    body: bytes = b""
    cost_nano: int | None = None
    left: Amounts | None = None
    stream: AnswerStream | None = None
