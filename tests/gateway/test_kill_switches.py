"""Kill switches from outside: new calls are refused at once, running ones end cleanly, and the books stay right."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import httpx
import pytest

from ..support.gateway import Gateway, running_gateway, start_gateway
from ..support.provider import Provider
from ..support.world import MODEL, World, events_of

SWITCHES = "/v1/admin/kill-switches"
AT_ONCE = 1.0
SLOW: Any = {"completion_tokens": 400, "token_delay_ms": 25}
SCOPES = ["global", "tenant", "project", "user", "model"]


@pytest.fixture(scope="module")
def mortal(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway of one's own: what is turned off globally must be nobody else's."""
    with running_gateway(tmp_path_factory.mktemp("mortal"), provider.openai_base_url) as gateway:
        yield gateway


@pytest.fixture
def world(mortal: Gateway, provider: Provider) -> Generator[World]:
    """A tenant and a project of one's own; whatever is turned off is on again afterwards."""
    yield World(mortal, provider, mortal.new_tenant())
    for switch in mortal.manage("GET", SWITCHES)["data"]:
        mortal.manage(
            "DELETE", "/".join((SWITCHES, switch["scope"], *([switch["target"]] if switch["target"] else [])))
        )


def path_of(world: World, scope: str) -> str:
    """The address of the switch that stops a world."""
    targets = {
        "tenant": world.tenant.id,
        "project": world.project_id,
        "user": f"{world.project_id}/{world.user}",
        "model": MODEL,
    }
    return f"{SWITCHES}/{scope}" + (f"/{targets[scope]}" if scope in targets else "")


def killed(answer: httpx.Response) -> dict[str, Any]:
    """The details of a call that a switch stopped."""
    assert answer.status_code == 403, answer.text
    body = answer.json()
    assert (body["code"], body["retryable"], answer.headers["x-should-retry"]) == ("forbidden", False, "false")
    details: dict[str, Any] = body["error"]["details"]
    assert details["reason"] == "killed"
    return details


def held(world: World) -> list[float]:
    """What each budget says is held."""
    return [budget["held_usd"] for budget in world.budgets()]


@pytest.mark.parametrize("scope", SCOPES)
def test_new_calls_are_refused_at_once_and_served_again_afterwards(world: World, scope: str) -> None:
    world.budget(1)
    assert world.chat().status_code == 200

    world.gateway.manage("PUT", path_of(world, scope), {"reason": "test"})
    thrown = time.monotonic()
    refused = [world.chat(), world.chat(stream=True)]
    took = time.monotonic() - thrown

    assert took < AT_ONCE
    assert [killed(answer)["scope"] for answer in refused] == [scope] * 2
    usage = world.client.get("/v1/usage", headers=world.bearer())
    models = world.client.get("/v1/models", headers=world.bearer())
    assert (usage.status_code, usage.json()["totals"]["requests"], models.status_code) == (200, 1, 200)

    world.gateway.manage("DELETE", path_of(world, scope))
    assert world.chat().status_code == 200
    assert len(world.bill()) == 2
    assert [row.state for row in world.rows()] == ["settled"] * 2
    assert held(world) == [0]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_running_stream_ends_with_an_error_frame_and_is_settled_once(
    world: World, provider: Provider, scope: str
) -> None:
    world.budget(1)
    world.script(SLOW)

    with world.stream() as response:
        pieces = response.iter_raw()
        told = next(pieces)
        thrown = time.monotonic()
        world.gateway.manage("PUT", path_of(world, scope))
        told += b"".join(pieces)
        took = time.monotonic() - thrown

    assert took < AT_ONCE
    *_, last, done = events_of(told)
    error = json.loads(last)
    assert (error["error"]["code"], error["error"]["type"], error["choices"]) == ("forbidden", "permission_error", [])
    assert done == b"[DONE]"
    [billed] = world.bill()
    assert billed.state == "closed_by_client"
    assert billed.completion_tokens < 100
    [row] = world.rows()
    assert (row.attempt_id, row.state, row.status, row.error_code) == (
        billed.attempt_id,
        "estimated",
        403,
        "forbidden",
    )
    assert row.hold_nano >= row.cost_nano >= billed.cost_nano
    assert (world.holds(), held(world)) == ({}, [0])


def in_thread(call: Callable[[], httpx.Response]) -> Callable[[], httpx.Response]:
    """Start a call; what is returned waits for its answer."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()

    def wait() -> httpx.Response:
        thread.join(10)
        return answers[0]

    return wait


def until_asked(world: World) -> None:
    """Wait until the provider has a call of this world."""
    deadline = time.monotonic() + 10
    while not world.provider.calls(world.project_id):
        assert time.monotonic() < deadline, "the provider was not asked"
        time.sleep(0.02)


def until_stalled(world: World) -> None:
    """Wait until the provider gets nothing sent any more: only then does the gateway wait for the caller to read."""
    deadline = time.monotonic() + 10
    before, sent = -1, 0
    while before != sent or not sent:
        assert time.monotonic() < deadline, "the provider is never held up"
        time.sleep(0.2)
        [call] = world.provider.calls(world.project_id)
        assert call.state == "running"
        before, sent = sent, call.completion_tokens


@pytest.mark.parametrize("scope", SCOPES)
def test_a_running_call_for_a_whole_answer_ends_with_403(world: World, scope: str) -> None:
    world.budget(1)
    world.script(SLOW)
    answer = in_thread(lambda: world.chat())
    until_asked(world)

    thrown = time.monotonic()
    world.gateway.manage("PUT", path_of(world, scope))
    assert killed(answer())["scope"] == scope
    assert time.monotonic() - thrown < AT_ONCE

    [billed] = world.bill()
    assert billed.state == "closed_by_client"
    [row] = world.rows()
    assert (row.attempt_id, row.state, row.status) == (billed.attempt_id, "unconfirmed", 403)
    assert (world.holds(), held(world)) == ({}, [0])


@pytest.mark.parametrize("scope", ["tenant", "project", "user", "model"])
def test_others_go_on(world: World, provider: Provider, scope: str) -> None:
    other = World(world.gateway, provider, world.gateway.new_tenant("Other"))
    rule: Any = {"completion_tokens": 30, "token_delay_ms": 20}
    other.script(rule)
    body = {"model": "gpt-4o"} if scope == "model" else {}

    with other.stream(**body) as response:
        pieces = response.iter_raw()
        told = next(pieces)
        world.gateway.manage("PUT", path_of(world, scope))
        told += b"".join(pieces)

    assert b"error" not in told
    assert [row.state for row in other.rows()] == ["settled"]
    assert other.chat(**body).status_code == 200
    if scope == "user":
        assert world.chat(user_id="another").status_code == 200


def test_a_caller_who_does_not_read_holds_nothing_up(world: World) -> None:
    world.budget(1)
    endless: Any = {"completion_tokens": 200_000}
    world.script(endless)
    with world.stream(max_tokens=1_000_000) as response:
        until_stalled(world)
        world.gateway.manage("PUT", path_of(world, "project"))
        deadline = time.monotonic() + AT_ONCE
        while world.holds():
            assert time.monotonic() < deadline, "the hold of a caller who does not read was not given back"
            time.sleep(0.02)
        told = b"".join(response.iter_raw())

    *_, last, done = events_of(told)
    assert (json.loads(last)["error"]["code"], done) == ("forbidden", b"[DONE]")
    [billed], [row] = world.bill(), world.rows()
    assert (billed.state, row.state, row.attempt_id) == ("closed_by_client", "estimated", billed.attempt_id)


@pytest.mark.parametrize("scope", ["global", "tenant", "project", "user"])
def test_nothing_is_minted_for_what_is_turned_off(world: World, scope: str) -> None:
    assert world.mint()["jwt"]
    world.gateway.manage("PUT", path_of(world, scope))

    answer = world.client.post(
        "/v1/auth/mint", json={"user_id": world.user}, headers={"Authorization": f"Bearer {world.api_key}"}
    )

    assert killed(answer)["scope"] == scope
    world.gateway.manage("DELETE", path_of(world, scope))
    assert world.mint()["jwt"]


def test_an_admin_of_the_tenant_turns_their_own_project_off_and_on(world: World) -> None:
    key = world.new_key("admin")["key"]
    minted = world.client.post(
        "/v1/auth/mint", json={"user_id": "boss"}, headers={"Authorization": f"Bearer {key}"}
    ).json()
    boss = {"Authorization": f"Bearer {minted['jwt']}"}

    def manage(method: str, scope: str) -> int:
        return world.client.request(method, path_of(world, scope), headers=boss).status_code

    assert [manage("PUT", scope) for scope in SCOPES] == [403, 200, 200, 200, 403]
    assert killed(world.chat())["scope"] == "tenant"
    assert [manage("DELETE", scope) for scope in SCOPES] == [403, 204, 204, 204, 403]
    assert world.chat().status_code == 200
    secret = world.client.put(path_of(world, "global"), headers={"X-Admin-Secret": world.gateway.admin_token})
    assert secret.status_code == 200


def test_a_flood_of_stopped_calls_fills_no_ledger(world: World) -> None:
    world.gateway.manage("PUT", path_of(world, "user"))

    assert [world.chat().status_code for _ in range(20)] == [403] * 20
    assert world.rows() == []


def test_switches_survive_a_restart(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("restart")
    first = start_gateway(folder / "data", provider.openai_base_url)
    world = World(first, provider, first.new_tenant())
    for scope in ("project", "user"):
        first.manage("PUT", path_of(world, scope), {"reason": "stay off"})
    first.manage("DELETE", path_of(world, "user"))
    first.kill()

    second = start_gateway(folder / "data", provider.openai_base_url, admin_token=first.admin_token)
    try:
        world.gateway, world.client = second, second.client
        assert killed(world.chat())["scope"] == "project"
        [switch] = second.manage("GET", SWITCHES)["data"]
        assert (switch["scope"], switch["reason"], switch["set_by"]) == ("project", "stay off", "operator")
        changes = second.manage("GET", "/v1/admin/kill-switch-changes")["data"]
        assert [(change["turned"], change["scope"]) for change in changes] == [
            ("off", "user"),
            ("on", "user"),
            ("on", "project"),
        ]
        second.manage("DELETE", path_of(world, "project"))
        assert world.chat().status_code == 200
    finally:
        second.stop()
