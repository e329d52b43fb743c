"""An app that a document shows, beside a provider of sign-ins on loopback and a real gateway: it mints and refuses."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from unittest.mock import patch

import httpx
from behest_auth import Surroundings

from ..support.issuer import Issuer
from ..support.sign_ins import KINDS, PAGE, Kind, rerouted
from .blocks import Block
from .place import Place

PATH = "/api/behest/token"
_FRAMEWORKS = {"behest_auth.fastapi", "behest_auth.flask", "behest_auth.starlette"}


def auth_app(block: Block, place: Place) -> None:
    """It refuses whoever is not signed in, mints for whoever is, and its other routes answer no stranger."""
    assert any(f"from {name} import" in block.text for name in _FRAMEWORKS)
    if "Dev(" in block.text:
        asyncio.run(_follow(_names_of(block, place, {"APP_ENV": "development"}), "dev-alice"))
        return
    kind = _kind_of(block.text)
    issuer = Issuer()
    issuer.start()
    usual = Surroundings.shared()
    try:
        Surroundings.share(rerouted(issuer))
        asyncio.run(_follow(_names_of(block, place, kind.env(issuer)), kind.token(issuer)))
    finally:
        Surroundings.share(usual)
        issuer.stop()


def _kind_of(text: str) -> Kind:
    named = re.search(r"\b(Supabase|Clerk|Auth0|OIDC)[.(]", text)
    assert named, "the app uses no provider"
    return KINDS[named[1].lower()]


def _names_of(block: Block, place: Place, env: dict[str, str]) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "app"}
    code = compile(block.text, block.name, "exec")
    with patch.dict("os.environ", {**place.env, **env}):
        exec(code, names)
    return names


async def _follow(names: dict[str, Any], token: str) -> None:
    behest: Any = (names.get("auth") or names["exchange"]).behest
    try:
        await _ask(names["app"], token)
    finally:
        closing = behest.close()
        if closing is not None:
            await closing


async def _ask(app: Any, token: str) -> None:
    if hasattr(app, "wsgi_app"):
        await asyncio.to_thread(_follow_blocking, app, token)
        return
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PAGE) as client:
        _judge(await client.post(PATH), await client.post(PATH, headers={"Authorization": f"Bearer {token}"}))
        for route in getattr(app, "routes", []):
            path, methods = getattr(route, "path", ""), getattr(route, "methods", None) or set()
            if "POST" in methods and path != PATH:
                assert (await client.post(path)).status_code == 401
                answer = await client.post(
                    path, headers={"Authorization": f"Bearer {token}"}, params={"question": "Say hello."}
                )
                assert answer.status_code == 200, answer.text


def _follow_blocking(app: Any, token: str) -> None:
    with httpx.Client(transport=httpx.WSGITransport(app), base_url=PAGE) as client:
        _judge(client.post(PATH), client.post(PATH, headers={"Authorization": f"Bearer {token}"}))
        for rule in app.url_map.iter_rules():
            if "POST" in rule.methods and rule.rule != PATH:
                assert client.post(rule.rule).status_code == 401
                answer = client.post(
                    rule.rule, headers={"Authorization": f"Bearer {token}"}, data={"question": "Say hello."}
                )
                assert answer.status_code == 200, answer.text


def _judge(refused: httpx.Response, minted: httpx.Response) -> None:
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "missing_credential"
    assert minted.status_code == 200, minted.text
    assert sorted(minted.json()) == ["expiresAt", "sessionId", "token", "ttl"]
