"""A project is found by its host's slug or by its token, and addresses tolerate what published clients write."""

from __future__ import annotations

import uuid

import httpx
import jwt
import pytest

from ..conftest import NewWorld
from ..support.gateway import Gateway, Tenant
from ..support.provider import Provider
from ..support.world import CHAT, World, messages


@pytest.mark.parametrize(
    "host",
    [
        "{slug}.localhost",
        "{slug}.localhost:8080",
        "{SLUG}.LOCALHOST:8080",
        "localhost:8080",
        "127.0.0.1",
        "[::1]:8080",
        "gateway.example.com",
        "deep.{slug}.localhost",
        ".localhost",
    ],
)
def test_a_token_is_good_on_its_own_projects_host_and_on_hosts_of_no_slug(world: World, host: str) -> None:
    name = host.format(slug=world.slug, SLUG=world.slug.upper())

    answer = world.client.post(CHAT, json={"messages": messages()}, headers={**world.bearer(), "Host": name})

    assert answer.status_code == 200, answer.text
    assert [row.user_id for row in world.rows()] == [world.user]


@pytest.mark.parametrize("path", ["/v1/auth/mint", "/auth/v1/auth/mint", "/v1/v1/auth/mint"])
@pytest.mark.parametrize("on_own_host", [True, False])
def test_a_token_is_minted_at_every_address_and_its_answer_has_every_name_that_clients_read(
    world: World, path: str, on_own_host: bool
) -> None:
    session = str(uuid.uuid4())
    headers = {"Authorization": f"Bearer {world.api_key}", **({"Host": world.host} if on_own_host else {})}
    body = {"user_id": "u_42", "role": "user", "ttl": 900, "session_id": session, "tier": 2}

    answer = world.client.post(path, json=body, headers=headers)

    reply = answer.json()
    claims = jwt.decode(reply["jwt"], options={"verify_signature": False})
    issued = claims["iat"]
    assert answer.headers["cache-control"] == "no-store"
    assert reply == {
        "jwt": reply["jwt"],
        "access_token": reply["jwt"],
        "token_type": "Bearer",
        "project_id": world.project_id,
        "ttl": 900,
        "expires_in": 900,
        "expires_at": issued + 900,
        "session_id": session,
    }
    assert list(claims)[:13] == "tid pid uid role scp iss aud iat nbf exp jti sid tier".split()  # noqa: SIM905
    assert claims == {
        "tid": world.tenant.id,
        "pid": world.project_id,
        "uid": "u_42",
        "role": "user",
        "scp": [],
        "iss": "https://api.behest.app",
        "aud": "behest",
        "iat": issued,
        "nbf": issued,
        "exp": issued + 900,
        "jti": claims["jti"],
        "sid": session,
        "tier": 2,
        "akid": world.api_key_id,
    }


@pytest.mark.parametrize("host", ["{host}", "localhost", "no-such-project.localhost"])
def test_the_jwks_is_served_on_every_host_and_verifies_minted_and_signed_tokens(world: World, host: str) -> None:
    answer = world.client.get("/.well-known/jwks.json", headers={"Host": host.format(host=world.host)})

    keys = {key["kid"]: key for key in answer.json()["keys"]}
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert all(set(key) == {"kty", "use", "alg", "kid", "n", "e"} for key in keys.values())
    assert all((key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256") for key in keys.values())
    assert world.tenant.kid in keys
    for token in (world.mint()["jwt"], world.token()):
        key = jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]])
        assert jwt.decode(token, key, algorithms=["RS256"], audience="behest")["uid"] == world.user


@pytest.mark.parametrize("path", ["/v1/models", "/v1/v1/models", "/v1/usage", "/v1/v1/usage", "/v1/v1/billing/usage"])
def test_a_base_url_with_or_without_v1_reaches_the_same_address(world: World, path: str) -> None:
    assert world.client.get(path, headers=world.bearer()).status_code == 200


def test_a_doubled_v1_reaches_the_chat_and_the_management_plane(world: World) -> None:
    asked = world.client.post(f"/v1{CHAT}", json={"messages": messages()}, headers=world.bearer())
    listed = world.client.get(f"/v1/v1/projects/{world.project_id}/budgets", headers=world.gateway.operator)

    assert asked.json()["object"] == "chat.completion"
    assert listed.json() == {"data": []}


def test_managing_works_with_and_without_the_auth_prefix_and_with_either_header(world: World) -> None:
    path = f"/v1/projects/{world.project_id}"
    gateway = world.gateway

    answers = [
        gateway.client.get(prefix + path, headers=headers).json()
        for prefix in ("", "/auth")
        for headers in (gateway.operator, {"X-Admin-Secret": gateway.admin_token})
    ]

    assert answers == [world.manage("GET")] * 4


def test_a_deleted_project_is_gone_for_its_host_its_tokens_and_its_keys(world: World) -> None:
    token, api_key = world.bearer(), world.api_key
    world.manage("DELETE")

    def code(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["code"]

    body = {"messages": messages()}
    mint = {"Authorization": f"Bearer {api_key}"}
    assert code(world.client.post(CHAT, json=body, headers={**token, "Host": world.host})) == (404, "not_found")
    assert code(world.client.post(CHAT, json=body, headers=token)) == (401, "invalid_token")
    assert code(world.client.post("/v1/auth/mint", json={"user_id": "u"}, headers=mint)) == (401, "invalid_token")


def test_a_slug_that_became_free_serves_its_next_project(gateway: Gateway, provider: Provider, tenant: Tenant) -> None:
    first = World(gateway, provider, tenant)
    first.manage("DELETE")
    body = {"tenant_id": tenant.id, "name": "Next", "slug": first.slug}

    second = gateway.manage("POST", "/v1/projects", body)

    headers = {**first.bearer(), "Host": first.host}
    assert second["host"] == first.host
    assert gateway.client.get("/v1/models", headers=headers).status_code == 401


def test_models_are_what_the_project_may_ask_for(world: World, new_world: NewWorld) -> None:
    strict = new_world(provider_model="gpt-4o", allowed_models=["gpt-4.1-mini", "gpt-4o"])

    listed = strict.client.get("/v1/models", headers=strict.bearer()).json()
    any_of = world.client.get("/v1/models", headers=world.bearer()).json()["data"]

    assert listed == {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 0, "owned_by": "openai"} for name in ("gpt-4o", "gpt-4.1-mini")
        ],
    }
    assert any_of[0]["id"] == "gpt-4o-mini"
    assert len(any_of) > 20


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("req-42.a:b_c", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ("<script>", False),
        ("", False),
    ],
)
def test_a_sane_request_id_is_taken_over_and_any_other_replaced(world: World, asked: str, kept: bool) -> None:
    headers = {**world.bearer(), "X-Request-Id": asked}

    answer = world.client.post(CHAT, json={"messages": messages()}, headers=headers)

    given = answer.headers["x-request-id"]
    assert (given == asked) is kept
    assert answer.headers["x-trace-id"] == given
    assert [row.request_id for row in world.rows()] == [given]


def test_headers_about_the_caller_are_written_by_the_gateway_and_never_believed(world: World) -> None:
    lies = dict.fromkeys(("X-Tenant-Id", "X-Project-Id", "X-End-User-Id", "X-Role", "X-Tier"), "liar")
    token = {"Authorization": f"Bearer {world.token(tier=2, sid='s-1')}"}

    world.client.post(CHAT, json={"messages": messages()}, headers={**token, **lies})
    world.client.post(CHAT, json={"messages": messages()}, headers={**token, "X-Session-Id": "s-2"})

    known = {
        "X-Tenant-Id": world.tenant.id,
        "X-Project-Id": world.project_id,
        "X-End-User-Id": world.user,
        "X-Role": "user",
        "X-Tier": "pro",
    }
    assert [call.headers for call in world.bill()] == [
        {**known, "X-Session-Id": "s-1"},
        {**known, "X-Session-Id": "s-2"},
    ]
    assert [(row.session_id, row.tier) for row in world.rows()] == [("s-1", "pro"), ("s-2", "pro")]
