"""Delivers events to webhooks: each at least once, in order while all is well, one at a time for each webhook.

What is due is in the store, so a crash loses none. Each webhook that has something due gets a task of its own, which
sends one after another and ends at the first failure; so a receiver that is dead holds nobody up but itself. What has
failed waits for its next time, and later events may overtake it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec

from behest_gateway.control.webhook_rules import headers_of, retry_at
from behest_gateway.control.webhooks import SECRET_FIELD, Seal, Webhook
from behest_gateway.core.clock import Clock
from behest_gateway.core.events import Event

TIMEOUT_SECONDS = 10.0
"""What an attempt may take, from looking the name up to the status of the answer."""

MAX_AT_ONCE = 256
"""Webhooks that are served at one time, over all projects."""

POLL_SECONDS = 1.0
IDLE_SECONDS = 30.0
"""How soon a retry's time is noticed while anything is pending, and how often one looks at all."""

_log = logging.getLogger("behest.webhooks")
_encoder = msgspec.json.Encoder()


class UndeliveredError(Exception):
    """An attempt had no answer; the message says why, without the address and without a secret."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery whose time has come."""

    id: str
    webhook: Webhook
    event: Event
    attempts: int


class DueStore(Protocol):
    """Which deliveries are due, and what became of them."""

    def webhooks_due(self, now_us: int, limit: int) -> list[str]:
        """Webhooks that are on and have something due, in no order."""
        ...

    def due(self, webhook_id: str, now_us: int) -> Due | None:
        """The earliest event that is due for a webhook."""
        ...

    def has_pending(self) -> bool:
        """Whether anything is still to be delivered, now or later."""
        ...

    def delivered(self, delivery_id: str, *, at: int, status: int) -> None: ...

    def failed(self, delivery_id: str, *, at: int, status: int | None, error: str, next_at: int | None) -> None:
        """Note a failed attempt; without a next time the delivery is dead."""
        ...

    def gone(self, webhook_id: str, *, at: int) -> None:
        """Turn a webhook off whose receiver is no more; what was pending for it is dead."""
        ...


class Poster(Protocol):
    """Sends to addresses that may be anybody's."""

    async def post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> int:
        """Send, and return the status of the answer within `TIMEOUT_SECONDS`; a redirect is not followed.

        Raises:
            UndeliveredError: There was no answer, or the address may not be reached.
        """
        ...


class Bell(Protocol):
    """Rings when events were committed."""

    @property
    def turn(self) -> int: ...

    @property
    def is_closed(self) -> bool: ...

    async def after(self, turn: int, seconds: float) -> None:
        """Wait for a ring after `turn`, at most so long."""
        ...


class Deliverer:
    """Delivers what is due, for as long as `run` runs.

    Args:
        luck: Gives a number from 0 to 1 for the spread of a retry.
    """

    def __init__(
        self,
        store: DueStore,
        poster: Poster,
        seal: Seal,
        bell: Bell,
        clock: Clock,
        *,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._poster = poster
        self._seal = seal
        self._bell = bell
        self._clock = clock
        self._luck = luck
        self._serving: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Deliver until cancelled, or until the bell is closed."""
        while not self._bell.is_closed:
            turn = self._bell.turn
            try:
                self._begin()
                wait = POLL_SECONDS if self._store.has_pending() else IDLE_SECONDS
            except Exception:
                _log.exception("what is due cannot be read; it is tried again")
                wait = POLL_SECONDS
            await self._bell.after(turn, wait)

    async def deliver_due(self) -> None:
        """Deliver everything that is due by the clock of now; what fails is due later."""
        while self._begin() or self._serving:
            await asyncio.wait(self._serving.values())

    async def close(self) -> None:
        """Break off what is under way; it is tried again at the next start."""
        serving = list(self._serving.values())
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving, timeout=TIMEOUT_SECONDS)

    def _begin(self) -> bool:
        """Give each webhook that has something due a task, unless it has one; says whether there was any."""
        free = MAX_AT_ONCE - len(self._serving)
        began = False
        if free <= 0:
            return False
        for webhook_id in self._store.webhooks_due(self._clock.now_us(), MAX_AT_ONCE):
            if webhook_id not in self._serving and free > 0:
                free -= 1
                began = True
                task = asyncio.get_running_loop().create_task(self._serve(webhook_id))
                self._serving[webhook_id] = task
                task.add_done_callback(partial(self._served, webhook_id))
        return began

    def _served(self, webhook_id: str, _: asyncio.Task[None]) -> None:
        self._serving.pop(webhook_id, None)

    async def _serve(self, webhook_id: str) -> None:
        try:
            while True:
                due = self._store.due(webhook_id, self._clock.now_us())
                if due is None or not await self._attempt(due):
                    return
        except Exception:
            _log.exception("webhook %s cannot be served now; it is tried again", webhook_id)

    async def _attempt(self, due: Due) -> bool:
        """Send once, and note what came of it; says whether it arrived."""
        status, error = await self._send(due)
        now = self._clock.now_us()
        if status is not None and 200 <= status < 300:
            self._store.delivered(due.id, at=now, status=status)
            return True
        attempts = due.attempts + 1
        next_at = None if status == 410 else retry_at(attempts, now, self._luck())
        self._store.failed(due.id, at=now, status=status, error=error, next_at=next_at)
        if status == 410:
            self._store.gone(due.webhook.id, at=now)
            _log.warning("webhook %s is turned off: its receiver answered 410", due.webhook.id)
        elif next_at is None:
            _log.warning("webhook %s: event %s is dead after %d attempts", due.webhook.id, due.event.id, attempts)
        return False

    async def _send(self, due: Due) -> tuple[int | None, str]:
        body = _encoder.encode(due.event.flat)
        now = self._clock.now_us()
        try:
            secrets = self._secrets(due.webhook, now)
        except Exception as problem:
            _log.error("webhook %s: its secret cannot be opened (%s)", due.webhook.id, type(problem).__name__)
            return None, "the secret cannot be opened; is the master key the right one?"
        headers = headers_of(secrets, due.event.id, now // 1_000_000, body)
        try:
            status = await self._poster.post(due.webhook.url, headers, body)
        except UndeliveredError as problem:
            return None, str(problem)
        except Exception as problem:
            _log.error("webhook %s: sending failed (%s)", due.webhook.id, type(problem).__name__)
            return None, "the gateway could not send it"
        return status, f"the receiver answered {status}" + ("; redirects are not followed" * (300 <= status < 400))

    def _secrets(self, webhook: Webhook, now: int) -> list[str]:
        sealed = [webhook.sealed]
        if webhook.earlier_sealed is not None and (webhook.earlier_until or 0) > now:
            sealed.append(webhook.earlier_sealed)
        place = {"owner": webhook.project_id, "kid": webhook.id, "field": SECRET_FIELD}
        return [self._seal.open(each, **place).decode() for each in sealed]
