"""What one transaction of the ledger writes: everything that came up in one turn of the event loop."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import apsw

from behest_gateway.adapters.sql import events, rollups
from behest_gateway.adapters.sql.queries import load
from behest_gateway.core.alerts import Alert
from behest_gateway.core.budgets import Amounts, Slot
from behest_gateway.core.exchange import Entry, Outcome
from behest_gateway.core.threads import Turn

_SQL = load("ledger")

KeepTurns = Callable[[apsw.Connection, list[tuple[int, Turn]]], None]
"""Writes turns of conversations, each with its person's number, inside a transaction that is open."""


class Flush:
    """What waits to be written, and whoever waits for it."""

    __slots__ = ("alerts", "given_back", "holds", "prices", "rows", "spent", "turns", "users", "waiters")

    def __init__(self) -> None:
        self.users: list[tuple[int, str, str, int]] = []
        self.prices: list[tuple[Any, ...]] = []
        self.holds: list[tuple[str, int, int, str]] = []
        self.given_back: list[tuple[str]] = []
        self.rows: list[tuple[Any, ...]] = []
        self.spent: dict[tuple[str, str, str], list[int]] = {}
        self.alerts: list[Alert] = []
        self.turns: list[tuple[int, Turn]] = []
        self.waiters: list[asyncio.Future[None]] = []

    @property
    def is_empty(self) -> bool:
        return not (self.holds or self.rows or self.given_back or self.users or self.waiters or self.spent)

    def spend(self, slots: tuple[Slot, ...], amounts: Amounts) -> None:
        """Count amounts where they belong."""
        for budget_id, subject, window_id, unit in slots:
            self.count((budget_id, subject, window_id), amounts[unit], 0)

    def count(self, key: tuple[str, str, str], spent: int, refused: int) -> None:
        """Add to a counter."""
        if not (spent or refused):
            return
        known = self.spent.get(key)
        if known is None:
            self.spent[key] = [spent, refused]
        else:
            known[0] += spent
            known[1] += refused

    def take_over(self, failed: Flush) -> None:
        """Go on with what another one could not write, before what is here. Its holds were refused, so they end."""
        refused = {hold[0] for hold in failed.holds}
        self.users = failed.users + self.users
        self.prices = failed.prices + self.prices
        self.given_back = [back for back in failed.given_back if back[0] not in refused] + self.given_back
        self.rows = failed.rows + self.rows
        self.turns = failed.turns + self.turns
        self.alerts = failed.alerts + self.alerts
        for key, (spent, refusals) in failed.spent.items():
            self.count(key, spent, refusals)

    def write(self, connection: apsw.Connection, keep_turns: KeepTurns | None) -> None:
        """Write all of it in one transaction, or nothing."""
        connection.execute("begin immediate")
        try:
            if self.users:
                connection.executemany(_SQL["insert_user"], self.users)
            if self.prices:
                connection.executemany(_SQL["insert_price"], self.prices)
            if self.holds:
                connection.executemany(_SQL["insert_hold"], self.holds)
            if self.rows:
                # Only rows that were really inserted are summed: one that was there already has been.
                inserted = {attempt for (attempt,) in connection.executemany(_SQL["insert_row"], self.rows)}
                rollups.add(connection, (row for row in self.rows if row[2] and row[0] in inserted))
            if self.given_back:
                connection.executemany(_SQL["delete_hold"], self.given_back)
            if self.spent:
                connection.executemany(_SQL["spend"], [(*key, *sums) for key, sums in self.spent.items()])
            if self.alerts:
                events.add(connection, [alert.event for alert in _first_raised(connection, self.alerts)])
            if self.turns and keep_turns is not None:
                keep_turns(connection, self.turns)
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:  # a full disk has rolled it back already
                connection.execute("rollback")
            raise


def _first_raised(connection: apsw.Connection, alerts: list[Alert]) -> list[Alert]:
    """Note alerts, inside a transaction; returns those that were not raised before."""
    return [alert for alert in alerts if connection.execute(_SQL["raise_alert"], (*alert[:4], alert.at)).fetchall()]


def row_of(
    entry: Entry,
    user_ref: int,
    hold: Amounts,
    outcome: Outcome,
    now: int,
    slots: tuple[Slot, ...] = (),
    would_refuse: tuple[str, ...] = (),
) -> tuple[Any, ...]:
    """The row of an attempt, in the order of the columns of `insert_row`."""
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
        hold.nano,
        outcome.charged.nano,
        entry.price_version,
        entry.price_hash,
        outcome.state,
        outcome.status,
        outcome.error_code,
        outcome.finish_reason,
        outcome.latency_us,
        outcome.first_byte_us,
        hold.tokens,
        outcome.charged.tokens,
        ",".join([slot.budget_id for slot in slots]),
        ",".join(would_refuse) or None,
    )
