"""The promises of this app that must survive every change to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from fastapi.testclient import TestClient

import auth
from settings import Settings, SettingsError

STATIC = Path(__file__).parent.parent / "static"


def sign_in(browser: TestClient, user: str = "alice") -> None:
    assert browser.post("/api/sign-in", json={"user": user}).status_code == 204


def claims_of(token: str, public_key: RSAPublicKey) -> dict[str, Any]:
    return jwt.decode(token, public_key, algorithms=["RS256"], audience="behest")


def test_a_visitor_is_asked_to_sign_in_first(browser: TestClient) -> None:
    answer = browser.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


def test_nobody_gets_a_token_without_a_session(browser: TestClient) -> None:
    answer = browser.post("/api/behest/token")
    assert (answer.status_code, answer.text) == (401, "Unauthorized")


@pytest.mark.parametrize(("user", "tier"), [("alice", 1), ("bob", 2), ("carol", 3)])
def test_a_token_speaks_for_the_signed_in_user(
    browser: TestClient, public_key: RSAPublicKey, user: str, tier: int
) -> None:
    sign_in(browser, user)
    answer = browser.post("/api/behest/token")
    bundle = answer.json()
    claims = claims_of(bundle["token"], public_key)
    assert (claims["uid"], claims["tier"], claims["role"]) == (user, tier, "user")
    assert (claims["exp"] - claims["iat"], bundle["ttl"], bundle["expiresAt"]) == (900, 900, claims["exp"])
    assert sorted(bundle) == ["expiresAt", "sessionId", "token", "ttl"]
    assert answer.headers["cache-control"] == "no-store"


def test_what_the_page_says_about_the_user_is_ignored(browser: TestClient, public_key: RSAPublicKey) -> None:
    sign_in(browser, "alice")
    lies: dict[str, Any] = {"user_id": "bob", "uid": "bob", "user": "bob", "tier": 3, "role": "admin", "ttl": 86400}
    answers = [
        browser.post("/api/behest/token", json=lies),
        browser.post("/api/behest/token", params=lies),
        browser.post("/api/behest/token", headers={"X-End-User-Id": "bob", "X-User-Id": "bob", "X-Tier": "3"}),
    ]
    for answer in answers:
        claims = claims_of(answer.json()["token"], public_key)
        assert (claims["uid"], claims["tier"], claims["role"]) == ("alice", 1, "user")
        assert claims["exp"] - claims["iat"] == 900


def test_one_sign_in_is_one_session_however_often_its_token_is_renewed(browser: TestClient) -> None:
    sign_in(browser)
    first, second = (browser.post("/api/behest/token").json()["sessionId"] for _ in range(2))
    sign_in(browser)
    third = browser.post("/api/behest/token").json()["sessionId"]
    assert first == second != third


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "http://app.test.evil.test", "https://app.test", "http://app.test:81", "null", ""]
)
@pytest.mark.parametrize("path", ["/api/behest/token", "/api/sign-in", "/api/sign-out"])
def test_another_sites_page_is_refused(browser: TestClient, path: str, origin: str) -> None:
    sign_in(browser)
    answer = browser.post(path, json={"user": "bob"}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert browser.get("/api/me").json()["id"] == "alice"


def test_a_request_that_no_page_made_is_refused(browser: TestClient) -> None:
    sign_in(browser)
    del browser.headers["Origin"]
    assert browser.post("/api/behest/token").status_code == 403
    assert browser.post("/api/behest/token", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.post("/api/behest/token", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_the_session_cookie_is_out_of_the_pages_reach(browser: TestClient) -> None:
    cookie = browser.post("/api/sign-in", json={"user": "alice"}).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_a_session_that_was_made_up_or_is_over_is_nobodys(browser: TestClient, settings: Settings) -> None:
    now = int(time.time())
    claims = {"sub": "alice", "sid": "s", "aud": auth.AUDIENCE, "exp": now + 60}
    unsigned = jwt.encode(claims, "", algorithm="none")
    forged = jwt.encode(claims, "another secret that is long enough", algorithm="HS256")
    over = jwt.encode({**claims, "exp": now - 1}, settings.session_secret, algorithm="HS256")
    stranger = jwt.encode({**claims, "sub": "mallory"}, settings.session_secret, algorithm="HS256")
    for cookie in (unsigned, forged, over, stranger, "nonsense", ""):
        browser.cookies.set(auth.COOKIE, cookie)
        assert browser.post("/api/behest/token").status_code == 401, cookie


def test_signing_out_ends_the_session(browser: TestClient) -> None:
    sign_in(browser)
    assert browser.post("/api/sign-out").status_code == 204
    assert browser.get("/api/me").status_code == 401


def test_outside_development_nobody_can_sign_in_without_a_password(
    browser: TestClient, browser_in_production: TestClient
) -> None:
    for answer in (
        browser_in_production.post("/api/sign-in", json={"user": "alice"}),
        browser_in_production.get("/api/people"),
    ):
        assert (answer.status_code, answer.text) == (403, auth.REFUSED)
    sign_in(browser)
    browser_in_production.cookies.set(auth.COOKIE, browser.cookies[auth.COOKIE])
    assert browser_in_production.post("/api/behest/token").status_code == 401


def test_no_answer_holds_a_secret(browser: TestClient, settings: Settings) -> None:
    sign_in(browser)
    paths = ["/", "/sign-in", "/api/config", "/api/me", "/api/people"]
    paths += [f"/static/{file.name}" for file in STATIC.iterdir()]
    for path in paths:
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert settings.session_secret not in answer.text
        assert "PRIVATE KEY" not in answer.text


def test_the_browser_is_told_to_run_and_reach_nothing_else(browser: TestClient) -> None:
    policy = browser.get("/sign-in").headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "connect-src 'self' http://gateway.test" in policy


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({}, "BEHEST_BASE_URL"),
        ({"BEHEST_BASE_URL": "http://g"}, "SESSION_SECRET"),
        ({"BEHEST_BASE_URL": "http://g", "SESSION_SECRET": "short", "APP_ENV": "development"}, "SESSION_SECRET"),
    ],
)
def test_a_setting_that_is_missing_is_named(env: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.from_env(env)


def test_only_the_exact_word_switches_development_on() -> None:
    env = {"BEHEST_BASE_URL": "http://g/v1/", "SESSION_SECRET": "s" * 40}
    modes = {mode: Settings.from_env({**env, "APP_ENV": mode}).is_development for mode in ("", "dev", "development")}
    assert modes == {"": False, "dev": False, "development": True}
    assert Settings.from_env(env).base_url == "http://g"
