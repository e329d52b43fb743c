"""What was used by the hour and by the day: added up for each flush, compared with the ledger, made again from it.

A flush of many rows touches few hours, so the sums are made in memory first and each is written once. What is written
here is in the transaction of the rows themselves.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw

from behest_gateway.adapters.sql.queries import load
from behest_gateway.control.auditing import Difference

HOUR = 3_600_000_000
DAY = 24 * HOUR
KEYS = {"usage_by_hour": 5, "usage_by_user_day": 5, "usage_by_session_day": 4, "usage_by_thread_day": 4}
"""Each rollup's table, and how many of its columns are its key; the others are sums."""

_SQL = load("rollups")
_Sums = dict[tuple[Any, ...], list[int]]


def add(connection: apsw.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Add rows of the ledger to the rollups, inside their transaction.

    Args:
        rows: Attempts that were really inserted, in the order of the columns of `insert_row`.
    """
    hours: _Sums = {}
    users: _Sums = {}
    sessions: _Sums = {}
    threads: _Sums = {}
    for row in rows:
        started_at, project_id, user_ref, session_id, thread_id = row[4], row[7], row[8], row[10], row[11]
        day = started_at - started_at % DAY
        rest = (row[16], row[12] or "", row[13])
        used = (row[18], row[19], row[21], row[27])
        _add(hours, (project_id, started_at - started_at % HOUR, *rest), used)
        _add(users, (user_ref, day, *rest), used)
        if session_id is not None:
            _add(sessions, (project_id, day, session_id, user_ref), used)
        if thread_id is not None:
            _add(threads, (project_id, day, thread_id, user_ref), used)
    if hours:
        connection.executemany(_SQL["add_hour"], [(*key, *sums) for key, sums in hours.items()])
        connection.executemany(_SQL["add_user_day"], [(*key, *sums) for key, sums in users.items()])
    if sessions:
        connection.executemany(_SQL["add_session_day"], [(*key, *sums) for key, sums in sessions.items()])
    if threads:
        connection.executemany(_SQL["add_thread_day"], [(*key, *sums) for key, sums in threads.items()])


def _add(sums: _Sums, key: tuple[Any, ...], used: tuple[int, int, int, int]) -> None:
    known = sums.get(key)
    if known is None:
        sums[key] = [1, *used]
        return
    known[0] += 1
    known[1] += used[0]
    known[2] += used[1]
    known[3] += used[2]
    known[4] += used[3]


def rebuild(connection: apsw.Connection) -> int:
    """Make every rollup again from the ledger, inside a transaction; returns how many sums there are."""
    made = 0
    for table in KEYS:
        connection.execute(f"delete from {table}")  # noqa: S608
        connection.execute(f"insert into {table} {_SQL[table]}")
        made += connection.changes()
    return made


def differences(connection: apsw.Connection) -> tuple[int, list[Difference]]:
    """Compare every rollup with the ledger; returns how many sums there are, and those that differ."""
    count = 0
    found: list[Difference] = []
    for table, width in KEYS.items():
        count += next(iter(connection.execute(f"select count(*) from {table}")))[0]  # noqa: S608
        made = _SQL[table]
        wanted = _by_key(connection.execute(f"{made} except select * from {table}"), width)  # noqa: S608
        there = _by_key(connection.execute(f"select * from {table} except select * from ({made})"), width)  # noqa: S608
        found += [
            Difference(
                what="rollup",
                name=f"{table}: {', '.join(map(str, key))}",
                expected=_said(wanted.get(key)),
                found=_said(there.get(key)),
            )
            for key in sorted(wanted.keys() | there.keys())
        ]
    return count, found


def _by_key(rows: Iterable[tuple[Any, ...]], width: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    return {row[:width]: row[width:] for row in rows}


def _said(sums: tuple[Any, ...] | None) -> str:
    if sums is None:
        return "nothing"
    requests, into, cached, out, cost = sums
    return f"{requests} requests, {into} in, {cached} cached, {out} out, {cost} nano-USD"
