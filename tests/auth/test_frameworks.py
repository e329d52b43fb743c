"""What a framework's own parts do: dependencies, decorators, middleware, and the padlock in OpenAPI."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from ..support.issuer import Issuer
from ..support.sign_ins import KINDS, Kind, rerouted
from .apps import PATH, App

MakeApp = Callable[..., App]
ME = {"fastapi": "/me", "flask": "/me", "starlette": "/with/me"}


def make(framework: str, kind: Kind, issuer: Issuer, make_app: MakeApp) -> App:
    return make_app(framework, kind.make(issuer, rerouted(issuer)))


@pytest.mark.parametrize("framework", sorted(ME))
async def test_a_page_of_the_app_knows_who_is_signed_in(
    framework: str, kind: Kind, shared_issuer: Issuer, make_app: MakeApp
) -> None:
    app = make(framework, kind, shared_issuer, make_app)
    token = kind.token(shared_issuer)
    good = await app.ask("GET", ME[framework], [("Authorization", f"Bearer {token}")])
    bad = await app.ask("GET", ME[framework], [("Authorization", f"Bearer {token[:-8]}")])
    missing = await app.ask("GET", ME[framework])

    assert good.status_code == 200
    assert good.json()["subject"] == kind.claims(shared_issuer, 0)["sub"]
    assert bad.status_code == 401
    assert bad.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    if framework == "starlette":  # It leaves the decision to the app.
        assert (missing.status_code, missing.json()) == (200, {"subject": None})
    else:
        assert missing.status_code == 401


async def test_an_optional_user_may_be_missing_but_not_bad(shared_issuer: Issuer, make_app: MakeApp) -> None:
    kind = KINDS["supabase"]
    app = make("fastapi", kind, shared_issuer, make_app)
    good = await app.ask("GET", "/maybe", [("Authorization", f"Bearer {kind.token(shared_issuer)}")])

    assert good.json() == {"subject": kind.claims(shared_issuer, 0)["sub"]}
    assert (await app.ask("GET", "/maybe")).json() == {"subject": None}
    for value in ("Bearer x", "DPoP x", "Bearer a.b.c"):
        assert (await app.ask("GET", "/maybe", [("Authorization", value)])).status_code == 401


@pytest.mark.parametrize(("framework", "path"), [("fastapi", "/caller"), ("flask", "/me")])
async def test_a_client_speaks_for_whoever_is_signed_in_and_for_nobody_else(
    framework: str, path: str, shared_issuer: Issuer, make_app: MakeApp
) -> None:
    kind = KINDS["supabase"]
    app = make(framework, kind, shared_issuer, make_app)
    for user in ("user-a", "user-b", "user-a"):
        bearer = [("Authorization", f"Bearer {kind.token(shared_issuer, {'sub': user})}")]

        assert (await app.ask("GET", path, bearer)).json()["user_id"] == user


async def test_a_user_who_may_not_have_a_client_is_403(shared_issuer: Issuer, make_app: MakeApp) -> None:
    kind = KINDS["supabase"]
    app = make("fastapi", kind, shared_issuer, make_app)
    bearer = [("Authorization", f"Bearer {kind.token(shared_issuer, {'sub': 'default'})}")]
    answer = await app.ask("GET", "/caller", bearer)

    assert (answer.status_code, answer.json()["detail"]["code"]) == (403, "forbidden")


async def test_the_schema_has_a_padlock_and_says_what_is_answered(
    kind: Kind, shared_issuer: Issuer, make_app: MakeApp
) -> None:
    schema = (await make("fastapi", kind, shared_issuer, make_app).ask("GET", "/schema")).json()
    name = kind.name.split("-")[0]
    route = schema["paths"][PATH]["post"]

    assert schema["components"]["securitySchemes"] == {
        name: {"type": "http", "scheme": "bearer", "description": f"An access token of {name}"}
    }
    assert all(schema["paths"][path]["get"]["security"] == [{name: []}] for path in ("/me", "/maybe", "/caller"))
    assert route["security"] == [{name: []}]
    assert route["responses"]["200"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TokenBundle"
    }
    assert sorted(schema["components"]["schemas"]["TokenBundle"]["properties"]) == [
        "expiresAt", "sessionId", "token", "ttl",
    ]  # fmt: skip
    assert {"400", "401", "403", "502", "503"} <= set(route["responses"])
    assert "requestBody" not in route


async def test_neither_token_is_ever_in_the_log(
    app: App, kind: Kind, shared_issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = kind.token(shared_issuer)
    minted = (await app.mint(token)).json()["token"]
    await app.mint(f"{token}x")

    assert "Refused" in caplog.text
    for secret in (token, minted):
        assert not any(part in caplog.text for part in secret.split(".")[1:])
