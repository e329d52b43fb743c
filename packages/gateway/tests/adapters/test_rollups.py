"""What the rollups answer is what the ledger adds up to, whatever the span, the steps and the order of writing."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from behest_gateway.adapters.sql import database as databases
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.adapters.sql.rollups import DAY, HOUR, differences
from behest_gateway.adapters.sql.usage import SqlUsage
from behest_gateway.control.usage import STEPS, ModelUsage, Span, UsageSum
from behest_gateway.core.budgets import Amounts
from behest_gateway.core.clock import SystemClock
from behest_gateway.core.exchange import Entry, Outcome
from behest_gateway.core.ids import new_id
from behest_protocol.usage import Usage
from hypothesis import given, settings
from hypothesis import strategies as st

START = 1_790_000_000_000_000 // DAY * DAY

calls = st.lists(
    st.fixed_dictionaries(
        {
            "started_at": st.integers(START - HOUR, START + 4 * DAY)
            | st.integers(0, 96).map(lambda hour: START + hour * HOUR),
            "user_id": st.sampled_from(["ada", "bob"]),
            "project_id": st.sampled_from(["p", "q"]),
            "model": st.sampled_from(["m", "n"]),
            "tier": st.sampled_from([None, "free"]),
            "byok": st.booleans(),
            "session_id": st.sampled_from([None, "s"]),
            "thread_id": st.sampled_from([None, "t"]),
            "attempt": st.integers(0, 1),
        }
    ),
    max_size=25,
)
moments = st.integers(START - DAY, START + 5 * DAY) | st.integers(-24, 120).map(lambda hour: START + hour * HOUR)


def entry_of(**changes: Any) -> Entry:
    texts = dict.fromkeys(("request_id", "tenant_id", "provider", "model_asked", "price_version", "price_hash"), "x")
    return Entry(**{"attempt_id": new_id(), "operation": "chat", "api_key_id": None, "stream": False} | texts | changes)


def outcome_of(number: int) -> Outcome:
    return Outcome(
        state="settled",
        charged=Amounts(7 * number + 1, 0, 1),
        usage=Usage(input=number, cached_read=number // 2, output=3 * number),
        status=200,
        error_code=None,
        finish_reason=None,
        latency_us=1,
        first_byte_us=None,
    )


@contextmanager
def opened() -> Iterator[tuple[Database, SqlLedger]]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder))
        try:
            yield database, SqlLedger(database, SystemClock())
        finally:
            database.close()


async def write(ledger: SqlLedger, made: list[dict[str, Any]]) -> None:
    """Write calls in several flushes."""
    for number, call in enumerate(made):
        ledger.refuse(entry_of(**call), outcome_of(number))
        if number % 5 == 4:
            await asyncio.sleep(0)
    ledger.close()


def raw(database: Database, span: Span, ref: int | None, columns: str) -> list[tuple[Any, ...]]:
    """The sums of the ledger alone, grouped by columns."""
    return list(
        database.connection.execute(
            f"select {columns}, count(*), sum(input_tokens), sum(output_tokens), sum(cost_nano) from ledger"
            " where attempt > 0 and project_id = ? and started_at >= ? and started_at < ? and (?4 is null or"
            f" user_ref = ?4) group by {columns} order by {columns}",
            (span.project_id, span.starts_at, span.ends_at, ref),
        )
    )


@settings(max_examples=40, deadline=None)
@given(made=calls, ends=st.tuples(moments, moments), user=st.sampled_from([None, "ada", "bob", "nobody"]))
def test_rollups_answer_what_the_ledger_adds_up_to(
    made: list[dict[str, Any]], ends: tuple[int, int], user: str | None
) -> None:
    span = Span(project_id="p", user_id=user, starts_at=min(ends), ends_at=max(ends))
    with opened() as (database, ledger):
        asyncio.run(write(ledger, made))
        usage = SqlUsage(database, ledger.known_user)
        ref = None if user is None else ledger.known_user("p", user) or -1

        for step in STEPS.values():
            assert asyncio.run(usage.by_time(span, step)) == [
                (at, UsageSum(*rest)) for at, *rest in raw(database, span, ref, f"started_at / {step} * {step}")
            ]
        models = [
            ModelUsage(bool(byok), name, UsageSum(*rest))
            for byok, name, *rest in raw(database, span, ref, "byok, model")
        ]
        models.sort(key=lambda each: (each.byok, -each.sum.cost_nano, each.model))
        everything = raw(database, span, ref, "project_id")
        assert asyncio.run(usage.by_model(span)) == models
        assert asyncio.run(usage.totals(span)) == (UsageSum(*everything[0][1:]) if everything else UsageSum(0, 0, 0, 0))
        assert differences(database.connection)[1] == []


async def test_a_row_that_comes_a_second_time_is_summed_once() -> None:
    with opened() as (database, ledger):
        entry = entry_of(
            started_at=START,
            user_id="ada",
            project_id="p",
            model="m",
            tier=None,
            session_id="s",
            thread_id="t",
            attempt=1,
        )
        ledger.refuse(entry, outcome_of(5))
        ledger.close()
        ledger.refuse(entry, outcome_of(5))
        ledger.close()

        assert list(database.connection.execute("select requests, cost_nano from usage_by_hour")) == [(1, 36)]
        assert differences(database.connection) == (4, [])


async def test_rows_from_before_the_rollups_are_summed_by_the_migration(tmp_path: Path) -> None:
    database = Database(tmp_path)
    ledger = SqlLedger(database, SystemClock())
    made = {"started_at": START, "project_id": "p", "model": "m", "attempt": 1}
    for number, (user, tier, session) in enumerate([("ada", None, "s"), ("bob", "free", None), ("ada", None, "s")]):
        entry = entry_of(user_id=user, tier=tier, session_id=session, thread_id=session, **made)
        ledger.refuse(entry, outcome_of(number))
    ledger.close()
    for table in ("usage_by_hour", "usage_by_user_day", "usage_by_session_day", "usage_by_thread_day"):
        database.connection.execute(f"drop table {table}")
    database.connection.execute("delete from migrations where number in (3, 8)")
    databases.migrate(database.connection)

    assert differences(database.connection) == (6, [])
    database.close()
