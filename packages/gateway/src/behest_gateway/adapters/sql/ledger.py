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
from typing import NamedTuple

import msgspec
from behest_protocol.usage import Usage

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.flush import Flush, KeepTurns, row_of
from behest_gateway.adapters.sql.opening import spent_before
from behest_gateway.adapters.sql.queries import load
from behest_gateway.core.alerts import EXCEEDED, Alert, alert_window, passed
from behest_gateway.core.budgets import NOTHING, Amounts, Budget, BudgetState, Slot
from behest_gateway.core.clock import Clock
from behest_gateway.core.counters import Claim, Counters, Refused
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Entry, Hold, Outcome
from behest_gateway.core.prices import PriceVector
from behest_gateway.core.windows import DAY, counts_from
from behest_gateway.stages.admit.ports import Ask, Exhausted
from behest_gateway.stages.admit.rules import affordable, amounts_of

_log = logging.getLogger("behest.ledger")
_SQL = load("ledger")
_GRACE_SECONDS = 60
_COUNTERS_KEPT = 100_000
"""Counters in memory; above this, those that hold nothing are dropped, and read again when they are needed."""


class _Journal(msgspec.Struct, frozen=True):
    """What is kept of a hold, so that it can be booked if the process dies."""

    entry: Entry
    user_ref: int
    slots: tuple[Slot, ...]
    tokens: int = 0
    would_refuse: tuple[str, ...] = ()


class _Open(NamedTuple):
    """An attempt under way."""

    entry: Entry
    hold: Hold
    user_ref: int


_encoder = msgspec.json.Encoder()
_journal_decoder = msgspec.json.Decoder(_Journal)


class SqlLedger:
    """Implements `admit`'s `Holds`, `record`'s `Ledger`, and `control`'s `Users` and `BudgetCounters`.

    Args:
        keep_turns: Without it, no conversation is kept.
    """

    def __init__(self, database: Database, clock: Clock, keep_turns: KeepTurns | None = None) -> None:
        self._database = database
        self._keep_turns = keep_turns
        self._clock = clock
        self._counters = Counters(self._read_counter)
        self._open: dict[str, _Open] = {}
        self._flushing = False
        self._pending = Flush()
        self.healthy = True
        connection = database.connection
        self._users = {(project, uid): ref for ref, project, uid in connection.execute(_SQL["all_users"])}
        self._last_user: int = next(connection.execute(_SQL["last_user"]))[0]
        self._prices = {row[0] for row in connection.execute(_SQL["all_prices"])}
        self.recovered = self._recover()
        self._today = clock.now_us() // DAY
        self._raised: set[tuple[str, str, str, int]] = set()

    def _read_counter(self, budget_id: str, subject: str, since: str) -> list[tuple[str, int]]:
        return list(self._database.connection.execute(_SQL["read_counter"], (budget_id, subject, since)))

    # -- starting

    def _recover(self) -> int:
        """Book every hold that a dead process left behind at its worst case; nobody knows what it came to."""
        connection = self._database.connection
        left = list(connection.execute(_SQL["open_holds"]))
        if not left:
            return 0
        now = self._clock.now_us()
        pending = Flush()
        for attempt_id, amount, _, text in left:
            journal = _journal_decoder.decode(text)
            outcome = Outcome(
                state="unconfirmed",
                charged=Amounts(amount, journal.tokens, 1),
                usage=Usage(),
                status=0,
                error_code="gateway_died",
                finish_reason=None,
                latency_us=max(0, now - journal.entry.started_at),
                first_byte_us=None,
            )
            pending.given_back.append((attempt_id,))
            held = Amounts(amount, journal.tokens, 1)
            pending.rows.append(
                row_of(journal.entry, journal.user_ref, held, outcome, now, journal.slots, journal.would_refuse)
            )
            pending.spend(journal.slots, outcome.charged)
        pending.write(connection, self._keep_turns)
        return len(left)

    # -- admit

    async def reserve(self, entry: Entry, ask: Ask, budgets: tuple[Budget, ...]) -> Hold | Exhausted:
        if not self.healthy:
            raise _unavailable()
        now = self._clock.now_us()
        user_ref = self._user_ref(entry.project_id, entry.user_id, now)
        claims = tuple(
            [(b, b.subject_of(user_ref, entry.session_id, entry.thread_id, entry.api_key_id)) for b in budgets]
        )

        # By the instant that is in the row, so that every counter can be added up from the ledger again.
        held = self._counters.hold(
            claims, entry.started_at, lambda left: affordable(ask, left), lambda: amounts_of(ask, ask.min_tokens)
        )
        if isinstance(held, Refused):
            if held.short is not None:
                self._note_refusals(entry, ((held.short.budget, held.subject),))
            return Exhausted(state=held.short, needed=amounts_of(ask, ask.min_tokens))
        if held.would_refuse:
            self._note_refusals(entry, held.would_refuse)
        hold = Hold(
            attempt_id=entry.attempt_id,
            amounts=held.amounts,
            input=amounts_of(ask, 0),
            max_tokens=held.max_tokens,
            slots=held.slots,
            claims=claims,
            expires_at=now + (ask.seconds + _GRACE_SECONDS) * 1_000_000,
            would_refuse=tuple([budget.id for budget, _ in held.would_refuse]),
        )
        self._open[hold.attempt_id] = _Open(entry, hold, user_ref)
        self._note_price(ask.price)
        try:
            journal = _Journal(entry, user_ref, hold.slots, hold.amounts.tokens, hold.would_refuse)
            self._pending.holds.append(
                (hold.attempt_id, hold.amounts.nano, hold.expires_at, _encoder.encode(journal).decode())
            )
            await self._written()
        except asyncio.CancelledError:
            self._release_unsent(entry, hold)
            raise
        except Exception:
            self._open.pop(hold.attempt_id, None)
            self._counters.settle(hold.slots, hold.amounts, NOTHING)
            raise _unavailable() from None
        return hold

    def left(self, entry: Entry, hold: Hold) -> Amounts:
        return self._counters.left(hold.claims, entry.started_at)

    def _note_refusals(self, entry: Entry, claims: tuple[Claim, ...]) -> None:
        """Count refusals, and those of budgets in shadow mode that were none. The first of a window is an alert."""
        for budget, subject in claims:
            self._pending.count((budget.id, subject, budget.window_at(entry.started_at).id), 0, 1)
            if EXCEEDED in budget.thresholds:
                self._alert(entry, self._counters.state(budget, subject, entry.started_at), subject, EXCEEDED)
        self._soon()

    def _alert(self, entry: Entry, state: BudgetState, subject: str, percent: int) -> None:
        budget = state.budget
        key = (budget.id, subject, alert_window(budget, entry.started_at), percent)
        if key in self._raised:
            return
        self._raised.add(key)
        own = budget.scope in ("user", "each_user", "each_session", "each_thread")
        self._pending.alerts.append(
            Alert(
                *key,
                tenant_id=entry.tenant_id,
                budget=budget,
                spent=state.spent,
                resets_at=state.resets_at,
                user_id=entry.user_id if own else None,
                session_id=entry.session_id if budget.scope == "each_session" else None,
                thread_id=entry.thread_id if budget.scope == "each_thread" else None,
                at=self._clock.now_us(),
            )
        )

    def _release_unsent(self, entry: Entry, hold: Hold) -> None:
        outcome = Outcome(
            state="released",
            charged=NOTHING,
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
        attempt = self._open.pop(hold.attempt_id, None)
        if attempt is None:
            return False
        charged = outcome.charged
        if charged.nano > hold.amounts.nano:
            _log.error(
                "attempt %s cost %d nano-USD, more than its hold of %d: the price table or the provider is wrong",
                hold.attempt_id,
                charged.nano,
                hold.amounts.nano,
            )
        self._counters.settle(hold.slots, hold.amounts, charged)
        pending = self._pending
        pending.given_back.append((hold.attempt_id,))
        pending.rows.append(
            row_of(entry, attempt.user_ref, hold.amounts, outcome, self._clock.now_us(), hold.slots, hold.would_refuse)
        )
        if outcome.turn is not None and self._keep_turns is not None:
            pending.turns.append((attempt.user_ref, outcome.turn))
        if charged is not NOTHING:
            pending.spend(hold.slots, charged)
            self._watch(entry, hold.claims, charged)
        self._soon()
        return True

    def _watch(self, entry: Entry, claims: tuple[Claim, ...], charged: Amounts) -> None:
        """Look whether what was just spent took a budget past one of its thresholds."""
        for budget, subject in claims:
            amount = charged[budget.unit_index]
            if not amount or not budget.thresholds:
                continue
            spent = self._counters.spent(budget, subject, entry.started_at)
            if spent * 100 < budget.thresholds[0] * budget.limit:
                continue
            state = self._counters.state(budget, subject, entry.started_at)
            for percent in passed(state, state.spent - amount):
                self._alert(entry, state, subject, percent)

    def refuse(self, entry: Entry, outcome: Outcome) -> None:
        now = self._clock.now_us()
        user_ref = self._user_ref(entry.project_id, entry.user_id, now)
        self._pending.rows.append(row_of(entry, user_ref, NOTHING, outcome, now))
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

    def state(
        self, budget: Budget, user_id: str | None, session_id: str | None = None, thread_id: str | None = None
    ) -> BudgetState:
        """How a budget stands now for a user, a session and a thread, as far as its scope asks for them."""
        ref = self._users.get((budget.project_id or "", user_id), -1) if user_id is not None else 0
        subject = budget.subject_of(ref, session_id, thread_id, None)
        return self._counters.state(budget, subject, self._clock.now_us())

    def refused(self, budget: Budget) -> int:
        """How often a budget refused in its window of now, or would have in shadow mode, over all of its subjects."""
        self._flush()
        since = counts_from(budget.window, budget.timezone, self._clock.now_us(), budget.hours)
        [(times,)] = self._database.connection.execute(_SQL["refused"], (budget.id, since))
        return int(times)

    def opened(self, budget: Budget) -> None:
        """Start a new budget's window with what the ledger already shows for it. A lifetime begins with nothing."""
        if budget.window == "lifetime":
            return
        self._flush()
        spent = spent_before(self._database.connection, budget, self._users, self._clock.now_us())
        with self._database.transaction() as connection:
            connection.executemany(_SQL["set_counter"], [(budget.id, *row) for row in spent])
        self._counters.start(budget, spent)

    @property
    def counters_kept(self) -> int:
        """How many counters are in memory."""
        return len(self._counters)

    def held_nano(self) -> int:
        """What is held over all counters of dollars."""
        return self._counters.held().nano

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
        pending, self._pending = self._pending, Flush()
        if pending.is_empty:
            return
        try:
            pending.write(self._database.connection, self._keep_turns)
        except Exception as problem:
            # Whatever it is, money that is not written must not be forgotten: nothing is dropped, and nobody let in.
            self._failed(pending, problem)
            return
        self.healthy = True
        if pending.alerts:
            self._database.feed.wake()
        if len(self._counters) > _COUNTERS_KEPT:
            self._forget()
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _failed(self, pending: Flush, problem: Exception) -> None:
        """Nothing of this flush was written. New holds are refused; what is settled is kept, and tried again."""
        _log.error("the ledger cannot be written (%r); new calls are refused until it can", problem)
        self.healthy = False
        self._pending.take_over(pending)
        asyncio.get_running_loop().call_later(1.0, self._flush)
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_exception(problem)

    def expire(self) -> int:
        """Book every hold that is past its time at its worst case; returns how many there were. None should be.

        Once a day it also forgets the counters that hold nothing, among them those of windows that are over.
        """
        now = self._clock.now_us()
        if self._today != now // DAY and self._pending.is_empty:
            self._today = now // DAY
            self._forget()
        late = [attempt for attempt in self._open.values() if attempt.hold.expires_at <= now]
        for entry, hold, _ in late:
            outcome = Outcome(
                state="unconfirmed",
                charged=hold.amounts,
                usage=Usage(),
                status=0,
                error_code="hold_expired",
                finish_reason=None,
                latency_us=max(0, now - entry.started_at),
                first_byte_us=None,
            )
            self._settle_soon(entry, hold, outcome)
        return len(late)

    def _forget(self) -> None:
        """Drop what the file has as well. Only when nothing waits to be written."""
        self._counters.forget_idle()
        self._raised.clear()

    def close(self) -> None:
        """Write what waits."""
        self._flush()


def _unavailable() -> GatewayError:
    return GatewayError("unavailable", "The gateway cannot write its ledger now, so it takes no calls.", retry_after=1)
