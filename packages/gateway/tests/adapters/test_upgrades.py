"""A data directory of an earlier gateway opens in this one with its money right, holds of a dead process included."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import apsw
from behest_gateway.adapters.sql.control import ControlStore
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.adapters.sql.verify import verify
from msgspec import json

NOON = 1_795_003_200_000_000
"""2026-11-18 12:00 UTC."""

DAY, MONTH = "2026-11-18", "2026-11"


class Clock:
    """A clock that stands still."""

    def now_us(self) -> int:
        return NOON + 60_000_000


def _of_schema(number: int, folder: Path) -> apsw.Connection:
    """A data directory as it was after so many migrations."""
    folder.mkdir(parents=True)
    connection = apsw.Connection(str(folder / "behest.db"))
    connection.execute("pragma journal_mode = wal")
    connection.execute(
        "create table migrations (number integer primary key, name text not null, checksum text not null,"
        " applied_at integer not null) strict"
    )
    files = sorted(
        resources.files("behest_gateway.adapters.sql").joinpath("migrations").iterdir(), key=lambda f: f.name
    )
    for at, file in enumerate(files[:number], start=1):
        text = file.read_text("utf-8")
        connection.execute(text)
        row = (at, file.name, hashlib.sha256(text.encode()).hexdigest(), 0)
        connection.execute("insert into migrations values (?, ?, ?, ?)", row)
    return connection


def _row(connection: apsw.Connection, attempt: str, user_ref: int, cost: int) -> None:
    connection.execute(
        "insert into ledger (attempt_id, request_id, attempt, operation, started_at, settled_at, tenant_id, project_id,"
        " user_ref, provider, model_asked, model, stream, input_tokens, output_tokens, hold_nano, cost_nano,"
        " price_version, price_hash, state, status, latency_us) values"
        " (?, 'r', 1, 'chat', ?, ?, 't', 'p', ?, 'openai', '', 'm', 0, 3, 2, 40, ?, 'v', 'h', 'settled', 200, 1)",
        (attempt, NOON, NOON, user_ref, cost),
    )


def _hold(connection: apsw.Connection, attempt: str) -> None:
    entry = {
        "attempt_id": attempt, "request_id": "r", "attempt": 1, "operation": "chat", "started_at": NOON,
        "tenant_id": "t", "project_id": "p", "user_id": "ada", "api_key_id": None, "session_id": "s", "thread_id": None,
        "tier": None, "provider": "openai", "model_asked": "", "model": "m", "stream": False, "price_version": "v",
        "price_hash": "h", "byok": False,
    }  # fmt: skip
    counters = [["day", 0, DAY], ["each", 1, MONTH], ["ada's", 0, DAY]]
    journal = json.encode({"entry": entry, "user_ref": 1, "counters": counters}).decode()
    connection.execute("insert into holds values (?, 40, ?, ?)", (attempt, NOON, journal))


def test_budgets_counters_and_open_holds_of_schema_three_are_carried_over(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    connection = _of_schema(3, folder)
    connection.execute("insert into tenants values ('t', 'T', 'free', 0)")
    connection.execute("insert into projects values ('p', 't', 'P', 'p', 'active', 'READY', '{}', null, 0)")
    connection.execute("insert into users values (1, 'p', 'ada', 0), (2, 'p', 'bob', 0)")
    connection.execute(
        "insert into budgets values ('day', 'p', 'project', null, 'day', 'UTC', 1000, 1, null),"
        " ('each', 'p', 'each_user', null, 'month', 'UTC', 500, 2, null),"
        " ('ada''s', 'p', 'user', 1, 'day', 'UTC', 900, 3, null)"
    )
    _row(connection, "a1", 1, 30)
    _row(connection, "a2", 2, 20)
    connection.execute(
        "insert into counters values"
        " ('day', 0, ?1, 50), ('each', 1, ?2, 30), ('each', 2, ?2, 20), ('ada''s', 0, ?1, 30)",
        (DAY, MONTH),
    )
    _hold(connection, "a3")
    connection.close()

    database = Database(folder)
    ledger = SqlLedger(database, Clock())
    day, each, adas = ControlStore(database).budgets(None)
    states = [ledger.state(day, None), ledger.state(each, "ada"), ledger.state(each, "bob"), ledger.state(adas, "ada")]
    row = list(database.connection.execute("select state, cost_nano, budgets from ledger where attempt_id = 'a3'"))
    database.close()

    assert ledger.recovered == 1
    assert row == [("unconfirmed", 40, "day,each,ada's")]
    assert [(state.budget.limit, state.spent, state.held) for state in states] == [
        (1000, 90, 0), (500, 70, 0), (500, 20, 0), (900, 70, 0),
    ]  # fmt: skip
    assert (adas.scope, adas.subject, adas.mode, adas.thresholds) == ("user", "ada", "enforce", (50, 80, 100))
    assert [each for each in verify(folder).differences if each.what == "counter"] == []
