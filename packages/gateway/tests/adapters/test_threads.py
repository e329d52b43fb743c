"""Conversations on a real file: what is kept with its settlement, sealed for its place, and forgotten in time."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from behest_gateway.adapters.memory import MemoryDirectory
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.adapters.sql.threads import FORGOTTEN_AT_ONCE, MOST_BYTES, READ_AT_ONCE, SqlThreads
from behest_gateway.adapters.vault import Vault
from behest_gateway.control.threads import prune
from behest_gateway.core.budgets import Amounts
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Entry, Hold, Outcome
from behest_gateway.core.snapshot import ProjectSettings, ProjectSnapshot
from behest_gateway.core.threads import Conversation, Turn
from behest_gateway.core.tiers import Tier, TierValues
from behest_gateway.stages.admit.ports import Ask
from msgspec import json

from . import booking
from .booking import DAY, HOUR, Time


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    database.connection.execute("insert into tenants values ('t', 'T', 'free', 0)")
    for project in ("p", "q"):
        database.connection.execute(
            "insert into projects values (?1, 't', 'P', ?1, 'active', 'READY', '{}', null, 0)", (project,)
        )
    users = [(1, "p", "ada"), (2, "p", "bob"), (3, "q", "ada")]
    database.connection.executemany("insert into users values (?, ?, ?, 0)", users)
    yield database
    database.close()


USERS = {("p", "ada"): 1, ("p", "bob"): 2, ("q", "ada"): 3}


@pytest.fixture
def threads(database: Database, time: Time) -> SqlThreads:
    return SqlThreads(database, Vault(bytes(range(32))), time, seals=False)


@pytest.fixture
def sealing(database: Database, time: Time) -> SqlThreads:
    return SqlThreads(database, Vault(bytes(range(32))), time, seals=True)


def where(name: str = "t", user: str = "ada", project: str = "p", **more: Any) -> Conversation:
    values: dict[str, Any] = {"kind": "thread", "tier": None, "window": 20, "with_tools": True, **more}
    return Conversation(project_id=project, user_id=user, name=name, **values)


def turn(text: str, conversation: Conversation | None = None, **more: Any) -> Turn:
    said = [({"role": "user", "content": text}, None), ({"role": "assistant", "content": text.upper()}, "stop")]
    values: dict[str, Any] = {"ref": None, "replaces": None, "title": text, **more}
    messages = tuple([(json.encode(message), reason) for message, reason in said])
    return Turn(conversation=conversation or where(), messages=messages, **values)


def write(database: Database, threads: SqlThreads, *turns: Turn) -> None:
    with database.transaction() as connection:
        threads.write(connection, [(USERS[t.conversation.project_id, t.conversation.user_id], t) for t in turns])


async def texts(threads: SqlThreads, conversation: Conversation, last: int | None = None) -> list[str]:
    found = await threads.recall(conversation, last)
    return [] if found is None else [stored.message["content"] for stored in found.messages]


async def test_turns_are_read_in_order_all_or_the_last(database: Database, threads: SqlThreads) -> None:
    write(database, threads, turn("a"), turn("b"))
    write(database, threads, turn("c"))

    assert await texts(threads, where()) == ["a", "A", "b", "B", "c", "C"]
    assert await texts(threads, where(), 3) == ["B", "c", "C"]
    found = await threads.recall(where(), 6)
    assert found is not None
    assert found.is_whole
    assert [s.position for s in found.messages] == [0, 1, 2, 3, 4, 5]


async def test_a_long_thread_is_read_as_well(database: Database, threads: SqlThreads) -> None:
    write(database, threads, *[turn(f"q{number}") for number in range(READ_AT_ONCE)])

    assert len(await texts(threads, where())) == 2 * READ_AT_ONCE


async def test_of_a_very_large_conversation_only_the_end_is_recalled(database: Database, threads: SqlThreads) -> None:
    large = "x" * (MOST_BYTES // 5)
    write(database, threads, *[turn(large) for _ in range(4)])

    found = await threads.recall(where(), None)

    assert found is not None
    assert (found.is_whole, [s.position for s in found.messages]) == (False, [4, 5, 6, 7])


async def test_conversations_of_others_and_of_other_kinds_are_apart(database: Database, threads: SqlThreads) -> None:
    places = [where(), where(user="bob"), where(project="q"), where(name="u"), where(kind="session")]
    for number, place in enumerate(places):
        write(database, threads, turn(f"q{number}", place))

    for number, place in enumerate(places):
        assert await texts(threads, place) == [f"q{number}", f"Q{number}"]
    assert {thread.id for thread in await threads.threads("p", "ada", 10)} == {"t", "u"}
    assert await threads.thread("p", "carol", "t") is None


async def test_a_turn_may_replace_what_came_before(database: Database, threads: SqlThreads) -> None:
    write(database, threads, turn("a"), turn("b"))
    found = await threads.recall(where(), None)
    assert found is not None

    write(database, threads, turn("c", ref=found.ref, replaces=(2, 3)))

    assert await texts(threads, where()) == ["a", "A", "c", "C"]


async def test_a_turn_of_a_deleted_thread_is_dropped_even_when_there_is_a_new_one(
    database: Database, threads: SqlThreads
) -> None:
    write(database, threads, turn("a"))
    found = await threads.recall(where(), None)
    assert found is not None
    assert await threads.delete("p", "ada", "t")
    write(database, threads, turn("late", ref=found.ref))
    assert await threads.recall(where(), None) is None

    write(database, threads, turn("new"))
    write(database, threads, turn("late", ref=found.ref))

    assert await texts(threads, where()) == ["new", "NEW"]


async def test_deleting_leaves_no_message_and_nothing_in_the_file(
    database: Database, threads: SqlThreads, tmp_path: Path
) -> None:
    write(database, threads, turn("a canary here"), turn("b", where("other")))

    assert await threads.delete("p", "ada", "t")
    assert not await threads.delete("p", "ada", "t")

    assert await texts(threads, where("other")) == ["b", "B"]
    assert next(database.connection.execute("select count(*) from messages"))[0] == 2
    database.close()
    assert b"canary" not in (tmp_path / "behest.db").read_bytes()


@pytest.mark.parametrize("erase", ["delete from users where id = 1", "update users set uid = null where id = 1"])
async def test_erasing_a_person_erases_their_conversations(database: Database, threads: SqlThreads, erase: str) -> None:
    write(database, threads, turn("a"), turn("b", where(user="bob")))

    database.connection.execute(erase)

    assert list(database.connection.execute("select user_ref from threads")) == [(2,)]
    assert next(database.connection.execute("select count(*) from messages"))[0] == 2


async def test_what_the_schema_refuses_does_not_keep_the_rest_from_being_written(
    database: Database, threads: SqlThreads, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), database.transaction() as connection:
        threads.write(connection, [(99, turn("a canary here")), (1, turn("b"))])

    assert await texts(threads, where()) == ["b", "B"]
    assert "could not be kept" in caplog.text
    assert "canary" not in caplog.text


# Sealed -------------------------------------------------------------------------------------------------------------


async def test_sealed_messages_and_titles_are_read_as_they_were(database: Database, sealing: SqlThreads) -> None:
    write(database, sealing, turn("a canary"))

    assert await texts(sealing, where()) == ["a canary", "A CANARY"]
    [thread] = await sealing.threads("p", "ada", 10)
    assert thread.title == "a canary"
    stored = list(database.connection.execute("select content from messages union all select title from threads"))
    assert [row for row in stored if b"canary" in row[0].lower()] == []


@pytest.mark.parametrize(
    "move",
    [
        "update messages set content = (select content from messages where position = 1) where position = 0",
        "update messages set content = substr(content, 1, 80)",
        "update messages set content = (select title from threads limit 1)",
        "update threads set project_id = 'q', user_ref = 3",
        "update messages set thread_id = (select max(id) from threads) where thread_id = (select min(id) from threads)",
    ],
    ids=["to another place", "cut", "a title", "to another project", "to another thread"],
)
async def test_a_sealed_message_opens_only_where_it_belongs(
    database: Database, sealing: SqlThreads, caplog: pytest.LogCaptureFixture, move: str
) -> None:
    write(database, sealing, turn("a canary"))
    database.connection.execute(
        "insert into threads (id, project_id, user_ref, kind, name, created_at, oldest_at, last_message_at, "
        "next_position) values (50, 'p', 1, 'thread', 'other', 0, 0, 0, 2)"
    )
    database.connection.execute("pragma foreign_keys = off")

    database.connection.execute(move)

    refused: list[GatewayError] = []
    for place in (where(), where("other"), where(project="q")):
        try:
            assert not await texts(sealing, place)
        except GatewayError as error:
            refused.append(error)
    assert [(error.status, "canary" in error.message) for error in refused] == [(500, False)]
    assert "canary" not in caplog.text


async def test_another_master_key_opens_nothing(database: Database, sealing: SqlThreads, time: Time) -> None:
    write(database, sealing, turn("a canary"))
    other = SqlThreads(database, Vault(bytes(range(1, 33))), time, seals=True)

    with pytest.raises(GatewayError) as caught:
        await other.recall(where(), None)
    assert caught.value.code == "server_error"


# Forgotten ----------------------------------------------------------------------------------------------------------


def published(days: int, **tiers: int) -> MemoryDirectory:
    directory = MemoryDirectory()
    rows = tuple(Tier(id=n, name=n, overrides=TierValues(retention_days=d)) for n, d in tiers.items())
    directory.publish_project(
        ProjectSnapshot(
            id="p", tenant_id="t", name="P", slug="p", settings=ProjectSettings(retention_days=days), tiers=rows
        )
    )
    return directory


async def test_messages_are_forgotten_when_their_project_keeps_them_no_longer(
    database: Database, threads: SqlThreads, time: Time
) -> None:
    write(database, threads, turn("a"), turn("gone", where("old")))
    time.us += 5 * DAY
    write(database, threads, turn("b"), turn("other project", where(project="q")))
    time.us += 6 * DAY

    assert await prune(threads, published(0), time) == 0
    assert await prune(threads, published(10), time) == 2

    assert await texts(threads, where()) == ["b", "B"]
    assert [thread.id for thread in await threads.threads("p", "ada", 10)] == ["t"]
    assert await texts(threads, where(project="q")) == ["other project", "OTHER PROJECT"]
    assert await prune(threads, published(10), time) == 0


async def test_a_tier_may_keep_them_longer(database: Database, threads: SqlThreads, time: Time) -> None:
    write(database, threads, turn("a"), turn("b", where("paid", tier="max")))
    time.us += 20 * DAY

    await prune(threads, published(10, max=0), time)

    assert [thread.id for thread in await threads.threads("p", "ada", 10)] == ["paid"]


async def test_many_threads_are_forgotten_in_steps(database: Database, threads: SqlThreads, time: Time) -> None:
    write(database, threads, *[turn("a", where(f"t{number}")) for number in range(2 * FORGOTTEN_AT_ONCE + 3)])
    time.us += 2 * DAY

    assert await prune(threads, published(1), time) == 2 * FORGOTTEN_AT_ONCE + 3
    assert await threads.threads("p", "ada", 1000) == []


async def test_a_deleted_project_leaves_no_conversation(database: Database, threads: SqlThreads, time: Time) -> None:
    write(database, threads, turn("a"), turn("b", where(project="q")))
    database.connection.execute("update projects set status = 'deleted' where id = 'q'")

    assert await prune(threads, published(0), time) == 1

    assert await texts(threads, where()) == ["a", "A"]
    assert await texts(threads, where(project="q")) == []


async def test_a_session_is_remembered_for_a_day_after_its_last_message(
    database: Database, threads: SqlThreads, time: Time
) -> None:
    session = where(kind="session")
    write(database, threads, turn("a", session))
    time.us += 23 * HOUR
    write(database, threads, turn("b", session))
    time.us += 23 * HOUR
    assert await texts(threads, session) == ["a", "A", "b", "B"]

    time.us += 2 * HOUR
    found = await threads.recall(session, None)
    assert found is not None
    assert (found.messages, found.expired) == ((), (0, 3))
    write(database, threads, turn("c", session, ref=found.ref, replaces=found.expired))
    assert await texts(threads, session) == ["c", "C"]

    time.us += 25 * HOUR
    assert await prune(threads, published(0), time) == 1
    assert next(database.connection.execute("select count(*) from threads"))[0] == 0


# With the ledger ----------------------------------------------------------------------------------------------------


async def test_a_turn_and_its_settlement_are_written_both_or_neither(
    database: Database, threads: SqlThreads, time: Time
) -> None:
    ledger = SqlLedger(database, time, threads.write)
    entry, ask = attempt("ada", time)
    hold = await ledger.reserve(entry, ask, ())
    assert isinstance(hold, Hold)
    pages = next(database.connection.execute("pragma page_count"))[0]
    database.connection.execute(f"pragma max_page_count = {pages}")

    await ledger.settle(entry, hold, outcome(turn("x" * 100_000)))

    assert not ledger.healthy
    assert list(database.connection.execute("select attempt_id from ledger")) == []
    assert await texts(threads, where()) == []
    database.connection.execute("pragma max_page_count = 1000000")
    async with asyncio.timeout(5):
        while not ledger.healthy:
            await asyncio.sleep(0.05)
    assert list(database.connection.execute("select attempt_id from ledger")) == [(entry.attempt_id,)]
    assert [len(text) for text in await texts(threads, where())] == [100_000, 100_000]


async def test_an_attempt_that_is_settled_twice_has_one_turn(
    database: Database, threads: SqlThreads, time: Time
) -> None:
    ledger = SqlLedger(database, time, threads.write)
    entry, ask = attempt("somebody new", time)
    hold = await ledger.reserve(entry, ask, ())
    assert isinstance(hold, Hold)
    conversation = where(user="somebody new")

    await ledger.settle(entry, hold, outcome(turn("a", conversation)))
    await ledger.settle(entry, hold, outcome(turn("a", conversation)))

    assert await texts(threads, conversation) == ["a", "A"]


def attempt(user: str, time: Time) -> tuple[Entry, Ask]:
    return booking.entry_of(user, time, session_id=None, thread_id="t", tier=None), booking.ask_of(0)


def outcome(turn: Turn) -> Outcome:
    return booking.outcome_of(0, charged=Amounts(0, 5, 1), turn=turn)
