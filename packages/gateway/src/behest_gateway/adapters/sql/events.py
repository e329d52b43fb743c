"""The outbox of events in SQLite: written in the transaction of what happened, read by place, pruned now and then.

`add` is for whoever holds a transaction. After its commit, call `database.feed.wake()`, so that streams and webhooks
read what is new; if that is forgotten or the process dies in between, nothing is lost, only later.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import apsw
import msgspec

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.queries import load
from behest_gateway.control.events import KEEP_DAYS, KEEP_EVENTS, Told, View
from behest_gateway.core.errors import invalid
from behest_gateway.core.events import Event

PAGE = 100
"""Events that a follower gets at a time; it is asked for the next when these are with the reader."""

PRUNED_AT_ONCE = 500
"""Events that one transaction forgets, so that no call waits for long."""

_SQL = load("events")
_encoder = msgspec.json.Encoder()
_fields = msgspec.json.Decoder(dict[str, str])
_CURSOR = re.compile(r"[0-9]{1,18}")


def add(connection: apsw.Connection, events: Sequence[Event]) -> None:
    """Write events, and what is to be sent of them, inside a transaction that is open; nothing for none of them."""
    if events:
        connection.executemany(
            _SQL["add_event"],
            [(e.id, e.type, e.tenant_id, e.project_id, e.at, _encoder.encode(e.fields).decode()) for e in events],
        )


class SqlEvents:
    """Implements `control.events.EventLog` over the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def history(self, view: View, *, after: str | None, type_: str | None, limit: int) -> list[Told]:
        return self._read(view, _place(after), type_, limit)

    async def newest(self) -> str:
        (place,) = next(self._database.connection.execute(_SQL["newest"]))
        return str(place)

    async def follow(self, view: View, *, after: str, type_: str | None, patience: float) -> AsyncGenerator[list[Told]]:
        feed = self._database.feed
        place = _place(after)
        while not feed.is_closed:
            turn = feed.turn
            page = self._read(view, place, type_, PAGE)
            if page:
                place = int(page[-1].cursor)
                yield page
                continue
            await feed.after(turn, patience)
            if feed.turn == turn:
                yield []

    def _read(self, view: View, place: int, type_: str | None, limit: int) -> list[Told]:
        connection = self._database.connection
        if view.project_id is None:
            name = "all_events" if type_ is None else "all_events_of_type"
            rows = connection.execute(_SQL[name], (place, type_, limit))
        else:
            name = "events_of" if type_ is None else "events_of_type"
            rows = connection.execute(_SQL[name], (place, type_, limit, view.project_id, view.tenant_id))
        return [_told(row) for row in rows]

    async def prune(self, now_us: int) -> int:
        """Forget events that are older than `KEEP_DAYS`, and all but the newest `KEEP_EVENTS` of each audience.

        What is still to be delivered stays until it is. Returns how many are gone.
        """
        gone = await self._batches("prune", now_us - KEEP_DAYS * 86_400_000_000)
        for audience, place in await asyncio.to_thread(self._crowded):
            gone += await self._batches("prune_crowd", audience, place)
        return gone

    def _crowded(self) -> list[tuple[str, int]]:
        connection = self._database.reader()
        try:
            crowded = [audience for (audience,) in connection.execute(_SQL["crowded"], (KEEP_EVENTS,))]
            return [
                (audience, next(connection.execute(_SQL["kept_from"], (audience, KEEP_EVENTS - 1)))[0])
                for audience in crowded
            ]
        finally:
            connection.close()

    async def _batches(self, name: str, *values: Any) -> int:
        gone = 0
        while True:
            with self._database.transaction() as connection:
                batch = len(list(connection.execute(_SQL[name], (*values, PRUNED_AT_ONCE))))
            gone += batch
            if batch < PRUNED_AT_ONCE:
                return gone
            await asyncio.sleep(0)


def _place(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if _CURSOR.fullmatch(cursor) is None:
        raise invalid(
            "since is a place that an earlier answer named: its `next`, or an event's id in a stream", "since"
        )
    return int(cursor)


def _told(row: tuple[Any, ...]) -> Told:
    seq, event_id, type_, tenant_id, project_id, at, fields = row
    event = Event(
        id=event_id, type=type_, tenant_id=tenant_id, project_id=project_id, at=at, fields=_fields.decode(fields)
    )
    return Told(cursor=str(seq), event=event)
