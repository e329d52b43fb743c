"""Deliveries from a real outbox to real receivers on loopback, by a clock that the test moves."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.events import add
from behest_gateway.adapters.sql.webhooks import SqlWebhooks
from behest_gateway.adapters.vault import Vault
from behest_gateway.adapters.webhooks import WebhookSender
from behest_gateway.control.delivering import Deliverer
from behest_gateway.control.webhook_rules import RETRY_SECONDS, new_secret
from behest_gateway.control.webhooks import SECRET_FIELD, Delivery, Webhook
from behest_gateway.core.events import new_event
from msgspec.structs import replace

START = 1_795_000_000_000_000


class MovableClock:
    """Time as the test wants it, in microseconds."""

    def __init__(self) -> None:
        self.now = START

    def now_us(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


class Receiver:
    """An HTTP server that answers with a status of the test's choice, or keeps silent for None."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Callable[[dict[str, str]], int | None] = lambda _: 204
        self.heads: list[dict[str, str]] = []
        self.bodies: list[dict[str, str]] = []
        self.asked = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0

    @property
    def numbers(self) -> list[str]:
        """Which events arrived, in order."""
        return [body["key_id"] for body in self.bodies]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
            head = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines}
            body = json.loads(await reader.readexactly(int(head["content-length"])))
            self.heads.append(head)
            self.bodies.append(body)
            self.asked.set()
            status = self.answer(body)
            if status is None:
                await reader.read()
                return
            writer.write(
                f"HTTP/1.1 {status} X\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".encode()
            )
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.at_once -= 1
            writer.close()


class World:
    """An outbox, a deliverer, and receivers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = MovableClock()
        self.vault = Vault(bytes(range(32)))
        self.sender = WebhookSender(allow_private=True)
        self.open()

    def open(self) -> None:
        """Begin, or begin again after the process died."""
        self.database = Database(self.folder)
        self.store = SqlWebhooks(self.database)
        self.deliverer = Deliverer(
            self.store, self.sender, self.vault, self.database.feed, self.clock, luck=lambda: 0.0
        )

    def webhook(self, name: str, url: str) -> str:
        """Make a webhook; returns its secret."""
        secret = new_secret()
        sealed = self.vault.seal(secret.encode(), owner="p1", kid=name, field=SECRET_FIELD)
        self.store.insert_webhook(
            Webhook(id=name, tenant_id="t1", project_id="p1", url=url, types=(), sealed=sealed, created_at=1)
        )
        return secret

    def tell(self, *numbers: int | str) -> None:
        """Write events."""
        with self.database.transaction() as connection:
            at = self.clock.now
            add(
                connection,
                [new_event("key_revoked", tenant_id="t1", project_id="p1", at=at, key_id=str(n)) for n in numbers],
            )
        self.database.feed.wake()

    def states(self, name: str = "w1") -> list[tuple[str, int]]:
        """State and attempts of each delivery, oldest first."""
        return [(d.state, d.attempts) for d in reversed(self.deliveries(name))]

    def deliveries(self, name: str = "w1") -> list[Delivery]:
        return self.store.deliveries(name, state=None, event_id=None, limit=1000)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.deliverer.close()
    world.sender.close()
    world.database.close()


@pytest.fixture
async def receivers() -> AsyncIterator[Callable[[], Receiver]]:
    """Makes receivers, on ports that were bound beforehand so that making one awaits nothing."""
    servers: list[asyncio.Server] = []
    ready: list[Receiver] = []
    for _ in range(3):
        receiver = Receiver()
        server = await asyncio.start_server(receiver.connected, "127.0.0.1", 0)
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        servers.append(server)
        ready.append(receiver)
    yield ready.pop
    for server in servers:
        server.close()


async def test_events_arrive_once_in_order_one_at_a_time(world: World, receivers: Callable[[], Receiver]) -> None:
    receiver = receivers()
    world.webhook("w1", receiver.url)
    world.tell(*range(20))

    await world.deliverer.deliver_due()
    await world.deliverer.deliver_due()

    assert receiver.numbers == [str(n) for n in range(20)]
    assert receiver.most_at_once == 1
    assert world.states() == [("delivered", 1)] * 20
    assert {d.last_status for d in world.deliveries()} == {204}


async def test_a_receiver_that_is_down_for_a_day_gets_its_events_under_the_same_id(
    world: World, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    receiver.answer = lambda _: 503
    world.webhook("w1", receiver.url)
    world.tell("k1")
    waited: list[float] = []

    await world.deliverer.deliver_due()
    while (world.clock.now - START) / 1_000_000 < 24 * 3600:
        (delivery,) = world.deliveries()
        assert (delivery.state, delivery.last_status) == ("pending", 503)
        waited.append((delivery.next_at - world.clock.now) / 1_000_000)
        world.clock.now = delivery.next_at - 1
        attempts = len(receiver.bodies)
        await world.deliverer.deliver_due()
        assert len(receiver.bodies) == attempts, "it was tried before its time"
        world.clock.now += 1
        if (world.clock.now - START) / 1_000_000 >= 24 * 3600:
            receiver.answer = lambda _: 200
        await world.deliverer.deliver_due()

    assert tuple(waited) == RETRY_SECONDS
    assert world.states() == [("delivered", len(RETRY_SECONDS) + 1)]
    assert len({head["webhook-id"] for head in receiver.heads}) == 1
    assert len({head["webhook-timestamp"] for head in receiver.heads}) == len(RETRY_SECONDS) + 1


async def test_what_never_arrives_is_dead_and_arrives_when_it_is_replayed(
    world: World, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    receiver.answer = lambda _: 500
    world.webhook("w1", receiver.url)
    world.tell("k1")
    for _ in range(20):
        await world.deliverer.deliver_due()
        world.clock.pass_(24 * 3600)

    assert world.states() == [("dead", len(RETRY_SECONDS) + 1)]
    assert len(receiver.bodies) == len(RETRY_SECONDS) + 1
    assert world.deliveries()[0].last_error == "the receiver answered 500"

    receiver.answer = lambda _: 204
    world.store.replay(world.deliveries()[0].id, world.clock.now)
    await world.deliverer.deliver_due()

    assert world.states() == [("delivered", 1)]
    assert len({head["webhook-id"] for head in receiver.heads}) == 1


async def test_a_dead_receiver_holds_no_other_up(world: World, receivers: Callable[[], Receiver]) -> None:
    dead, alive = receivers(), receivers()
    dead.answer = lambda _: None
    world.webhook("dead", dead.url)
    world.webhook("alive", alive.url)
    world.tell(*range(50))

    delivering = asyncio.create_task(world.deliverer.run())
    async with asyncio.timeout(5):
        await dead.asked.wait()
        while len(alive.bodies) < 50:
            alive.asked.clear()
            await alive.asked.wait()
    delivering.cancel()

    assert alive.numbers == [str(n) for n in range(50)]
    assert (len(dead.bodies), dead.most_at_once) == (1, 1)
    assert world.states("dead") == [("pending", 0)] * 50


async def test_an_event_that_a_receiver_chokes_on_does_not_keep_the_others_away(
    world: World, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    receiver.answer = lambda body: 500 if body["key_id"] == "poison" else 200
    world.webhook("w1", receiver.url)
    world.tell(1, "poison", 2, 3)

    await world.deliverer.deliver_due()

    assert receiver.numbers == ["1", "poison", "2", "3"]
    assert [state for state, _ in world.states()] == ["delivered", "pending", "delivered", "delivered"]


async def test_410_turns_the_webhook_off_and_buries_what_was_pending(
    world: World, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    receiver.answer = lambda _: 410
    world.webhook("w1", receiver.url)
    world.tell(1, 2)
    await world.deliverer.deliver_due()
    world.tell(3)
    await world.deliverer.deliver_due()

    webhook = world.store.webhook("p1", "w1")
    assert webhook is not None
    assert (webhook.enabled, webhook.disabled_reason) == (False, "gone")
    assert (receiver.numbers, world.states()) == (["1"], [("dead", 1), ("dead", 0)])

    receiver.answer = lambda _: 200
    world.store.save_webhook(replace(webhook, enabled=True, disabled_reason=None))
    for delivery in world.deliveries():
        world.store.replay(delivery.id, world.clock.now)
    await world.deliverer.deliver_due()
    assert receiver.numbers == ["1", "1", "2"]


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failed_delivery(world: World, receivers: Callable[[], Receiver], status: int) -> None:
    receiver = receivers()
    receiver.answer = lambda _: status
    world.webhook("w1", receiver.url)
    world.tell(1)

    await world.deliverer.deliver_due()

    (delivery,) = world.deliveries()
    assert (delivery.state, delivery.last_status) == ("pending", status)
    assert delivery.last_error == f"the receiver answered {status}; redirects are not followed"


async def test_what_waits_while_a_webhook_is_off_is_sent_when_it_is_on_again(
    world: World, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    world.webhook("w1", receiver.url)
    world.tell(1)
    webhook = world.store.webhook("p1", "w1")
    assert webhook is not None
    world.store.save_webhook(replace(webhook, enabled=False))
    await world.deliverer.deliver_due()
    assert receiver.numbers == []

    world.store.save_webhook(replace(webhook, enabled=True))
    await world.deliverer.deliver_due()
    assert receiver.numbers == ["1"]


async def test_a_webhook_that_is_dropped_while_it_is_sent_to_leaves_nothing(
    world: World, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()

    def drop(_: dict[str, str]) -> int:
        world.store.delete_webhook("w1")
        return 500

    receiver.answer = drop
    world.webhook("w1", receiver.url)
    world.tell(1, 2)

    await world.deliverer.deliver_due()

    assert (receiver.numbers, world.deliveries(), world.store.has_pending()) == (["1"], [], False)


async def test_an_earlier_secret_signs_as_well_until_its_overlap_ends(
    world: World, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    world.webhook("w1", receiver.url)
    webhook = world.store.webhook("p1", "w1")
    assert webhook is not None
    fresh = world.vault.seal(new_secret().encode(), owner="p1", kid="w1", field=SECRET_FIELD)
    until = world.clock.now + 3_600_000_000
    world.store.save_webhook(replace(webhook, sealed=fresh, earlier_sealed=webhook.sealed, earlier_until=until))

    world.tell(1)
    await world.deliverer.deliver_due()
    world.clock.pass_(3600)
    world.tell(2)
    await world.deliverer.deliver_due()

    assert [len(head["webhook-signature"].split(" ")) for head in receiver.heads] == [2, 1]


async def test_a_secret_that_cannot_be_opened_is_a_failed_delivery_and_is_not_shown(
    world: World, receivers: Callable[[], Receiver], caplog: pytest.LogCaptureFixture
) -> None:
    receiver = receivers()
    secret = world.webhook("w1", receiver.url)
    world.tell(1)
    world.vault = Vault(bytes(32)[:-1] + b"\1")
    world.database.close()
    world.open()

    await world.deliverer.deliver_due()

    (delivery,) = world.deliveries()
    assert (delivery.state, receiver.numbers) == ("pending", [])
    assert "master key" in (delivery.last_error or "")
    assert secret not in caplog.text


async def test_what_was_under_way_when_the_process_died_is_sent_again_under_the_same_id(
    world: World, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    receiver.answer = lambda _: None
    world.webhook("w1", receiver.url)
    world.tell(1)
    delivering = asyncio.create_task(world.deliverer.run())
    async with asyncio.timeout(5):
        await receiver.asked.wait()
    delivering.cancel()
    await world.deliverer.close()
    world.database.close()

    receiver.answer = lambda _: 200
    world.open()
    await world.deliverer.deliver_due()

    assert receiver.numbers == ["1", "1"]
    assert receiver.heads[0]["webhook-id"] == receiver.heads[1]["webhook-id"]
    assert world.states() == [("delivered", 1)]
