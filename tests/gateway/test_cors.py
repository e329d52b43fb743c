"""Pages of allowed origins may call and read every answer, errors too; nobody else may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from behest_protocol.headers import EXPOSED

from ..conftest import NewWorld
from ..support.gateway import Gateway
from ..support.world import CHAT, World, messages

ORIGIN = "https://app.example.com"
OTHER = "https://other.example.com"
ASKED = "authorization,content-type,x-session-id,x-stainless-lang,x-stainless-retry-count"


@pytest.fixture
def shop(new_world: NewWorld) -> World:
    """A project that a page may call."""
    return new_world(allowed_origins=[ORIGIN, "http://localhost:8000"])


def preflight(world: World, origin: str, *, host: str | None = None, path: str = CHAT) -> httpx.Response:
    """What a browser asks before it sends a token; it sends none with it."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ASKED,
    }
    if host is not None:
        headers["Host"] = host
    return world.client.request("OPTIONS", path, headers=headers)


def cors_of(response: httpx.Response) -> dict[str, str]:
    """The headers of an answer that a browser judges it by."""
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/usage", "/v1/billing/usage", "/v1/v1/chat/completions"])
@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:8000"])
def test_a_preflight_from_an_allowed_origin_is_answered_before_any_token_is_asked_for(
    shop: World, origin: str, path: str
) -> None:
    answer = preflight(shop, origin, host=shop.host, path=path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert cors_of(answer) == {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
        "access-control-allow-headers": ASKED,
        "access-control-max-age": "600",
    }
    assert answer.headers["vary"] == "Origin, Access-Control-Request-Headers"


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com/",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://APP.example.com",
        "https://example.com",
        "https://evil.app.example.com",
        "https://app.example.com.evil.test",
        "https://app-example.com",
        "null",
        "*",
    ],
)
def test_an_origin_that_only_resembles_an_allowed_one_is_told_nothing(shop: World, origin: str) -> None:
    asked = preflight(shop, origin, host=shop.host)
    called = shop.client.get("/v1/models", headers={**shop.bearer(), "Origin": origin})

    assert (asked.status_code, cors_of(asked)) == (204, {})
    assert (called.status_code, cors_of(called)) == (200, {})
    assert (asked.headers["vary"], called.headers["vary"]) == ("Origin", "Origin")


def test_on_a_shared_host_a_preflight_may_come_from_any_projects_origin_but_only_its_own_may_read(
    shop: World, new_world: NewWorld
) -> None:
    neighbour = new_world(allowed_origins=[OTHER])

    assert cors_of(preflight(shop, OTHER))["access-control-allow-origin"] == OTHER
    assert cors_of(preflight(shop, OTHER, host=shop.host)) == {}
    headers = {"Origin": OTHER}
    assert cors_of(shop.client.get("/v1/models", headers={**shop.bearer(), **headers})) == {}
    read = shop.client.get("/v1/models", headers={**neighbour.bearer(), **headers})
    assert cors_of(read)["access-control-allow-origin"] == OTHER


def test_an_origin_is_allowed_once_it_is_deployed_and_not_while_it_is_a_draft(shop: World) -> None:
    shop.manage("PUT", "/settings", {"allowed_origins": [OTHER]})
    assert cors_of(preflight(shop, OTHER, host=shop.host)) == {}

    shop.manage("POST", "/deploy")
    assert cors_of(preflight(shop, OTHER, host=shop.host))["access-control-allow-origin"] == OTHER
    assert cors_of(preflight(shop, ORIGIN, host=shop.host)) == {}


def _good(shop: World) -> dict[str, Any]:
    return {}


def _without_money(shop: World) -> dict[str, Any]:
    shop.budget(0)
    return {}


def _without_time(shop: World) -> dict[str, Any]:
    shop.manage("PUT", "/settings", {"rpm_limit": 1, "allowed_origins": [ORIGIN]})
    shop.manage("POST", "/deploy")
    assert shop.chat().status_code == 200
    return {}


def _suspended(shop: World) -> dict[str, Any]:
    shop.manage("POST", "/suspend")
    return {}


def _provider_down(shop: World) -> dict[str, Any]:
    shop.script({"fault": {"kind": "status", "status": 503}})
    return {}


@pytest.mark.parametrize("kind", ["whole", "streaming"])
@pytest.mark.parametrize(
    ("status", "prepare"),
    [
        (200, _good),
        (400, lambda shop: {"json": {"messages": []}}),
        (401, lambda shop: {"headers": {"Authorization": "Bearer nonsense"}}),
        (401, lambda shop: {"headers": {"Authorization": ""}}),
        (402, _without_money),
        (403, _suspended),
        (403, lambda shop: {"headers": {"Authorization": "Bearer " + shop.token(pid=shop.project_id)}}),
        (405, lambda shop: {"method": "PUT"}),
        (413, lambda shop: {"content": b"x" * (9 * 1024 * 1024)}),
        (429, _without_time),
        (502, _provider_down),
    ],
)
def test_an_allowed_page_may_read_every_answer(
    shop: World, new_world: NewWorld, status: int, prepare: Callable[[World], dict[str, Any]], kind: str
) -> None:
    changes = prepare(shop)
    asked: dict[str, Any] = {
        "method": "POST",
        "json": {"messages": messages(), "stream": kind == "streaming"},
        **{name: value for name, value in changes.items() if name != "headers"},
    }
    if "content" in asked:
        del asked["json"]
    host = shop.host
    if status == 403 and "headers" in changes:
        host = new_world(allowed_origins=[ORIGIN]).host
    headers = {**shop.bearer(), "Host": host, "Origin": ORIGIN, **changes.get("headers", {})}

    answer = shop.client.request(url=CHAT, headers=headers, **asked)

    assert answer.status_code == status, answer.text
    assert cors_of(answer) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": ", ".join(EXPOSED),
    }
    assert answer.headers["vary"] == "Origin"
    ours = {name for name in answer.headers if name.startswith(("x-", "retry-", "ratelimit"))}
    assert ours - {name.lower() for name in EXPOSED} <= {"x-accel-buffering"}


def test_a_host_of_no_project_is_explained_to_pages_that_some_project_knows(shop: World) -> None:
    def ask(origin: str) -> httpx.Response:
        return shop.client.post(CHAT, json={}, headers={"Host": "no-such-project.localhost", "Origin": origin})

    assert cors_of(ask(ORIGIN))["access-control-allow-origin"] == ORIGIN
    assert cors_of(ask("https://nobody.example.com")) == {}


@pytest.mark.parametrize("path", ["/v1/auth/mint", "/auth/v1/auth/mint", "/v1/projects", "/auth/v1/projects"])
def test_no_page_is_invited_to_mint_or_to_manage(shop: World, path: str) -> None:
    asked = preflight(shop, ORIGIN, host=shop.host, path=path)
    called = shop.client.post(
        path, json={"user_id": "u_1"}, headers={"Authorization": f"Bearer {shop.api_key}", "Origin": ORIGIN}
    )

    assert cors_of(asked) == {}
    assert asked.status_code == 405
    assert cors_of(called) == {}


def test_who_sends_no_origin_gets_no_cors_headers(shop: World) -> None:
    answer = shop.chat()

    assert cors_of(answer) == {}
    assert "vary" not in answer.headers


def test_health_answers_anybody(gateway: Gateway) -> None:
    assert gateway.client.get("/health").json()["status"] == "ok"
    assert gateway.client.get("/ready").json() == {"status": "ready"}
