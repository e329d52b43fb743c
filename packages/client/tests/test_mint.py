"""Minting, with an API key and with a private key."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from behest import BehestAuthError, BehestBadRequestError, BehestServerError, MintResult, decode_token
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .both import done
from .stub_gateway import API_KEY, CHAT, MINT, PROJECT, TENANT, Answer, Cut, StubGateway

HELLO = [{"role": "user", "content": "Hello"}]


async def test_an_api_key_is_exchanged_for_a_token(client: Any, gateway: StubGateway) -> None:
    before = int(time.time())

    minted = await done(client.auth.mint(user_id="u_42", session_id="s_1", tier=2, ttl=900))

    assert isinstance(minted, MintResult)
    assert (minted.session_id, minted.ttl) == ("s_1", 900)
    assert before + 900 <= minted.expires_at <= time.time() + 900
    claims = decode_token(minted.token)
    assert (claims.uid, claims.sid, claims.tier, claims.role) == ("u_42", "s_1", 2, "user")
    (seen,) = gateway.requests(MINT)
    assert seen.body == {"user_id": "u_42", "role": "user", "ttl": 900, "session_id": "s_1", "tier": 2}
    assert seen.headers["authorization"] == f"Bearer {API_KEY}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"].startswith("behest-python/1.")


async def test_what_is_not_named_comes_from_the_settings(make: Callable[..., Any], gateway: StubGateway) -> None:
    client = make(default_user_id="nightly-job", ttl=120, tier="team")

    minted = await done(client.auth.mint())

    (seen,) = gateway.requests(MINT)
    assert seen.body == {
        "user_id": "nightly-job",
        "role": "user",
        "ttl": 120,
        "session_id": minted.session_id,
        "tier": "team",
    }
    assert uuid.UUID(minted.session_id).version == 4
    assert client.auth.last_session_id == minted.session_id


async def test_mint_always_makes_a_new_token(client: Any, gateway: StubGateway) -> None:
    tokens = {(await done(client.auth.mint(user_id="u_42"))).token for _ in range(3)}

    assert len(tokens) == 3


@pytest.mark.parametrize("user_id", ["", " ", "admin", "Dashboard-Service", "x" * 256])
async def test_an_empty_or_reserved_user_is_refused_before_anything_is_sent(
    user_id: str, client: Any, gateway: StubGateway
) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: client.auth.mint(user_id=user_id),
        lambda: client.chat.completions.create(messages=HELLO, user_id=user_id),
        lambda: client.threads.list(user_id=user_id),
        lambda: client.usage.get(user_id=user_id),
        lambda: client.for_user(user_id),
        lambda: client.openai(user_id=user_id),
    ]
    for call in calls:
        with pytest.raises(BehestBadRequestError):
            await done(call())
    assert gateway.seen == []


async def test_a_refused_key_is_an_auth_error_that_does_not_repeat_it(
    make: Callable[..., Any], gateway: StubGateway
) -> None:
    key = "behest_sk_live_ffffffffffffffffffffffffffffffff"
    client = make(key=key)

    with pytest.raises(BehestAuthError, match="unknown") as caught:
        await done(client.auth.mint(user_id="u_42"))

    assert (caught.value.status, caught.value.code, caught.value.trace_id) == (401, "invalid_token", "tr_refused")
    assert "ffff" not in repr(caught.value) + repr(vars(caught.value))
    assert len(gateway.seen) == 1


async def test_an_answer_without_a_token_is_the_gateways_fault(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(MINT, Answer(200, {"ok": True}))

    with pytest.raises(BehestServerError, match="without a token"):
        await done(client.auth.mint(user_id="u_42"))


async def test_another_program_at_the_address_is_told_apart(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(MINT, Answer(200, b"<html>It works!</html>", {"Content-Type": "text/html"}))

    with pytest.raises(BehestServerError, match="BEHEST_BASE_URL") as caught:
        await done(client.auth.mint(user_id="u_42"))

    assert (caught.value.code, caught.value.raw) == ("invalid_response", "<html>It works!</html>")


async def test_a_mint_is_tried_again_after_a_broken_connection(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(MINT, Cut())

    assert (await done(client.auth.mint(user_id="u_42"))).token
    assert len(gateway.requests(MINT)) == 2


async def test_a_private_key_signs_what_the_gateway_accepts(
    make: Callable[..., Any], signing: dict[str, str], gateway: StubGateway
) -> None:
    client = make(**signing)
    assert client.mode == "sign"

    answer = await done(client.chat.completions.create(messages=HELLO, user_id="u_42"))

    assert answer.text == "Hello, u_42!"
    assert gateway.requests(MINT) == []


async def test_a_signed_token_has_the_claims_of_a_minted_one(
    make: Callable[..., Any], signing: dict[str, str], rsa_keys: list[RSAPrivateKey]
) -> None:
    client = make(**signing)
    before = int(time.time())

    minted = await done(client.auth.mint(user_id="u_42", session_id="s_1", tier=2, ttl=900))

    assert jwt.get_unverified_header(minted.token) == {"alg": "RS256", "typ": "JWT", "kid": "sk_tenant"}
    claims = jwt.decode(minted.token, rsa_keys[2].public_key(), algorithms=["RS256"], audience="behest")
    assert list(claims) == ["tid", "pid", "uid", "role", "scp", "iss", "aud", "iat", "nbf", "exp", "jti", "sid", "tier"]
    issued = claims["iat"]
    assert before <= issued <= time.time()
    assert uuid.UUID(claims.pop("jti")).version == 4
    assert claims == {
        "tid": TENANT,
        "pid": PROJECT,
        "uid": "u_42",
        "role": "user",
        "scp": [],
        "iss": "https://api.behest.ai",
        "aud": "behest",
        "iat": issued,
        "nbf": issued,
        "exp": issued + 900,
        "sid": "s_1",
        "tier": 2,
    }
    assert minted == {"token": minted.token, "session_id": "s_1", "ttl": 900, "expires_at": issued + 900}


async def test_a_signed_token_without_a_tier_has_no_such_claim(
    make: Callable[..., Any], signing: dict[str, str]
) -> None:
    client = make(**signing, issuer="behest", audience="behest-eu")

    claims = decode_token((await done(client.auth.mint())).token)

    assert "tier" not in claims
    assert (claims.uid, claims.iss, claims.aud) == ("default", "behest", "behest-eu")


async def test_signing_opens_no_connection(make: Callable[..., Any], signing: dict[str, str]) -> None:
    client = make(**signing, base_url="http://127.0.0.1:9")

    assert (await done(client.auth.mint(user_id="u_42"))).token


async def test_the_deprecated_mint_answers_in_both_vocabularies(client: Any, gateway: StubGateway) -> None:
    with pytest.warns(DeprecationWarning, match="auth.mint"):
        minted = await done(client.mint_token(userId="u_42", sessionId="s_1", ttl=60))

    assert set(minted) == {"token", "session_id", "sessionId", "ttl", "expires_at", "access_token", "expires_in"}
    assert minted["token"] == minted["access_token"]
    assert (minted["sessionId"], minted["expires_in"]) == ("s_1", 60)
    assert minted["token"] not in repr(minted)


async def test_an_address_that_ends_in_v1_reaches_the_same_paths(
    make: Callable[..., Any], gateway: StubGateway
) -> None:
    client = make(base_url=f"{gateway.base_url}/v1/")

    await done(client.chat.completions.create(messages=HELLO))

    assert [f"{seen.method} {seen.path}" for seen in gateway.seen] == [MINT, CHAT]


async def test_a_gateway_that_is_not_there_is_named(make: Callable[..., Any]) -> None:
    client = make(base_url="http://127.0.0.1:9", max_retries=0)

    with pytest.raises(BehestServerError, match=r"http://127\.0\.0\.1:9\. Is it running") as caught:
        await done(client.auth.mint(user_id="u_42"))

    assert (caught.value.status, caught.value.code) == (500, "network_error")
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
