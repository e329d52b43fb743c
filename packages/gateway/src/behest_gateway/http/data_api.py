"""The data plane as callers see it: chat, models, usage and threads."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

from behest_protocol.money import usd_text

from behest_gateway.answer import Answer
from behest_gateway.control.threads import (
    DEFAULT_MESSAGES,
    DEFAULT_THREADS,
    MAX_MESSAGES,
    MAX_THREADS,
    ThreadReader,
    limit_of,
    message_json,
    missing_thread,
    thread_json,
)
from behest_gateway.control.usage import UsageReader, billing_report, budgets_shown, span_of, usage_report
from behest_gateway.core.budgets import Budget, BudgetState
from behest_gateway.core.clock import Clock
from behest_gateway.core.counters import UNLIMITED
from behest_gateway.core.errors import invalid
from behest_gateway.core.exchange import Call, Identified
from behest_gateway.core.prices import PriceBook
from behest_gateway.core.threads import thread_id_problem
from behest_gateway.http.exchange import Headers, Reply, Request, Responder
from behest_gateway.http.render import JSON, json_reply
from behest_gateway.pipeline import Exchange, Stages

_EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_MAX_ID = 255
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?")

BudgetReader = Callable[[Budget, str | None, str | None, str | None], BudgetState]
"""From a budget, a user, a session and a thread: how it stands."""


def call_of(request: Request, clock: Clock, operation: str, body: bytes = b"") -> Call:
    """A request as the pipeline takes it.

    Raises:
        GatewayError: `validation_error` for a thread's id or a cap that is none.
    """
    session, thread = request.header(b"x-session-id"), request.header(b"x-thread-id") or None
    if thread is not None and (problem := thread_id_problem(thread, "X-Thread-Id")) is not None:
        raise problem
    return Call(
        operation=operation,
        request_id=request.request_id,
        started_at=clock.now_us(),
        clock=time.perf_counter(),
        host=request.header(b"host") or "",
        token=request.bearer,
        session_id=session[:_MAX_ID] if session else None,
        thread_id=thread,
        most_nano=_most_nano(request),
        wants_comment=request.headers.get(b"x-behest-usage-comment") == b"true",
        body=body,
    )


def _most_nano(request: Request) -> int | None:
    """The caller's own cap on the cost, rounded down.

    Raises:
        GatewayError: `validation_error` when it is no amount.
    """
    text = request.header(b"x-behest-max-cost-usd")
    if text is None:
        return None
    if _AMOUNT.fullmatch(text) is None:
        raise invalid("'X-Behest-Max-Cost-Usd' is an amount of dollars such as 0.05.", "X-Behest-Max-Cost-Usd")
    whole, _, part = text.partition(".")
    return int(whole + part[:9].ljust(9, "0"))


_REMAINING = (
    b"x-behest-budget-remaining-usd",
    b"x-behest-budget-remaining-tokens",
    b"x-behest-budget-remaining-requests",
)


def _answer_headers(answer: Answer) -> Headers:
    fields: Headers = [
        (b"x-behest-model", answer.model.encode("latin-1", "replace")),
        (b"x-behest-provider", answer.provider.encode("latin-1", "replace")),
    ]
    if answer.cost_nano is not None:
        fields.append((b"x-behest-cost-usd", usd_text(answer.cost_nano).encode()))
    if answer.left is not None:
        nano, tokens, requests = answer.left
        if nano < UNLIMITED:
            fields.append((_REMAINING[0], usd_text(max(0, nano)).encode()))
        if tokens < UNLIMITED:
            fields.append((_REMAINING[1], b"%d" % max(0, tokens)))
        if requests < UNLIMITED:
            fields.append((_REMAINING[2], b"%d" % max(0, requests)))
    if answer.clamped_to is not None:
        fields.append((b"x-behest-max-tokens-clamped", str(answer.clamped_to).encode()))
    return fields


class DataApi:
    """Serves callers who hold a user's token."""

    def __init__(
        self,
        stages: Stages,
        clock: Clock,
        prices: PriceBook,
        provider: str,
        usage: UsageReader,
        budgets: BudgetReader,
        threads: ThreadReader,
    ) -> None:
        self._stages = stages
        self._clock = clock
        self._prices = prices
        self._provider = provider
        self._usage = usage
        self._budgets = budgets
        self._threads = threads

    async def tell(self, answer: Answer, responder: Responder) -> None:
        """Send an answer of the pipeline, inside its exchange."""
        responder.add(_answer_headers(answer))
        stream = answer.stream
        if stream is None:
            responder.reply(Reply(status=200, body=answer.body, headers=[JSON]))
            return
        responder.start(200, _EVENT_STREAM)
        while (frames := await stream.next()) is not None:
            try:
                await responder.write(frames)
            except asyncio.CancelledError:
                if responder.left or not stream.is_stopped:
                    raise
        responder.end()

    def _enter(self, request: Request) -> Identified:
        exchange = Exchange(self._stages, call_of(request, self._clock, "read"))
        identified = exchange.identify()
        self._stages.door.enter(identified, exchange.visit)
        return identified

    async def models(self, request: Request) -> tuple[Identified, Reply]:
        """`GET /v1/models`: what this project may ask for."""
        identified = self._enter(request)
        settings = identified.policy.settings
        allowed = settings.allowed_models
        names = self._prices.models(self._provider) if allowed is None else allowed
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": self._provider}
            for name in dict.fromkeys((settings.provider_model, *names))
        ]
        return identified, json_reply({"object": "list", "data": data})

    async def usage(self, request: Request) -> tuple[Identified, Reply]:
        """`GET /v1/usage`: what the caller used, and how their budgets stand."""
        identified = self._enter(request)
        caller, query = identified.caller, request.query
        span = span_of(caller, query, self._clock.now_us(), whole_project=False)
        user_id = span.user_id if span.user_id is not None else caller.user_id
        call = identified.call
        session_id = call.session_id or caller.session_id
        shown = budgets_shown(identified.project.budgets, user_id, caller.role)
        if user_id == caller.user_id:  # nobody else's tier is known here
            shown += identified.policy.quotas
        states = [self._budgets(budget, user_id, session_id, call.thread_id) for budget in shown]
        return identified, json_reply(await usage_report(self._usage, span, query.get("granularity"), states))

    async def billing(self, request: Request) -> tuple[Identified, Reply]:
        """`GET /v1/billing/usage`: what the project used, by who paid and by model."""
        identified = self._enter(request)
        span = span_of(identified.caller, request.query, self._clock.now_us(), whole_project=False)
        return identified, json_reply(await billing_report(self._usage, span))

    async def threads(self, request: Request) -> tuple[Identified, Reply]:
        """`GET /v1/threads`: the caller's own, newest first."""
        identified = self._enter(request)
        caller = identified.caller
        limit = limit_of(request.query.get("limit"), DEFAULT_THREADS, MAX_THREADS)
        found = await self._threads.threads(caller.project_id, caller.user_id, limit)
        return identified, json_reply([thread_json(thread) for thread in found])

    async def thread(self, request: Request, thread_id: str) -> tuple[Identified, Reply]:
        """`GET /v1/threads/{thread_id}`: one of them."""
        identified = self._enter_thread(request, thread_id)
        caller = identified.caller
        found = await self._threads.thread(caller.project_id, caller.user_id, thread_id)
        if found is None:
            raise missing_thread()
        return identified, json_reply(thread_json(found))

    async def delete_thread(self, request: Request, thread_id: str) -> tuple[Identified, Reply]:
        """`DELETE /v1/threads/{thread_id}`: forget it, with its messages."""
        identified = self._enter_thread(request, thread_id)
        caller = identified.caller
        if not await self._threads.delete(caller.project_id, caller.user_id, thread_id):
            raise missing_thread()
        return identified, Reply(status=204, body=b"")

    async def thread_messages(self, request: Request, thread_id: str) -> tuple[Identified, Reply]:
        """`GET /v1/threads/{thread_id}/messages`: what was said in it, oldest first."""
        identified = self._enter_thread(request, thread_id)
        caller = identified.caller
        limit = limit_of(request.query.get("limit"), DEFAULT_MESSAGES, MAX_MESSAGES)
        found = await self._threads.messages(caller.project_id, caller.user_id, thread_id, limit)
        if found is None:
            raise missing_thread()
        return identified, json_reply([message_json(stored) for stored in found])

    def _enter_thread(self, request: Request, thread_id: str) -> Identified:
        identified = self._enter(request)
        problem = thread_id_problem(thread_id, "thread_id")
        if problem is not None:
            raise problem
        return identified
