"""From a sign-in to the ledger: the app mints, the page streams from a real gateway, and the books know the user."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from ..conftest import NewWorld
from ..support.issuer import Issuer
from ..support.sign_ins import KINDS, Kind, rerouted
from ..support.world import CHAT, World, messages
from .apps import APPS, App

SESSION_CLAIM = {"supabase": "session_id", "clerk": "sid", "oidc": "sid"}
PLANS: dict[str, dict[str, Any]] = {
    "supabase": {"tier": {"free": 1, "pro": 2}, "tier_claim": "app_metadata.plan"},
    "clerk": {"tier": {"u:free": 1, "u:pro": 2}},
    "auth0": {"tier": {"free": 1, "pro": 2}, "tier_claim": "https://acme.test/plan"},
    "oidc": {},
}


@pytest.mark.parametrize("framework", sorted(APPS))
@pytest.mark.parametrize("kind", [KINDS[name] for name in sorted(PLANS)], ids=lambda kind: kind.name)
async def test_a_user_is_the_same_over_two_sign_ins(
    kind: Kind, framework: str, issuer: Issuer, new_world: NewWorld, make_app: Callable[..., App]
) -> None:
    world: World = new_world()
    verifier = kind.make(issuer, rerouted(issuer))
    options = {"key": world.api_key, "base_url": world.gateway.base_url}
    app = make_app(framework, verifier, behest_options=options, **PLANS[kind.name])
    user_id = kind.claims(issuer, 0)["sub"]
    bundles: list[dict[str, Any]] = []

    for sign_in in ("first", "second"):
        claim = SESSION_CLAIM.get(kind.name)
        answer = await app.mint(kind.token(issuer, {claim: sign_in} if claim else {}))
        assert answer.status_code == 200, answer.text
        bundles.append(answer.json())
        body = {"messages": messages(), "stream": True, "model": ""}
        headers = {"Authorization": f"Bearer {bundles[-1]['token']}"}
        with world.client.stream("POST", CHAT, json=body, headers=headers) as stream:
            assert stream.read().endswith(b"data: [DONE]\n\n")

    rows = world.rows()
    tier = "pro" if PLANS[kind.name] else None
    assert [(row.user_id, row.session_id, row.tier, row.status, row.stream) for row in rows] == [
        (user_id, bundle["sessionId"], tier, 200, True) for bundle in bundles
    ]
    assert len({bundle["sessionId"] for bundle in bundles}) == 2
    for bundle in bundles:
        claims = jwt.decode(bundle["token"], options={"verify_signature": False})
        assert (claims["uid"], claims["role"], claims["exp"] - claims["iat"]) == (user_id, "user", 600)
        assert abs(bundle["expiresAt"] - time.time() - 600) < 60


async def test_a_gateway_that_refuses_the_apps_key_or_is_away_is_not_the_users_fault(
    issuer: Issuer, world: World, make_app: Callable[..., App]
) -> None:
    kind = KINDS["supabase"]
    gone = {"key": world.api_key, "base_url": "http://127.0.0.1:9", "max_retries": 0}
    wrong = {"key": f"{world.api_key[:-4]}0000", "base_url": world.gateway.base_url, "max_retries": 0}
    for framework in sorted(APPS):
        for options, status, code in ((gone, 503, "gateway_unavailable"), (wrong, 502, "mint_refused")):
            app = make_app(framework, kind.make(issuer, rerouted(issuer)), behest_options=options)
            answer = await app.mint(kind.token(issuer))

            assert answer.status_code == status
            assert answer.json()["error"]["code"] == code
            assert world.api_key[-12:-4] not in answer.text
