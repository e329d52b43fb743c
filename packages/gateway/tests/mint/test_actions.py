"""An API key is exchanged for a token, once proved and then fast."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.snapshot import ProjectSnapshot
from behest_gateway.mint.actions import Minter
from behest_gateway.mint.rules import jwks

from .conftest import TokenPlane


def verified(plane: TokenPlane, token: str) -> dict[str, Any]:
    """The claims of a token, checked with nothing but the published JWKS."""
    keys = jwt.PyJWKSet.from_dict(json.loads(jwks(plane.directory.verification_keys())))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    return jwt.decode(token, key.key, algorithms=["RS256"], audience="behest", options=options)


async def test_a_token_carries_who_it_is_for_in_the_order_of_the_wire(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()

    body = {"user_id": "u_1", "role": "user", "ttl": 900, "session_id": "s1", "tier": 2}
    reply = await plane.minter.mint(key, None, body)

    claims = verified(plane, reply.token)
    jti = claims["jti"]
    assert list(claims.items()) == [
        ("tid", "t1"),
        ("pid", "p1"),
        ("uid", "u_1"),
        ("role", "user"),
        ("scp", []),
        ("iss", "https://api.behest.app"),
        ("aud", "behest"),
        ("iat", 1_760_000_000),
        ("nbf", 1_760_000_000),
        ("exp", 1_760_000_900),
        ("jti", jti),
        ("sid", "s1"),
        ("tier", 2),
        ("akid", "key-a"),
    ]
    assert jwt.get_unverified_header(reply.token) == {"alg": "RS256", "kid": plane.keys.kid, "typ": "JWT"}
    assert reply.to_json() == {
        "jwt": reply.token,
        "access_token": reply.token,
        "token_type": "Bearer",
        "project_id": "p1",
        "ttl": 900,
        "expires_in": 900,
        "expires_at": 1_760_000_900,
        "session_id": "s1",
    }


async def test_what_the_body_leaves_out_is_filled_in(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key("admin")

    first = await plane.minter.mint(key, None, b'{"user_id":"u_1"}')
    second = await plane.minter.mint(key, None, b'{"user_id":"u_1"}')

    claims = verified(plane, first.token)
    assert (claims["role"], claims["sid"], "tier" in claims, first.ttl) == ("admin", first.session_id, False, 3600)
    assert first.session_id != second.session_id
    assert claims["jti"] != verified(plane, second.token)["jti"]


async def test_a_tier_is_carried_as_it_was_given(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()

    reply = await plane.minter.mint(key, None, {"user_id": "u_1", "tier": "Pro"})

    assert verified(plane, reply.token)["tier"] == "Pro"


async def test_the_issuer_can_be_chosen(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()
    minter = Minter(plane.directory, plane.keys, plane.works, plane.clock, issuer="https://llm.example.com")

    reply = await minter.mint(key, None, {"user_id": "u_1"})

    assert verified(plane, reply.token)["iss"] == "https://llm.example.com"


async def test_a_hundred_first_mints_prove_the_key_once(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()

    async with asyncio.timeout(30):
        replies = await asyncio.gather(*(plane.minter.mint(key, None, {"user_id": f"u_{n}"}) for n in range(100)))
    await plane.minter.mint(key, None, {"user_id": "u_100"})

    assert plane.works.verified == 1
    assert {verified(plane, reply.token)["uid"] for reply in replies} == {f"u_{n}" for n in range(100)}


async def test_a_caller_who_hangs_up_does_not_fail_those_who_wait_for_the_same_proof(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()

    first = asyncio.create_task(plane.minter.mint(key, None, {"user_id": "u_1"}))
    await asyncio.sleep(0)
    second = asyncio.create_task(plane.minter.mint(key, None, {"user_id": "u_2"}))
    await asyncio.sleep(0)
    first.cancel()

    async with asyncio.timeout(10):
        assert verified(plane, (await second).token)["uid"] == "u_2"
    assert first.cancelled()
    assert plane.works.verified == 1


async def test_a_revoked_key_is_refused_at_once_though_it_was_proved(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()
    await plane.minter.mint(key, None, {"user_id": "u_1"})

    plane.revoke(key)

    with pytest.raises(GatewayError, match="unknown or was revoked") as caught:
        await plane.minter.mint(key, None, {"user_id": "u_1"})
    assert caught.value.status == 401


async def test_a_key_that_is_revoked_while_it_is_proved_mints_nothing(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()

    minting = asyncio.create_task(plane.minter.mint(key, None, {"user_id": "u_1"}))
    await asyncio.sleep(0)
    plane.revoke(key)

    async with asyncio.timeout(10):
        with pytest.raises(GatewayError, match="unknown or was revoked"):
            await minting


async def test_revoking_one_key_leaves_the_others_proved(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    kept, lost = await plane.api_key(digit="a"), await plane.api_key(digit="b")
    await plane.minter.mint(kept, None, {"user_id": "u_1"})
    await plane.minter.mint(lost, None, {"user_id": "u_1"})

    plane.revoke(lost)
    await plane.minter.mint(kept, None, {"user_id": "u_1"})

    assert plane.works.verified == 2


async def test_no_more_keys_are_remembered_than_there_is_room_for(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    minter = Minter(plane.directory, plane.keys, plane.works, plane.clock, proved_keys=1)
    first, second = await plane.api_key(digit="a"), await plane.api_key(digit="b")

    for key in (first, second, second, first):
        await minter.mint(key, None, {"user_id": "u_1"})

    assert plane.works.verified == 3


async def test_a_key_whose_hash_is_another_keys_is_refused(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()
    published = plane.directory.api_key(plane.made[key])
    assert published is not None
    plane.directory.publish_api_key(replace(published, hash=await plane.works.hash("behest_sk_live_" + "0" * 32)))

    with pytest.raises(GatewayError, match="unknown or was revoked"):
        await plane.minter.mint(key, None, {"user_id": "u_1"})


async def test_a_key_that_nobody_made_costs_no_proof(plane: TokenPlane) -> None:
    await plane.keys.ensure()

    with pytest.raises(GatewayError) as caught:
        await plane.minter.mint("behest_sk_live_" + "0" * 32, None, {"user_id": "u_1"})

    assert (caught.value.status, caught.value.code, plane.works.verified) == (401, "invalid_token", 0)


async def test_a_suspended_project_mints_nothing_and_says_so(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()
    plane.directory.publish_project(replace(plane.project, status="suspended"))

    with pytest.raises(GatewayError, match="suspended") as caught:
        await plane.minter.mint(key, None, {"user_id": "u_1"})
    assert (caught.value.status, caught.value.code) == (401, "invalid_token")


async def test_a_deleted_project_takes_its_keys_along(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()
    await plane.minter.mint(key, None, {"user_id": "u_1"})

    plane.directory.withdraw_project("p1")

    with pytest.raises(GatewayError, match="unknown or was revoked"):
        await plane.minter.mint(key, None, {"user_id": "u_1"})


async def test_the_host_of_another_project_is_forbidden(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    key = await plane.api_key()
    other = ProjectSnapshot(id="p2", tenant_id="t1", name="Other", slug="other")

    assert (await plane.minter.mint(key, plane.project, {"user_id": "u_1"})).project_id == "p1"
    with pytest.raises(GatewayError) as caught:
        await plane.minter.mint(key, other, {"user_id": "u_1"})
    assert (caught.value.status, caught.value.code) == (403, "forbidden")


async def test_the_key_is_checked_before_the_body(plane: TokenPlane) -> None:
    await plane.keys.ensure()

    with pytest.raises(GatewayError) as caught:
        await plane.minter.mint(None, None, b"not json")

    assert caught.value.status == 401
