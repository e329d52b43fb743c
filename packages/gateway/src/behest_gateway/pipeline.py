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

from msgspec import Struct

from behest_gateway.answer import Answer, AnswerStream
from behest_gateway.core.budgets import Amounts
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Admitted, Call, Identified, Routed
from behest_gateway.core.switches import Running, Switch, switch_for_caller, switch_for_model
from behest_gateway.core.threads import ABORTED, Turn
from behest_gateway.stages.admit.stage import Admit
from behest_gateway.stages.authenticate.stage import Authenticate
from behest_gateway.stages.compose.stage import Recall, compose
from behest_gateway.stages.door.stage import Door
from behest_gateway.stages.guard.stage import guard
from behest_gateway.stages.meter.rules import Ending, StreamMeter, charge
from behest_gateway.stages.record.rules import turn_of
from behest_gateway.stages.record.stage import Record
from behest_gateway.stages.route.stage import Route
from behest_gateway.stages.upstream.dialects.openai import Event, Said
from behest_gateway.stages.upstream.stage import AttemptError, EventStream, Upstream

SETTLE_SECONDS = 5.0
"""How long the end of a request may take to be written when its caller is already gone."""


class Stages(Struct, frozen=True, kw_only=True):
    """The stages that need something of the world, built once in `app.py`."""

    door: Door
    authenticate: Authenticate
    recall: Recall
    route: Route
    admit: Admit
    upstream: Upstream
    record: Record
    running: Running


class Exchange:
    """One request, from its call to its last byte. Use it as `async with Exchange(stages, call) as exchange`."""

    __slots__ = (
        "_attempts", "_first_byte", "_meter", "_open", "_routed", "_said", "_stages", "_stream", "_task", "call",
        "identified", "stopped", "visit",
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
        self._said: Said | None = None
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
        composed = compose(entered)
        if composed.conversation is not None:
            composed = await stages.recall.recall(composed)
            stages.door.check(entered.identified)
        routed = self._routed = stages.route.route(guard(composed))
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
        if admitted.routed.guarded.composed.asked is not None:
            self._said = Said()
        reply = await upstream.open(admitted)
        answer = Answer(
            model=admitted.plan.model,
            provider=admitted.plan.provider.name,
            clamped_to=admitted.hold.max_tokens if admitted.clamped else None,
        )
        if admitted.entry.stream:
            self._stream = upstream.events(reply)
            answer.stream = AnswerStream(self, admitted, self._stream, self._said)
            await answer.stream.begin()
        else:
            answer.body, completion = await upstream.whole(reply)
            self._first_byte = time.perf_counter()
            self._meter.finish_reason = completion.finish_reason
            self._meter.see_usage(completion.usage, alone=True)
            if self._said is not None:
                self._said.take(answer.body)
            answer.cost_nano = await self._settle(admitted, "answered")
        answer.left = self.left(admitted)
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

    def left(self, admitted: Admitted) -> Amounts | None:
        """The least that is left now in the budgets of an attempt; None when it has none."""
        return self._stages.admit.left(admitted)

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
            turn=self._turn(admitted, ending),
        )
        return charged.amounts.nano if charged.state == "settled" else None

    def _turn(self, admitted: Admitted, ending: Ending) -> Turn | None:
        """What the conversation of the call gets, if it belongs to one and anything was said."""
        asked = admitted.routed.guarded.composed.asked
        if asked is None or self._said is None:
            return None
        reason = {"answered": self._meter.finish_reason or "stop", "cut_short": "length"}.get(ending, ABORTED)
        return turn_of(asked, self._said.message(finished=reason != ABORTED), reason)

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
