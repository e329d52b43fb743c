"""Events from outside: a stream that neither loses nor repeats, and webhooks that arrive whatever is killed."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import httpx
import psutil
import pytest

from ..support.gateway import Gateway, running_gateway, start_gateway
from ..support.provider import Provider
from ..support.receiver import Receiver, receiving, until
from ..support.world import World

PRIVATE = {"BEHEST_GATEWAY_WEBHOOKS_ALLOW_PRIVATE": "true"}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def sending(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway that may send webhooks to loopback."""
    with running_gateway(tmp_path_factory.mktemp("sending"), provider.openai_base_url, **PRIVATE) as gateway:
        yield gateway


@pytest.fixture
def world(sending: Gateway, provider: Provider) -> World:
    """A tenant and a project of one's own."""
    return World(sending, provider, sending.new_tenant())


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """A receiver that takes everything."""
    with receiving() as receiver:
        yield receiver


def revoke_a_key(world: World) -> str:
    """Make an event; returns the key's id, which it names."""
    key_id: str = world.new_key()["id"]
    world.manage("DELETE", f"/keys/{key_id}")
    return key_id


def history(world: World) -> list[dict[str, str]]:
    """Every event of a project."""
    page: list[dict[str, str]] = world.manage("GET", "/events?limit=1000")["data"]
    return page


def add_webhook(world: World, receiver: Receiver, **more: Any) -> dict[str, Any]:
    """Make a webhook; the answer, with its secret."""
    webhook: dict[str, Any] = world.manage("POST", "/webhooks", {"url": receiver.url, **more})
    return webhook


class Reader:
    """A stream of events that is open."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def comment(self) -> None:
        """Read the comment that a stream begins with."""
        assert (next(self._lines), next(self._lines)) == (":", "")

    def event(self) -> tuple[str, str, dict[str, str]]:
        """Read the next event: its id, its type and its fields. Comments are passed over."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                assert set(fields) == {"id", "event", "data"}
                data: dict[str, str] = json.loads(fields["data"])
                return fields["id"], fields["event"], data
        raise AssertionError("the stream has ended")

    def rest(self) -> list[str]:
        """Read to the end."""
        return [line for line in self._lines if line]


@contextmanager
def reading(world: World, **headers: str) -> Generator[Reader]:
    """Open a project's stream, and wait until it has begun."""
    path = f"/v1/projects/{world.project_id}/events"
    asked = {**world.gateway.operator, **STREAM, **headers}
    with world.client.stream("GET", path, headers=asked) as response:
        assert response.status_code == 200, response.read()
        reader = Reader(response)
        reader.comment()
        yield reader


def test_a_stream_tells_what_happens_as_it_happens_with_lf_alone(world: World) -> None:
    revoke_a_key(world)
    with reading(world) as reader:
        assert reader.response.headers["content-type"].startswith("text/event-stream")
        assert reader.response.headers["cache-control"] == "no-store"
        key_id = revoke_a_key(world)
        cursor, type_, event = reader.event()

    assert (type_, event["key_id"], event["type"]) == ("key_revoked", key_id, "key_revoked")
    assert event == history(world)[-1]
    assert int(cursor) > 1
    with world.client.stream(
        "GET", f"/v1/projects/{world.project_id}/events?since=0", headers={**world.gateway.operator, **STREAM}
    ) as raw:
        seen = b""
        for chunk in raw.iter_raw():
            seen += chunk
            if seen.count(b"\nevent: ") == 2:
                break
    assert b"\r" not in seen
    assert seen.startswith(b":\n\nid: ")
    assert seen.endswith(b"}\n\n")


def test_a_reader_who_comes_back_misses_nothing_and_sees_nothing_twice(world: World) -> None:
    told = [revoke_a_key(world)]
    with reading(world, **{"Last-Event-ID": "0"}) as reader:
        cursor, _, event = reader.event()
        seen = [event["key_id"]]
    for _ in range(3):
        told += [revoke_a_key(world) for _ in range(3)]
        with reading(world, **{"Last-Event-ID": cursor}) as reader:
            told.append(revoke_a_key(world))
            for _ in range(4):
                cursor, _, event = reader.event()
                seen.append(event["key_id"])

    assert seen == told


def test_a_reader_who_leaves_makes_room_for_another(world: World) -> None:
    for _ in range(3):
        for _ in range(20):
            with reading(world):
                pass

    def has_room() -> bool:
        path = f"/v1/projects/{world.project_id}/events"
        with world.client.stream("GET", path, headers={**world.gateway.operator, **STREAM}) as answer:
            return answer.status_code == 200

    until(has_room)


def test_a_reader_who_reads_nothing_costs_no_memory_and_holds_nobody_up(world: World) -> None:
    gateway = world.gateway
    filler = json.dumps({"filler": "x" * 1000})
    connection = apsw.Connection(str(gateway.data_dir / "behest.db"))
    connection.set_busy_timeout(5000)
    with connection:
        connection.executemany(
            "insert into events (id, type, tenant_id, project_id, at, fields) values (?, 'key_revoked', 't', ?, ?, ?)",
            ((f"filler-{n}", world.project_id, time.time_ns() // 1000, filler) for n in range(30_000)),
        )
    connection.close()
    process = psutil.Process(gateway.server.pid)
    history(world)
    before = process.memory_info().rss

    url = httpx.URL(gateway.base_url)
    with socket.create_connection((url.host, url.port or 80)) as deaf:
        asked = (
            f"GET /v1/projects/{world.project_id}/events?since=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        )
        deaf.sendall(f"{asked}Authorization: Bearer {gateway.admin_token}\r\n\r\n".encode())
        assert deaf.recv(15) == b"HTTP/1.1 200 OK"
        with reading(world) as reader:
            key_id = revoke_a_key(world)
            assert reader.event()[2]["key_id"] == key_id
        for _ in range(20):
            history(world)
        grown = process.memory_info().rss - before

    assert grown < 12_000_000, f"30 MB of events wait for a deaf reader, and {grown} bytes of memory"


def test_a_stream_ends_cleanly_when_the_gateway_stops(provider: Provider, tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path / "data", provider.openai_base_url)
    world = World(gateway, provider, gateway.new_tenant())
    with httpx.Client(base_url=gateway.base_url, timeout=20) as client:
        asked = {**gateway.operator, **STREAM}
        with client.stream("GET", f"/v1/projects/{world.project_id}/events", headers=asked) as response:
            reader = Reader(response)
            reader.comment()
            began = time.monotonic()
            assert gateway.stop() == 0
            assert time.monotonic() - began < 5
            assert reader.rest() == []


def test_a_webhook_gets_events_that_the_official_library_takes(world: World, receiver: Receiver) -> None:
    webhook = add_webhook(world, receiver, types=["key_revoked"])
    world.manage("PUT", "/settings", {"rpm_limit": 9_999})
    world.manage("POST", "/deploy")
    told = [revoke_a_key(world) for _ in range(5)]

    received = receiver.wait(lambda all_: len(all_) == 5)
    events = [each.verified(webhook["secret"]) for each in received]

    assert [event["key_id"] for event in events] == told
    assert events == [event for event in history(world) if event["type"] == "key_revoked"]
    assert [each.headers["webhook-id"] for each in received] == [event["id"] for event in events]
    assert {each.headers["content-type"] for each in received} == {"application/json"}


def test_after_a_rotation_both_secrets_verify_and_without_overlap_the_new_one_alone(
    world: World, receiver: Receiver
) -> None:
    first = add_webhook(world, receiver)
    path = f"/webhooks/{first['id']}"
    second = world.manage("POST", f"{path}/rotate")
    world.manage("POST", f"{path}/test")
    (both,) = receiver.wait(lambda all_: len(all_) == 1)
    third = world.manage("POST", f"{path}/rotate", {"overlap_hours": 0})
    world.manage("POST", f"{path}/test")
    alone = receiver.wait(lambda all_: len(all_) == 2)[1]

    assert both.verified(first["secret"]) == both.verified(second["secret"])
    assert alone.verified(third["secret"])["type"] == "webhook_test"
    for old in (first, second):
        with pytest.raises(Exception, match="No matching signature"):
            alone.verified(old["secret"])


def test_a_failed_delivery_is_listed_and_a_replay_arrives_under_the_same_id(world: World, receiver: Receiver) -> None:
    receiver.status = 500
    webhook = add_webhook(world, receiver)
    path = f"/webhooks/{webhook['id']}"
    sent = world.manage("POST", f"{path}/test")
    receiver.wait(lambda all_: len(all_) == 1)

    def shown() -> dict[str, Any]:
        (delivery,) = world.manage("GET", f"{path}/deliveries")["data"]
        found: dict[str, Any] = delivery
        return found

    until(lambda: shown()["attempts"] == 1)
    failed = shown()
    assert (failed["state"], failed["last_status"]) == ("pending", 500)
    assert failed["last_error"] == "the receiver answered 500"
    assert failed["next_attempt_at"] is not None

    receiver.status = 200
    world.manage("POST", f"{path}/deliveries/{sent['id']}/replay")
    received = receiver.wait(lambda all_: len(all_) == 2)
    until(lambda: shown()["state"] == "delivered")
    assert {each.headers["webhook-id"] for each in received} == {sent["event"]["id"]}


def test_an_event_is_lost_by_no_kill_and_is_sent_under_one_id(provider: Provider, tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path / "data", provider.openai_base_url, env=PRIVATE)
    world = World(gateway, provider, gateway.new_tenant())
    with receiving() as receiver:
        webhook = add_webhook(world, receiver)
        told: list[str] = []
        for round_ in range(4):
            receiver.status = None if round_ % 2 == 0 else 204
            told += [revoke_a_key(world) for _ in range(5)]
            if receiver.status is None:
                receiver.wait(lambda all_: len(all_) > 0)
            gateway.kill()
            receiver.status = 204
            gateway = start_gateway(
                tmp_path / "data", provider.openai_base_url, admin_token=gateway.admin_token, env=PRIVATE
            )
            world.gateway, world.client = gateway, gateway.client
        received = receiver.wait(lambda all_: {each.headers["webhook-id"] for each in all_} >= ids(world))

        assert [event["key_id"] for event in history(world)] == told
        by_id = {event["id"]: event for event in history(world)}
        assert len(received) >= len(told)
        for each in received:
            assert each.verified(webhook["secret"]) == by_id[each.headers["webhook-id"]]
    gateway.stop()


def ids(world: World) -> set[str]:
    """The ids of every event of a project."""
    return {event["id"] for event in history(world)}


def test_nothing_private_is_sent_to_unless_it_is_allowed(provider: Provider, tmp_path: Path) -> None:
    with receiving() as receiver:
        gateway = start_gateway(tmp_path / "data", provider.openai_base_url, env=PRIVATE)
        world = World(gateway, provider, gateway.new_tenant())
        webhook = add_webhook(world, receiver)
        gateway.stop()

        gateway = start_gateway(tmp_path / "data", provider.openai_base_url, admin_token=gateway.admin_token)
        world.gateway, world.client = gateway, gateway.client
        path = f"/webhooks/{webhook['id']}"
        world.manage("POST", f"{path}/test")
        until(lambda: world.manage("GET", f"{path}/deliveries")["data"][0]["attempts"] == 1)
        (failed,) = world.manage("GET", f"{path}/deliveries")["data"]
        named = world.manage("POST", "/webhooks", {"url": "https://localhost.localdomain./"})
        refused = world.client.post(
            f"/v1/projects/{world.project_id}/webhooks", json={"url": receiver.url}, headers=gateway.operator
        )
        gateway.stop()

        assert "https" in failed["last_error"]
        assert (refused.status_code, "url" in refused.json()["message"]) == (400, True)
        assert named["enabled"] is True
        assert receiver.received == []


def test_no_secret_is_in_an_event_an_answer_a_log_or_the_file(
    sending: Gateway, world: World, receiver: Receiver
) -> None:
    receiver.status = 500
    webhook = add_webhook(world, receiver)
    key = world.new_key()
    world.manage("PUT", "/settings", {"system_prompt": "canary-of-a-prompt"})
    world.manage("POST", "/deploy")
    world.manage("DELETE", f"/keys/{key['id']}")
    world.manage("POST", f"/webhooks/{webhook['id']}/test")
    receiver.wait(lambda all_: len(all_) >= 3)
    answers = [
        world.manage("GET", path)
        for path in ("/events", "/webhooks", f"/webhooks/{webhook['id']}", f"/webhooks/{webhook['id']}/deliveries")
    ]

    kept = b"".join(path.read_bytes() for path in sending.data_dir.iterdir() if path.name.startswith("behest.db"))
    said = json.dumps(answers) + sending.server.logged() + repr(receiver.received)
    for secret in (webhook["secret"], key["key"], sending.admin_token):
        assert secret not in said
        assert secret.encode() not in kept
    assert "canary-of-a-prompt" not in said
    assert webhook["url"] not in sending.server.logged()
