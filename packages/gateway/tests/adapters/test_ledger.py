"""Holds and the ledger on a real file: what is durable when, what a crash leaves, what a full disk does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from behest_gateway.adapters.sql.database import Database, DatabaseError, migrate
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.core.budgets import Budget
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Entry, Hold
from behest_gateway.stages.admit.ports import Ask, Exhausted

from .booking import DAY, Time, ask_of, entry_of, outcome_of


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database, time: Time) -> SqlLedger:
    database.connection.execute("insert into tenants values ('t', 'T', 'free', 0)")
    database.connection.execute("insert into projects values ('p', 't', 'P', 'p', 'active', 'READY', '{}', null, 0)")
    return SqlLedger(database, time)


def _budget(limit: int = 100, **more: Any) -> Budget:
    return Budget(**{"id": "b", "project_id": "p", "scope": "project", "window": "day", "limit": limit, **more})


async def _held(ledger: SqlLedger, entry: Entry, ask: Ask, *budgets: Budget) -> Hold:
    hold = await ledger.reserve(entry, ask, budgets)
    assert isinstance(hold, Hold)
    return hold


def _all(database: Database, statement: str) -> list[tuple[Any, ...]]:
    return list(database.connection.execute(statement))


async def test_a_hold_is_in_the_file_when_it_is_granted(ledger: SqlLedger, database: Database) -> None:
    entry = entry_of()

    hold = await _held(ledger, entry, ask_of(40), _budget())

    reader = database.reader()
    assert list(reader.execute("select attempt_id, amount_nano from holds")) == [(entry.attempt_id, 40)]
    assert list(reader.execute("select hash, version from prices")) == [("h", "v")]
    reader.close()
    assert (hold.amounts.nano, ledger.held_nano()) == (40, 40)


async def test_settling_writes_one_row_and_the_counter_and_gives_the_hold_back(
    ledger: SqlLedger, database: Database
) -> None:
    entry, budget = entry_of(), _budget()
    hold = await _held(ledger, entry, ask_of(40), budget)

    await ledger.settle(entry, hold, outcome_of(25))
    await ledger.settle(entry, hold, outcome_of(25))

    assert _all(database, "select * from holds") == []
    assert _all(
        database, "select attempt_id, cost_nano, hold_nano, state, input_tokens, output_tokens from ledger"
    ) == [(entry.attempt_id, 25, 40, "settled", 3, 2)]
    assert _all(database, "select spent from counters") == [(25,)]
    state = ledger.state(budget, None)
    assert (state.spent, state.held, state.left) == (25, 0, 75)


async def test_the_budget_with_the_least_left_refuses_and_nothing_is_held(
    ledger: SqlLedger, database: Database
) -> None:
    wide, tight = _budget(1000), _budget(10, id="tight", scope="each_user")

    refused = await ledger.reserve(entry_of(), ask_of(11), (wide, tight))

    assert isinstance(refused, Exhausted)
    assert (refused.state and refused.state.budget.id, refused.needed.nano) == ("tight", 11)
    assert ledger.held_nano() == 0
    assert _all(database, "select * from holds") == []


async def test_output_is_clamped_to_what_is_left(ledger: SqlLedger) -> None:
    hold = await _held(ledger, entry_of(), ask_of(40, tokens=500), _budget(100))

    assert (hold.max_tokens, hold.amounts.nano, hold.input.nano) == (60, 100, 40)


async def test_what_costs_nothing_passes_an_empty_budget(ledger: SqlLedger) -> None:
    hold = await _held(ledger, entry_of(), ask_of(0), _budget(0))

    assert hold.amounts.nano == 0


async def test_each_user_has_a_budget_of_their_own(ledger: SqlLedger) -> None:
    budget = _budget(10, scope="each_user")

    for user in ("u1", "u2"):
        await _held(ledger, entry_of(user), ask_of(10), budget)
        assert isinstance(await ledger.reserve(entry_of(user), ask_of(1), (budget,)), Exhausted)


async def test_a_new_window_starts_empty_and_a_late_settlement_counts_where_it_was_admitted(
    ledger: SqlLedger, database: Database, time: Time
) -> None:
    budget, entry = _budget(10), entry_of()
    hold = await _held(ledger, entry, ask_of(10), budget)
    time.us += DAY

    await _held(ledger, entry_of(time=time), ask_of(10), budget)
    await ledger.settle(entry, hold, outcome_of(7))

    assert _all(database, "select window_id, spent from counters") == [(hold.slots[0].window_id, 7)]
    assert ledger.state(budget, None).spent == 0


async def test_counters_that_hold_nothing_leave_the_memory_and_are_read_again(
    ledger: SqlLedger, database: Database, time: Time
) -> None:
    day, month, open_ = _budget(id="day"), _budget(id="month", window="month"), _budget(id="open")
    for budget in (day, month):
        entry = entry_of(time=time)
        await ledger.settle(entry, await _held(ledger, entry, ask_of(5), budget), outcome_of(5))
    then = time.us
    time.us += 3 * DAY
    late = entry_of()
    hold = await _held(ledger, late, ask_of(5), open_)
    assert ledger.counters_kept == 3

    ledger.expire()

    assert ledger.counters_kept == 1
    await ledger.settle(late, hold, outcome_of(4))
    assert (ledger.state(day, None).spent, ledger.state(month, None).spent) == (0, 5)
    time.us = then
    again = SqlLedger(database, time)
    assert [again.state(budget, None).spent for budget in (day, month, open_)] == [5, 5, 4]


async def test_many_at_once_share_one_commit(ledger: SqlLedger, database: Database) -> None:
    commits = 0

    def count() -> bool:
        nonlocal commits
        commits += 1
        return False

    database.connection.set_commit_hook(count)
    await asyncio.gather(*(ledger.reserve(entry_of(f"u{n}"), ask_of(1), (_budget(1000),)) for n in range(64)))
    database.connection.set_commit_hook(None)

    assert commits == 1
    assert _all(database, "select count(*) from holds") == [(64,)]


async def test_a_caller_who_leaves_while_its_hold_is_written_holds_nothing(
    ledger: SqlLedger, database: Database
) -> None:
    asking = asyncio.create_task(ledger.reserve(entry_of(), ask_of(40), (_budget(),)))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await _held(ledger, entry_of(), ask_of(100), _budget())

    assert _all(database, "select amount_nano from holds") == [(100,)]
    assert _all(database, "select state, cost_nano from ledger") == [("released", 0)]


async def test_what_a_dead_process_held_is_booked_in_full_at_the_next_start(
    ledger: SqlLedger, database: Database, time: Time
) -> None:
    budget = _budget(100, scope="each_user")
    entry = entry_of("u1")
    await _held(ledger, entry, ask_of(40), budget)

    again = SqlLedger(database, time)

    assert again.recovered == 1
    assert _all(database, "select * from holds") == []
    assert _all(database, "select attempt_id, cost_nano, state, error_code from ledger") == [
        (entry.attempt_id, 40, "unconfirmed", "gateway_died")
    ]
    assert (again.state(budget, "u1").spent, again.state(budget, "u2").spent) == (40, 0)
    assert SqlLedger(database, time).recovered == 0


async def test_a_hold_that_outlives_its_time_is_booked_in_full(
    ledger: SqlLedger, database: Database, time: Time
) -> None:
    entry = entry_of()
    hold = await _held(ledger, entry, ask_of(40), _budget())
    assert ledger.expire() == 0
    time.us += 200_000_000

    assert ledger.expire() == 1
    await ledger.settle(entry, hold, outcome_of(1))
    await _held(ledger, entry_of(), ask_of(1), _budget())

    assert _all(database, "select cost_nano, state, error_code from ledger") == [(40, "unconfirmed", "hold_expired")]


async def test_a_cost_above_its_hold_is_booked_in_full_and_said_aloud(
    ledger: SqlLedger, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    entry = entry_of()
    hold = await _held(ledger, entry, ask_of(40), _budget())

    await ledger.settle(entry, hold, outcome_of(50))

    assert _all(database, "select cost_nano from ledger") == [(50,)]
    assert "more than its hold" in caplog.text


async def test_a_budget_made_in_mid_window_starts_with_what_the_ledger_shows(ledger: SqlLedger, time: Time) -> None:
    for user, cost in (("u1", 10), ("u1", 5), ("u2", 3)):
        entry = entry_of(user, time=time)
        await ledger.settle(entry, await _held(ledger, entry, ask_of(40)), outcome_of(cost))
    project, one, each = (
        _budget(id="a"),
        _budget(id="b", scope="user", subject="u1"),
        _budget(id="c", scope="each_user"),
    )

    for budget in (project, one, each):
        ledger.opened(budget)

    assert [ledger.state(b, "u1").spent for b in (project, one, each)] == [18, 15, 15]
    assert ledger.state(each, "u2").spent == 3
    assert ledger.state(each, "nobody").spent == 0


async def test_a_full_disk_refuses_new_holds_and_loses_no_settlement(
    ledger: SqlLedger, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    budget = _budget(10_000_000)
    entry = entry_of()
    hold = await _held(ledger, entry, ask_of(40), budget)
    pages = _all(database, "pragma page_count")[0][0]
    database.connection.execute(f"pragma max_page_count = {pages}")

    refused = 0
    for _ in range(200):
        try:
            await ledger.reserve(entry_of("u", request_id="x" * 2000), ask_of(1), (budget,))
        except GatewayError as error:
            refused += (error.code, error.retry_after) == ("unavailable", 1)
    assert refused > 0
    assert not ledger.healthy
    before = _all(database, "select count(*) from holds")[0][0]
    await ledger.settle(entry, hold, outcome_of(7))
    database.connection.execute("pragma max_page_count = 1000000")
    async with asyncio.timeout(5):
        while not ledger.healthy:
            await asyncio.sleep(0.05)

    await _held(ledger, entry_of(), ask_of(1), budget)
    assert _all(database, "select cost_nano from ledger where attempt_id = '%s'" % entry.attempt_id) == [(7,)]  # noqa: UP031
    assert _all(database, "select count(*) from holds") == [(before - 1 + 1,)]
    assert ledger.state(budget, None).spent == 7
    assert ledger.held_nano() == _all(database, "select sum(amount_nano) from holds")[0][0]
    assert "cannot be written" in caplog.text


def test_a_second_gateway_on_the_same_directory_is_refused(database: Database) -> None:
    with pytest.raises(DatabaseError, match="another gateway is using"):
        Database(database.directory)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.connection.execute("insert into migrations values (9999, 'x', 'y', 0)")
    database.close()

    with pytest.raises(DatabaseError, match="written by a newer gateway"):
        Database(tmp_path)


def test_a_migration_that_was_changed_after_it_ran_is_refused(database: Database) -> None:
    database.connection.execute("update migrations set checksum = 'other'")

    with pytest.raises(DatabaseError, match="differs"):
        migrate(database.connection)


def test_only_the_owner_may_read_the_data(database: Database) -> None:
    assert (database.directory / "behest.db").stat().st_mode & 0o077 == 0


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from behest_gateway.adapters.sql import database as module

    bad = [(1, "0001_bad.sql", "create table a (x); create table a (x);")]
    monkeypatch.setattr(module, "_migrations", lambda: bad)

    with pytest.raises(apsw.SQLError):
        Database(tmp_path)
    connection = apsw.Connection(str(tmp_path / "behest.db"))
    assert list(connection.execute("select name from sqlite_schema where name = 'a'")) == []
    connection.close()
