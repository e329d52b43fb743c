"""The FastAPI app, rendered and run: its own checks pass, and over a socket it believes nobody but its session."""

from __future__ import annotations

import base64
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from .rendering import ROOT, listening, python, serving

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ENV = {
    "BEHEST_BASE_URL": "http://127.0.0.1:9",
    "BEHEST_KEY": base64.b64encode(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())).decode(),
    "BEHEST_KID": f"sk_{'a' * 32}",
    "BEHEST_TENANT_ID": "tenant",
    "BEHEST_PROJECT_ID": "project",
    "SESSION_SECRET": "only for this test, and long enough",
    "APP_ENV": "development",
    "APP_NAME": "Test",
}
"""With a private key the app signs tokens by itself, so no gateway is needed; nothing listens at port 9."""


@contextmanager
def browsing(app: Path, env: dict[str, str]) -> Generator[httpx.Client]:
    """Run the app, and give a browser that is on its page."""
    with (
        listening() as (listener, url),
        serving(app, listener, env),
        httpx.Client(base_url=url, headers={"Origin": url}, timeout=20, trust_env=False) as browser,
    ):
        yield browser


def claims_in(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return jwt.decode(answer.json()["token"], KEY.public_key(), algorithms=["RS256"], audience="behest")


def test_its_own_tests_pass(fastapi_app: Path) -> None:
    code, output = python("-m", "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider", cwd=fastapi_app)
    assert code == 0, output
    assert "passed" in output


def test_its_python_is_typed_and_tidy(fastapi_app: Path, tmp_path: Path) -> None:
    for command in (
        ["mypy", "--strict", "--cache-dir", str(tmp_path), "app.py", "auth.py", "origin.py", "settings.py", "tests"],
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "format", "--no-cache", "--check", "."],
    ):
        code, output = python("-m", *command, cwd=fastapi_app)
        assert code == 0, output


def test_a_user_cannot_say_who_they_are(fastapi_app: Path) -> None:
    lies: dict[str, Any] = {"user_id": "bob", "userId": "bob", "uid": "bob", "sub": "bob", "tier": 3, "role": "admin"}
    with browsing(fastapi_app, ENV) as browser:
        assert browser.post("/api/behest/token", json=lies).status_code == 401
        assert browser.post("/api/sign-in", json={"user": "alice"}).status_code == 204
        session = f"app_session={browser.cookies['app_session']}"
        for answer in (
            browser.post("/api/behest/token", json=lies),
            browser.post("/api/behest/token", data=lies),
            browser.post("/api/behest/token", params=lies),
            browser.post("/api/behest/token", headers={"X-End-User-Id": "bob", "X-User": "bob", "X-Tier": "3"}),
            browser.post("/api/behest/token", headers={"Authorization": "Bearer bob", "X-Role": "admin"}),
            browser.post("/api/behest/token", headers={"Cookie": f"uid=bob; {session}; tier=3"}),
        ):
            claims = claims_in(answer)
            assert (claims["uid"], claims["tier"], claims["role"]) == ("alice", 1, "user")


def test_another_sites_page_gets_no_token_and_no_permission(fastapi_app: Path) -> None:
    with browsing(fastapi_app, ENV) as browser:
        assert browser.post("/api/sign-in", json={"user": "alice"}).status_code == 204
        for origin in ("https://evil.test", "null", str(browser.base_url).replace("127.0.0.1", "localhost")):
            answer = browser.post("/api/behest/token", headers={"Origin": origin})
            assert answer.status_code == 403
            assert "eyJ" not in answer.text
            preflight = browser.options(
                "/api/behest/token", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
            )
            for reply in (answer, preflight):
                assert not [name for name in reply.headers if name.startswith("access-control-")]
        del browser.headers["Origin"]
        assert browser.post("/api/behest/token").status_code == 403
        assert browser.get("/api/behest/token").status_code == 405


@pytest.mark.parametrize("app_env", ["production", "", "Development "])
def test_the_sign_in_without_passwords_is_refused_outside_development(fastapi_app: Path, app_env: str) -> None:
    with browsing(fastapi_app, {**ENV, "APP_ENV": app_env}) as browser:
        answer = browser.post("/api/sign-in", json={"user": "alice"})
        assert answer.status_code == 403
        assert "APP_ENV" in answer.text
        assert "set-cookie" not in answer.headers
        session = {"sub": "alice", "sid": "s", "aud": "dev-sign-in", "exp": int(time.time()) + 600}
        browser.cookies.set("app_session", jwt.encode(session, ENV["SESSION_SECRET"], algorithm="HS256"))
        assert browser.post("/api/behest/token").status_code == 401


@pytest.mark.parametrize("missing", ["BEHEST_BASE_URL", "BEHEST_KEY"])
def test_a_start_without_a_setting_ends_with_one_sentence(fastapi_app: Path, missing: str) -> None:
    env = {name: value for name, value in ENV.items() if name != missing}
    code, output = python("-m", "uvicorn", "app:app", "--port", "0", cwd=fastapi_app, env=env)
    assert code != 0
    assert missing in output
    assert "Traceback" not in output


def test_a_gateway_that_is_not_there_is_said_plainly(fastapi_app: Path) -> None:
    env = {**ENV, "BEHEST_KEY": f"behest_sk_live_{'0' * 32}"}
    with browsing(fastapi_app, env) as browser:
        assert browser.post("/api/sign-in", json={"user": "alice"}).status_code == 204
        answer = browser.post("/api/behest/token")
        assert answer.status_code == 502
        assert env["BEHEST_KEY"] not in answer.text


def test_the_app_runs_where_it_lies_too(tmp_path: Path) -> None:
    with browsing(ROOT / "templates/fastapi", ENV) as browser:
        assert browser.get("/api/config").json() == {"baseUrl": "http://127.0.0.1:9", "name": "Test"}
