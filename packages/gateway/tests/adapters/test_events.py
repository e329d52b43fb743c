"""The outbox: what is written with its deliveries or not at all, read in order, woken for, and forgotten in time."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from behest_gateway.adapters.sql import events as outbox
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.events import SqlEvents, add
from behest_gateway.adapters.sql.webhooks import SqlWebhooks
from behest_gateway.control.events import Told, View
from behest_gateway.control.webhooks import Webhook
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.events import FIELDS, Event, new_event

DAY = 86_400_000_000
PROJECT = View(project_id="p1", tenant_id="t1")


def event(number: int = 1, type_: str = "key_revoked", *, project: str | None = "p1", tenant: str = "t1") -> Event:
    return new_event(type_, tenant_id=tenant, project_id=project, at=number, key_id=f"k{number}")


def webhook(webhook_id: str, *, project: str = "p1", tenant: str = "t1", types: tuple[str, ...] = ()) -> Webhook:
    return Webhook(
        id=webhook_id,
        tenant_id=tenant,
        project_id=project,
        url="https://example.com",
        types=types,
        sealed=b"s",
        created_at=1,
    )


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.close()


def write(database: Database, *events: Event) -> None:
    with database.transaction() as connection:
        add(connection, events)
    database.feed.wake()


def deliveries(database: Database) -> set[tuple[str, int]]:
    return set(database.connection.execute("select webhook_id, seq from webhook_deliveries"))


async def told(database: Database, view: View, after: str | None = None, type_: str | None = None) -> list[Told]:
    return await SqlEvents(database).history(view, after=after, type_=type_, limit=1000)


async def test_events_come_back_as_they_were_written_in_order(database: Database) -> None:
    written = [event(n) for n in (3, 1, 2)]
    write(database, *written)

    read = await told(database, PROJECT)

    assert [each.event for each in read] == written
    assert [each.cursor for each in read] == ["1", "2", "3"]
    assert [each.event for each in await told(database, PROJECT, after="2")] == written[2:]


async def test_what_is_rolled_back_was_neither_told_nor_is_it_delivered(database: Database) -> None:
    SqlWebhooks(database).insert_webhook(webhook("w1"))

    def fail() -> None:
        with database.transaction() as connection:
            add(connection, [event()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert await told(database, PROJECT) == []
    assert deliveries(database) == set()


async def test_an_event_that_is_written_twice_is_told_and_delivered_once(database: Database) -> None:
    SqlWebhooks(database).insert_webhook(webhook("w1"))
    same = event()

    write(database, same)
    write(database, same)

    assert [each.event for each in await told(database, PROJECT)] == [same]
    assert deliveries(database) == {("w1", 1)}


def test_no_events_cost_no_statement(database: Database) -> None:
    said: list[str] = []

    def listen(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        said.append(sql)
        return True

    database.connection.exec_trace = listen
    add(database.connection, [])
    database.connection.exec_trace = None

    assert said == []


async def test_a_project_hears_its_own_its_tenants_and_the_gateways(database: Database) -> None:
    own, other = event(1), event(2, project="p2")
    of_tenant, of_other = event(3, project=None), event(4, project=None, tenant="t2")
    of_gateway = event(5, "kill_switch_on", project=None, tenant="")
    write(database, own, other, of_tenant, of_other, of_gateway)

    assert [each.event for each in await told(database, PROJECT)] == [own, of_tenant, of_gateway]
    assert [each.event for each in await told(database, View())] == [own, other, of_tenant, of_other, of_gateway]
    assert [each.event for each in await told(database, PROJECT, type_="kill_switch_on")] == [of_gateway]
    assert [each.event for each in await told(database, View(), type_="key_revoked")] == [
        own, other, of_tenant, of_other,
    ]  # fmt: skip


async def test_a_page_is_no_longer_than_asked_for_and_starts_at_the_oldest(database: Database) -> None:
    write(database, *(event(n, project=("p1", None)[n % 2]) for n in range(20)))

    for view in (PROJECT, View()):
        page = await SqlEvents(database).history(view, after="3", type_=None, limit=5)
        assert [each.cursor for each in page] == ["4", "5", "6", "7", "8"]


def test_each_webhook_gets_what_it_asked_for_and_hears_of(database: Database) -> None:
    store = SqlWebhooks(database)
    store.insert_webhook(webhook("all"))
    store.insert_webhook(webhook("keys", types=("key_revoked",)))
    store.insert_webhook(webhook("deploys", types=("config_deployed", "budget_alert")))
    store.insert_webhook(webhook("sibling", project="p2"))
    store.insert_webhook(webhook("stranger", project="p3", tenant="t2"))
    off = webhook("off")
    store.insert_webhook(off)
    store.save_webhook(Webhook(**{name: getattr(off, name) for name in off.__struct_fields__} | {"enabled": False}))

    write(
        database,
        event(1),
        event(2, "config_deployed"),
        event(3, project=None),
        event(4, "kill_switch_on", project=None, tenant=""),
        new_event("webhook_test", tenant_id="t1", project_id="p1", at=5, webhook_id="keys"),
    )

    assert deliveries(database) == {
        ("all", 1), ("all", 2), ("all", 3), ("all", 4),
        ("keys", 1), ("keys", 3), ("keys", 5),
        ("deploys", 2),
        ("sibling", 3), ("sibling", 4),
        ("stranger", 4),
    }  # fmt: skip


def test_what_was_told_cannot_be_changed(database: Database) -> None:
    write(database, event())

    with pytest.raises(apsw.ConstraintError, match="append-only"):
        database.connection.execute("update events set type = 'x'")


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 19, "１"])
async def test_a_place_that_is_none_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await told(database, PROJECT, after=cursor)

    assert (caught.value.code, caught.value.param) == ("validation_error", "since")


async def test_a_follower_gets_everything_once_in_order_whenever_it_was_written(database: Database) -> None:
    log, seen = SqlEvents(database), list[str]()
    write(database, *(event(n) for n in range(250)))

    async def follow() -> None:
        async for page in log.follow(PROJECT, after="100", type_=None, patience=60):
            seen.extend(each.cursor for each in page)
            if len(seen) >= 200:
                return

    following = asyncio.create_task(follow())
    for n in range(50):
        write(database, event(n))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await following

    assert seen == [str(n) for n in range(101, 301)]


async def test_a_follower_that_reads_slowly_is_read_ahead_of_by_one_page_at_most(database: Database) -> None:
    pages = SqlEvents(database).follow(PROJECT, after="0", type_=None, patience=60)
    write(database, *(event(n) for n in range(1000)))

    first = await anext(pages)
    write(database, *(event(n) for n in range(1000)))
    second = await anext(pages)
    await pages.aclose()

    assert (len(first), len(second)) == (outbox.PAGE, outbox.PAGE)
    assert second[0].cursor == str(outbox.PAGE + 1)


async def test_a_follower_to_whom_nothing_is_told_gets_signs_of_life_and_ends_with_the_feed(database: Database) -> None:
    pages = SqlEvents(database).follow(PROJECT, after="0", type_=None, patience=0.01)

    async with asyncio.timeout(5):
        assert [await anext(pages), await anext(pages)] == [[], []]
        database.feed.close()
        assert [page async for page in pages] == []


async def test_waiting_for_what_was_told_meanwhile_does_not_wait(database: Database) -> None:
    turn = database.feed.turn
    database.feed.wake()

    async with asyncio.timeout(5):
        await database.feed.after(turn, 60)


async def test_old_events_are_forgotten_with_their_deliveries_but_none_that_is_still_to_be_sent(
    database: Database,
) -> None:
    store = SqlWebhooks(database)
    store.insert_webhook(webhook("w1", types=("config_deployed",)))
    write(database, event(1), event(2, "config_deployed"), event(3, "config_deployed"), event(100 * DAY))
    sent = store.due("w1", DAY)
    assert sent is not None
    store.delivered(sent.id, at=DAY, status=200)

    assert await SqlEvents(database).prune(100 * DAY) == 2

    assert [each.cursor for each in await told(database, PROJECT)] == ["3", "4"]
    assert deliveries(database) == {("w1", 3)}


async def test_only_the_newest_events_of_a_project_are_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "KEEP_EVENTS", 10)
    monkeypatch.setattr(outbox, "PRUNED_AT_ONCE", 4)
    write(database, *(event(n) for n in range(35)), *(event(n, project="p2") for n in range(10)))

    assert await SqlEvents(database).prune(0) == 25

    assert [each.cursor for each in await told(database, PROJECT)] == [str(n) for n in range(26, 36)]
    assert len(await told(database, View())) == 20


async def test_a_place_is_never_given_twice_though_everything_was_forgotten(database: Database) -> None:
    write(database, event(1), event(2))
    await SqlEvents(database).prune(100 * DAY)
    write(database, event(3))

    assert [each.cursor for each in await told(database, PROJECT, after="2")] == ["3"]
    assert await SqlEvents(database).newest() == "3"


def test_an_event_is_flat_text_and_its_own_fields_never_hide_those_of_every_event() -> None:
    odd = Event(
        id="e1", type="budget_alert", tenant_id="t1", project_id=None, at=1_795_438_145_000_001,
        fields={"percent": "80", "tenant_id": "t2"},
    )  # fmt: skip

    assert odd.flat == {
        "id": "e1", "type": "budget_alert", "tenant_id": "t1", "project_id": "", "timestamp": "1795438145.000001",
        "percent": "80",
    }  # fmt: skip


def test_the_published_names_have_their_fields() -> None:
    published = ("scope", "limit", "used", "percent", "window")

    assert (FIELDS["budget_alert"], FIELDS["budget_exceeded"]) == (published, published)
    assert {"kill_switch_on", "kill_switch_off", "config_deployed", "key_revoked"} < set(FIELDS)
