"""The way of a request, on one screen.

    Call -> address -> Identified -> enter -> Composed -> Guarded -> Routed -> for each attempt: Admitted -> upstream
         -> events => meter as they pass => record

`Exchange` is the one value that changes on the way: it knows who called and which attempt is open, so that leaving its
`async with` settles that attempt, whether the request ended well, failed, was cancelled or was hung up on.

A kill switch ends a request by cancelling its task, as a hang-up does; what differs is that the caller is still there.
So the cancellation is caught where the answer is made, the attempt is settled like that of a caller who left, and the
caller is told: with 403 before the answer began, and with an error frame after.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Self

import msgspec
from behest_protocol.money import usd_from_nano
from behest_protocol.sse import DONE, comment, frame
from msgspec import Struct

from behest_gateway.core.budgets import Amounts
from behest_gateway.core.counters import remaining
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Admitted, Call, Identified, Routed
from behest_gateway.core.switches import Running, Switch, switch_for_caller, switch_for_model
from behest_gateway.stages.admit.stage import Admit
from behest_gateway.stages.authenticate.stage import Authenticate
from behest_gateway.stages.compose.stage import compose
from behest_gateway.stages.door.stage import Door
from behest_gateway.stages.guard.stage import guard
from behest_gateway.stages.meter.rules import Ending, StreamMeter, charge
from behest_gateway.stages.record.stage import Record
from behest_gateway.stages.route.stage import Route
from behest_gateway.stages.upstream.dialects.openai import Event
from behest_gateway.stages.upstream.stage import AttemptError, EventStream, Upstream, broke_off, told_by_provider

SETTLE_SECONDS = 5.0
"""How long the end of a request may take to be written when its caller is already gone."""


class Stages(Struct, frozen=True, kw_only=True):
    """The stages that need something of the world, built once in `app.py`."""

    door: Door
    authenticate: Authenticate
    route: Route
    admit: Admit
    upstream: Upstream
    record: Record
    running: Running


class Exchange:
    """One request, from its call to its last byte. Use it as `async with Exchange(stages, call) as exchange`."""

    __slots__ = (
        "_attempts", "_first_byte", "_meter", "_open", "_routed", "_stages", "_stream", "_task", "call", "identified",
        "stopped", "visit",
    )  # fmt: skip

    def __init__(self, stages: Stages, call: Call) -> None:
        self._stages = stages
        self.call = call
        self.identified: Identified | None = None
        self.visit = stages.door.visit()
        """What it took of its rates."""
        self._open: Admitted | None = None
        self._attempts = 0
        self._stream: EventStream | None = None
        self._meter = StreamMeter()
        self._first_byte: float | None = None
        self._routed: Routed | None = None
        self._task: asyncio.Task[Any] | None = None
        self.stopped: GatewayError | None = None
        """Why a kill switch ends it, if one does."""

    async def __aenter__(self) -> Self:
        return self

    def identify(self) -> Identified:
        """Find out who calls, for which project."""
        stages = self._stages
        self.identified = stages.authenticate.identify(stages.door.address(self.call))
        return self.identified

    async def answer(self) -> Answer:
        """Take the request through every stage, to its answer or to the beginning of its stream.

        Raises:
            GatewayError: It was refused, or no attempt brought an answer.
        """
        stages = self._stages
        entered = stages.door.enter(self.identify(), self.visit)
        routed = self._routed = stages.route.route(guard(compose(entered)))
        # Nothing was awaited since the switches were asked, so none can have been turned on in between.
        stages.running.add(self)
        failure: GatewayError | None = None
        try:
            for plan in routed.plans:
                if self.stopped is not None:
                    raise self.stopped
                stages.door.weigh(routed, plan, self.visit)
                self._task = asyncio.current_task()
                admitted = await stages.admit.admit(routed, plan)
                self._open = admitted
                self._attempts += 1
                try:
                    return await self._attempt(admitted)
                except AttemptError as failed:
                    failure = failed.error
                    await self._settle(admitted, failed.ending, failed.error)
        except asyncio.CancelledError:
            if self.stopped is None:
                raise
            await self.settle_stopped(self.stopped)
            raise self.stopped from None
        raise failure or GatewayError("upstream_error", "No provider could be asked.")

    def is_hit_by(self, switch: Switch) -> bool:
        """A kill switch is about this request; see `core.switches.Stoppable`."""
        if self.identified is None or self._routed is None:
            return False
        caller, on = self.identified.caller, {switch.key: switch}
        hit = switch_for_caller(
            on, tenant_id=caller.tenant_id, project_id=caller.project_id, user_id=caller.user_id
        ) or switch_for_model(on, self._routed.guarded.composed.model)
        return hit is not None

    def stop(self, error: GatewayError) -> None:
        """End it at its next step, unless it is being settled already: then its answer is whole and paid for."""
        self.stopped = self.stopped or error
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def settle_stopped(self, error: GatewayError) -> None:
        """Settle what a kill switch ended, as if its caller had left."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        await self.settle("caller_left", error)

    async def _attempt(self, admitted: Admitted) -> Answer:
        upstream = self._stages.upstream
        reply = await upstream.open(admitted)
        answer = Answer(
            model=admitted.plan.model,
            provider=admitted.plan.provider.name,
            clamped_to=admitted.hold.max_tokens if admitted.clamped else None,
        )
        if admitted.entry.stream:
            self._stream = upstream.events(reply)
            answer.stream = AnswerStream(self, admitted, self._stream)
            await answer.stream.begin()
        else:
            answer.body, completion = await upstream.whole(reply)
            self._first_byte = time.perf_counter()
            self._meter.finish_reason = completion.finish_reason
            self._meter.see_usage(completion.usage, alone=True)
            answer.cost_nano = await self._settle(admitted, "answered")
        answer.left = self._stages.admit.left(admitted)
        return answer

    def see(self, event: Event) -> int:
        """Count an event of the stream as it passes; returns how many tokens certainly arrived so far."""
        meter = self._meter
        if self._first_byte is None:
            self._first_byte = time.perf_counter()
        meter.see(text_bytes=event.text_bytes, pieces=event.pieces, finish_reason=event.finish_reason)
        if event.has_usage:
            meter.see_usage(event.usage, alone=event.only_usage)
        return meter.tokens_seen

    @property
    def is_finished(self) -> bool:
        """The provider said why it stopped, or what it used in all."""
        return self._meter.is_finished

    def left(self, admitted: Admitted) -> dict[str, float | int]:
        """What is left now in the tightest budgets of an attempt, as `budget_remaining_{unit}`."""
        left = self._stages.admit.left(admitted)
        return {} if left is None else remaining(left)

    async def settle(self, ending: Ending, error: GatewayError | None = None) -> int | None:
        """Settle the open attempt, if there is one; returns its cost in nano-dollars when the provider confirmed it."""
        return await self._settle(self._open, ending, error) if self._open is not None else None

    async def _settle(self, admitted: Admitted, ending: Ending, error: GatewayError | None = None) -> int | None:
        meter = self._meter
        self._task = None
        usage = meter.usage_at(ending)
        charged = charge(ending, usage, admitted, meter.text_bytes)
        self._open = None
        self.visit.used(charged.amounts.tokens)
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        await self._stages.record.attempt(
            admitted,
            state=charged.state,
            charged=charged.amounts,
            usage=usage,
            status=error.status if error is not None else 499 if ending == "caller_left" else 200,
            error_code=error.code if error is not None else None,
            finish_reason=meter.finish_reason,
            first_byte=self._first_byte,
        )
        return charged.amounts.nano if charged.state == "settled" else None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stages.running.remove(self)
        try:
            if self._open is not None:
                # Reached only when the answer was not followed to its end: the caller left, or the gateway is stopping.
                # Neither may keep the settlement from being written, so it runs in a task of its own.
                settling = asyncio.ensure_future(self._settle(self._open, "caller_left"))
                await asyncio.wait({settling}, timeout=SETTLE_SECONDS)
            elif isinstance(error, GatewayError) and self.identified is not None and not self._attempts:
                self._stages.record.refusal(self.identified, error)
        finally:
            self.visit.leave()


class AnswerStream:
    """A streamed answer: frames for the caller, counted and cut as they pass.

    Its last frames are only given out once the attempt is settled, so that a caller who has seen the end can rely on
    what the gateway says was spent.
    """

    __slots__ = ("_admitted", "_ended", "_events", "_exchange", "_failed", "_last", "_limit", "_ready", "_usage")

    def __init__(self, exchange: Exchange, admitted: Admitted, events: EventStream) -> None:
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
        return comment(msgspec.json.encode({"cost_usd": None if cost is None else usd_from_nano(cost), **left}))

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
