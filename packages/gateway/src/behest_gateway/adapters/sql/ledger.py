"""Holds and the ledger in SQLite, written in groups.

Decisions are made at once, in memory (`core.counters`). What was decided is written in one transaction for all the
requests of the same turn of the event loop: the first change asks for a flush at the end of the turn, and everybody
who came in the meantime goes with it. So at one request a time a commit follows at once, and under load one commit
carries dozens. Whoever must know that it is written waits for the flush.

A hold that was in the file when the process died is found at the next start and booked in full, as `unconfirmed`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import msgspec
from behest_protocol.usage import Usage

from behest_gateway.adapters.sql import rollups
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.queries import load
from behest_gateway.core.clock import Clock
from behest_gateway.core.counters import CounterKey, Counters, key_of, past_windows
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import BudgetState, Entry, Hold, Outcome
from behest_gateway.core.prices import PriceVector
from behest_gateway.core.snapshot import Budget
from behest_gateway.core.windows import window_at
from behest_gateway.stages.admit.ports import Ask, Exhausted
from behest_gateway.stages.admit.rules import affordable_tokens, hold_nano

_log = logging.getLogger("behest.ledger")
_SQL = load("ledger")
_GRACE_SECONDS = 60


class _Journal(msgspec.Struct, frozen=True):
    """What is kept of a hold, so that it can be booked if the process dies."""

    entry: Entry
    user_ref: int
    counters: tuple[CounterKey, ...]


_encoder = msgspec.json.Encoder()
_journal_decoder = msgspec.json.Decoder(_Journal)


class _Pending:
    """What waits for the next flush."""

    __slots__ = ("given_back", "holds", "prices", "rows", "spent", "users", "waiters")

    def __init__(self) -> None:
        self.users: list[tuple[int, str, str, int]] = []
        self.prices: list[tuple[Any, ...]] = []
        self.holds: list[tuple[str, int, int, str]] = []
        self.given_back: list[tuple[str]] = []
        self.rows: list[tuple[Any, ...]] = []
        self.spent: dict[CounterKey, int] = {}
        self.waiters: list[asyncio.Future[None]] = []

    @property
    def is_empty(self) -> bool:
        return not (self.holds or self.rows or self.given_back or self.users or self.waiters)


class SqlLedger:
    """Implements `admit`'s `Holds`, `record`'s `Ledger`, and `control`'s `Users` and `BudgetCounters`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counters = Counters()
        self._open: dict[str, tuple[Entry, Hold]] = {}
        self._flushing = False
        self._pending = _Pending()
        self.healthy = True
        connection = database.connection
        self._users = {(project, uid): ref for ref, project, uid in connection.execute(_SQL["all_users"])}
        self._last_user: int = next(connection.execute(_SQL["last_user"]))[0]
        self._prices = {row[0] for row in connection.execute(_SQL["all_prices"])}
        self.recovered = self._recover()
        self._forgotten = past_windows(clock.now_us())
        for budget_id, user_ref, window_id, spent in connection.execute(_SQL["counters_since"], self._forgotten):
            self._counters.load((budget_id, user_ref, window_id), spent)

    # -- starting

    def _recover(self) -> int:
        """Book every hold that a dead process left behind at its worst case; nobody knows what it came to."""
        connection = self._database.connection
        left = list(connection.execute(_SQL["open_holds"]))
        if not left:
            return 0
        now = self._clock.now_us()
        pending = _Pending()
        for attempt_id, amount, _, text in left:
            journal = _journal_decoder.decode(text)
            outcome = Outcome(
                state="unconfirmed",
                cost_nano=amount,
                usage=Usage(),
                status=0,
                error_code="gateway_died",
                finish_reason=None,
                latency_us=max(0, now - journal.entry.started_at),
                first_byte_us=None,
            )
            pending.given_back.append((attempt_id,))
            pending.rows.append(_row(journal.entry, journal.user_ref, amount, outcome, now))
            for key in journal.counters:
                pending.spent[key] = pending.spent.get(key, 0) + amount
        self._write(pending)
        return len(left)

    # -- admit

    async def reserve(self, entry: Entry, ask: Ask, budgets: tuple[Budget, ...]) -> Hold | Exhausted:
        if not self.healthy:
            raise _unavailable()
        now = self._clock.now_us()
        user_ref = self._user_ref(entry.project_id, entry.user_id, now)

        def affordable(left_nano: int) -> tuple[int, int] | None:
            tokens = affordable_tokens(ask, left_nano)
            return None if tokens is None else (tokens, hold_nano(ask, tokens))

        # By the instant that is in the row, so that every counter can be added up from the ledger again.
        held = self._counters.hold(budgets, user_ref, entry.started_at, affordable)
        if isinstance(held, BudgetState):
            return Exhausted(state=held, needed_nano=hold_nano(ask, ask.min_tokens))
        tokens, amount, keys = held
        hold = Hold(
            attempt_id=entry.attempt_id,
            amount_nano=amount,
            input_nano=hold_nano(ask, 0),
            max_tokens=tokens,
            counters=keys,
            expires_at=now + (ask.seconds + _GRACE_SECONDS) * 1_000_000,
        )
        self._open[hold.attempt_id] = (entry, hold)
        self._note_price(ask.price)
        try:
            journal = _encoder.encode(_Journal(entry, user_ref, keys)).decode()
            self._pending.holds.append((hold.attempt_id, amount, hold.expires_at, journal))
            await self._written()
        except asyncio.CancelledError:
            self._release_unsent(entry, hold)
            raise
        except Exception:
            self._open.pop(hold.attempt_id, None)
            self._counters.settle(keys, amount, 0)
            raise _unavailable() from None
        return hold

    def _release_unsent(self, entry: Entry, hold: Hold) -> None:
        outcome = Outcome(
            state="released",
            cost_nano=0,
            usage=Usage(),
            status=499,
            error_code=None,
            finish_reason=None,
            latency_us=max(0, self._clock.now_us() - entry.started_at),
            first_byte_us=None,
        )
        self._settle_soon(entry, hold, outcome)

    def _note_price(self, price: PriceVector) -> None:
        """Keep a price vector, the first time that it is charged by."""
        if price.hash not in self._prices:
            self._prices.add(price.hash)
            vector = _encoder.encode(price.bands).decode()
            self._pending.prices.append(
                (price.hash, price.version, price.provider, price.model, vector, self._clock.now_us())
            )

    # -- record

    async def settle(self, entry: Entry, hold: Hold, outcome: Outcome) -> None:
        if self._settle_soon(entry, hold, outcome):
            # A failed write is logged and tried again until it succeeds; the caller gets what it has paid for.
            with contextlib.suppress(Exception):
                await self._written()

    def _settle_soon(self, entry: Entry, hold: Hold, outcome: Outcome) -> bool:
        if self._open.pop(hold.attempt_id, None) is None:
            return False
        if outcome.cost_nano > hold.amount_nano:
            _log.error(
                "attempt %s cost %d nano-USD, more than its hold of %d: the price table or the provider is wrong",
                hold.attempt_id,
                outcome.cost_nano,
                hold.amount_nano,
            )
        self._counters.settle(hold.counters, hold.amount_nano, outcome.cost_nano)
        pending = self._pending
        user_ref = self._user_ref(entry.project_id, entry.user_id, entry.started_at)
        pending.given_back.append((hold.attempt_id,))
        pending.rows.append(_row(entry, user_ref, hold.amount_nano, outcome, self._clock.now_us()))
        if outcome.cost_nano:
            for key in hold.counters:
                pending.spent[key] = pending.spent.get(key, 0) + outcome.cost_nano
        self._soon()
        return True

    def refuse(self, entry: Entry, outcome: Outcome) -> None:
        now = self._clock.now_us()
        user_ref = self._user_ref(entry.project_id, entry.user_id, now)
        self._pending.rows.append(_row(entry, user_ref, 0, outcome, now))
        self._soon()

    # -- what control asks

    def ref(self, project_id: str, user_id: str) -> int:
        """The number of a person, durable when this returns."""
        ref = self._user_ref(project_id, user_id, self._clock.now_us())
        if self._pending.users:
            self._flush()
        return ref

    def known_user(self, project_id: str, user_id: str) -> int | None:
        """The number of a person who was seen before."""
        return self._users.get((project_id, user_id))

    def state(self, budget: Budget, user_id: str | None) -> BudgetState:
        """What is spent and held of a budget now, for a user."""
        ref = self._users.get((budget.project_id, user_id), -1) if user_id is not None else 0
        return self._counters.state(budget, ref, self._clock.now_us())

    def opened(self, budget: Budget) -> None:
        """Start a new budget's window with what the ledger already shows for it."""
        self._flush()
        window = window_at(budget.window, budget.timezone, self._clock.now_us())
        rows = self._database.connection.execute(
            _SQL["spent_by_user"], (budget.project_id, window.starts_at, window.resets_at)
        )
        wanted = self._users.get((budget.project_id, budget.user_id)) if budget.user_id is not None else None
        spent: dict[CounterKey, int] = {}
        for user_ref, cost in rows:
            if budget.scope != "user" or user_ref == wanted:
                key = key_of(budget, user_ref, window)
                spent[key] = spent.get(key, 0) + cost
        with self._database.transaction() as connection:
            connection.executemany(_SQL["set_counter"], [(*key, cost) for key, cost in spent.items()])
        for key, cost in spent.items():
            self._counters.load(key, cost)

    def closed(self, budget_id: str) -> None:
        """A budget is gone. Its counters stay in the file: a budget made again is another one."""

    def held_nano(self) -> int:
        """What is held over all counters."""
        return self._counters.held()

    # -- writing

    def _user_ref(self, project_id: str, user_id: str, now: int) -> int:
        ref = self._users.get((project_id, user_id))
        if ref is None:
            self._last_user += 1
            ref = self._users[project_id, user_id] = self._last_user
            self._pending.users.append((ref, project_id, user_id, now))
            self._soon()
        return ref

    def _soon(self) -> None:
        """Flush at the end of this turn of the event loop."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _written(self) -> asyncio.Future[None]:
        """A future of the caller's own that is done once everything so far is written."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.waiters.append(waiter)
        self._soon()
        return waiter

    def _flush(self) -> None:
        self._flushing = False
        pending, self._pending = self._pending, _Pending()
        if pending.is_empty:
            return
        try:
            self._write(pending)
        except Exception as problem:
            # Whatever it is, money that is not written must not be forgotten: nothing is dropped, and nobody let in.
            self._failed(pending, problem)
            return
        self.healthy = True
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _failed(self, pending: _Pending, problem: Exception) -> None:
        """Nothing of this flush was written. New holds are refused; what is settled is kept, and tried again."""
        _log.error("the ledger cannot be written (%r); new calls are refused until it can", problem)
        self.healthy = False
        again = self._pending
        refused = {hold[0] for hold in pending.holds}
        again.users = pending.users + again.users
        again.prices = pending.prices + again.prices
        again.given_back = [back for back in pending.given_back if back[0] not in refused] + again.given_back
        again.rows = pending.rows + again.rows
        for key, cost in pending.spent.items():
            again.spent[key] = again.spent.get(key, 0) + cost
        asyncio.get_running_loop().call_later(1.0, self._flush)
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_exception(problem)

    def _write(self, pending: _Pending) -> None:
        connection = self._database.connection
        connection.execute("begin immediate")
        try:
            if pending.users:
                connection.executemany(_SQL["insert_user"], pending.users)
            if pending.prices:
                connection.executemany(_SQL["insert_price"], pending.prices)
            if pending.holds:
                connection.executemany(_SQL["insert_hold"], pending.holds)
            if pending.rows:
                # Only rows that were really inserted are summed: one that was there already has been.
                inserted = {attempt for (attempt,) in connection.executemany(_SQL["insert_row"], pending.rows)}
                rollups.add(connection, (row for row in pending.rows if row[2] and row[0] in inserted))
            if pending.given_back:
                connection.executemany(_SQL["delete_hold"], pending.given_back)
            if pending.spent:
                connection.executemany(_SQL["spend"], [(*key, cost) for key, cost in pending.spent.items()])
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise

    def expire(self) -> int:
        """Book every hold that is past its time at its worst case; returns how many there were. None should be.

        Once a day it also forgets the counters of windows that are over.
        """
        now = self._clock.now_us()
        if self._forgotten != (past := past_windows(now)):
            self._forgotten = past
            self._counters.forget_past(now)
        late = [(entry, hold) for entry, hold in self._open.values() if hold.expires_at <= now]
        for entry, hold in late:
            outcome = Outcome(
                state="unconfirmed",
                cost_nano=hold.amount_nano,
                usage=Usage(),
                status=0,
                error_code="hold_expired",
                finish_reason=None,
                latency_us=max(0, now - entry.started_at),
                first_byte_us=None,
            )
            self._settle_soon(entry, hold, outcome)
        return len(late)

    def close(self) -> None:
        """Write what waits."""
        self._flush()


def _row(entry: Entry, user_ref: int, hold: int, outcome: Outcome, now: int) -> tuple[Any, ...]:
    usage = outcome.usage
    return (
        entry.attempt_id,
        entry.request_id,
        entry.attempt,
        entry.operation,
        entry.started_at,
        now,
        entry.tenant_id,
        entry.project_id,
        user_ref,
        entry.api_key_id,
        entry.session_id,
        entry.thread_id,
        entry.tier,
        int(entry.byok),
        entry.provider,
        entry.model_asked,
        entry.model,
        int(entry.stream),
        usage.input,
        usage.cached_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
        usage.audio_input,
        usage.audio_output,
        1 if entry.attempt else 0,
        hold,
        outcome.cost_nano,
        entry.price_version,
        entry.price_hash,
        outcome.state,
        outcome.status,
        outcome.error_code,
        outcome.finish_reason,
        outcome.latency_us,
        outcome.first_byte_us,
    )


def _unavailable() -> GatewayError:
    return GatewayError("unavailable", "The gateway cannot write its ledger now, so it takes no calls.", retry_after=1)
