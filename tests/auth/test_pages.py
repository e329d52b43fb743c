"""Where a credential may come from: headers, cookies, and pages of which origin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from behest_auth import Clerk, ConfigError

from ..support.issuer import RSA_KEY, Issuer, public_pem
from ..support.sign_ins import INSTANCE, KINDS, PAGE, Kind, rerouted
from .apps import APPS, PATH, App, Headers

OTHER = "https://other.acme.test:8443"


@pytest.fixture(params=sorted(APPS))
def cookie_app(request: pytest.FixtureRequest, make_app: Callable[..., App]) -> App:
    """An app that also takes Clerk's cookie."""
    verifier = Clerk(INSTANCE, [PAGE], jwt_key=public_pem(RSA_KEY), cookie=True)
    return make_app(request.param, verifier, origins=[PAGE, OTHER])


@pytest.fixture
def token(shared_issuer: Issuer) -> str:
    return KINDS["clerk-pem"].token(shared_issuer)


def code(answer: Any) -> str:
    said: str = answer.json()["error"]["code"]
    return said


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", PAGE)],
        [("Origin", OTHER)],
        [("Sec-Fetch-Site", "same-origin")],
        [("Origin", PAGE), ("Content-Type", "application/json; charset=utf-8")],
        [("Origin", PAGE), ("Authorization", "Basic YTpi")],
    ],
    ids=str,
)
async def test_a_page_of_the_app_mints_with_a_cookie(cookie_app: App, token: str, headers: Headers) -> None:
    # A cookie with JSON in it, and others whose names are alike, do not hide the good one.
    cookie = f'prefs={{"a": "b"}}; __session_x=bad; x__session=bad; a/b@[]=1; __session={token}; last=1'
    answer = await cookie_app.ask("POST", PATH, [*headers, ("Cookie", cookie)])

    assert answer.status_code == 200, answer.text
    assert answer.headers.get("access-control-allow-origin") == dict(headers).get("Origin")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Origin", "null")],
        [("Origin", f"{PAGE}.evil.test")],
        [("Origin", "https://sub.app.acme.test")],
        [("Origin", "https://acme.test")],
        [("Origin", f"{PAGE}:444")],
        [("Origin", "http://app.acme.test")],
        [("Origin", f"{PAGE}/")],
        [("Origin", PAGE.upper())],
        [("Origin", f"{PAGE}, https://evil.test")],
        [("Origin", "https://evil.test"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "none")],
        [("Referer", f"{PAGE}/")],
        [("Origin", PAGE), ("Content-Type", "application/x-www-form-urlencoded")],
        [("Origin", PAGE), ("Content-Type", "multipart/form-data; boundary=x")],
        [("Origin", PAGE), ("Content-Type", "text/plain;application/json")],
    ],
    ids=str,
)
async def test_no_other_page_mints_with_a_cookie(cookie_app: App, token: str, headers: Headers) -> None:
    answer = await cookie_app.ask("POST", PATH, [*headers, ("Cookie", f"__session={token}")])

    assert (answer.status_code, code(answer)) == (403, "forbidden")


async def test_the_route_answers_no_get(cookie_app: App, token: str) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = await cookie_app.ask(method, PATH, [("Origin", PAGE), ("Cookie", f"__session={token}")])

        assert answer.status_code == 405


async def test_two_cookies_of_the_name_or_too_many_at_all_are_refused(cookie_app: App, token: str) -> None:
    planted = f"__session={token}; __session={token}x"
    many = "; ".join([*(f"c{number}=1" for number in range(100)), f"__session={token}"])
    for cookie in (planted, many):
        answer = await cookie_app.ask("POST", PATH, [("Origin", PAGE), ("Cookie", cookie)])

        assert (answer.status_code, code(answer)) == (401, "invalid_token")


@pytest.mark.parametrize("cookie", ["", "__session=", "__sessionx=a", "__session_a=b; c", "=", ";;"])
async def test_without_the_cookie_nobody_is_signed_in(cookie_app: App, cookie: str) -> None:
    answer = await cookie_app.ask("POST", PATH, [("Origin", PAGE), ("Cookie", cookie)])

    assert (answer.status_code, code(answer)) == (401, "missing_credential")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_bad_bearer_is_never_passed_over_for_a_good_cookie(cookie_app: App, token: str) -> None:
    headers = [("Origin", PAGE), ("Cookie", f"__session={token}"), ("Authorization", f"Bearer {token}x")]

    assert (await cookie_app.ask("POST", PATH, headers)).status_code == 401


async def test_the_cookie_is_not_taken_unless_that_was_chosen(make_app: Callable[..., App], token: str) -> None:
    verifier = Clerk(INSTANCE, [PAGE], jwt_key=public_pem(RSA_KEY))
    for framework in sorted(APPS):
        app = make_app(framework, verifier, origins=[PAGE])
        answer = await app.ask("POST", PATH, [("Origin", PAGE), ("Cookie", f"__session={token}")])

        assert (answer.status_code, code(answer)) == (401, "missing_credential")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], "missing_credential"),
        ([("Authorization", "")], "missing_credential"),
        ([("Authorization", "Bearer")], "missing_credential"),
        ([("Authorization", "Bearer   ")], "missing_credential"),
        ([("Authorization", "Basic YTpi")], "missing_credential"),
        ([("Authorization", "Token {token}")], "missing_credential"),
        ([("Authorization", "DPoP {token}")], "invalid_token"),
        ([("Authorization", "Bearer {token} {token}")], "invalid_token"),
        ([("Authorization", "Bearer {token},Bearer {token}")], "invalid_token"),
        ([("X-Authorization", "Bearer {token}")], "missing_credential"),
    ],
    ids=str,
)
async def test_a_header_without_one_bearer_token_is_401(
    app: App, kind: Kind, shared_issuer: Issuer, headers: Headers, said: str
) -> None:
    token = kind.token(shared_issuer)
    answer = await app.ask("POST", PATH, [(name, value.replace("{token}", token)) for name, value in headers])

    assert (answer.status_code, code(answer)) == (401, said)


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
async def test_two_headers_are_refused(framework: str, make_app: Callable[..., App], token: str) -> None:
    # WSGI joins headers of one name before Flask sees them; that is the row with a comma above.
    app = make_app(framework, Clerk(INSTANCE, [PAGE], jwt_key=public_pem(RSA_KEY)))
    answer = await app.ask("POST", PATH, [("Authorization", f"Bearer {token}")] * 2)

    assert (answer.status_code, code(answer)) == (401, "invalid_token")


async def test_the_scheme_may_be_in_small_letters(app: App, kind: Any, shared_issuer: Issuer) -> None:
    answer = await app.ask("POST", PATH, [("authorization", f"bearer {kind.token(shared_issuer)}")])

    assert answer.status_code == 200


async def test_another_origin_may_read_an_answer_only_when_it_is_listed(cookie_app: App, token: str) -> None:
    bearer = ("Authorization", f"Bearer {token}")
    listed = await cookie_app.ask("POST", PATH, [bearer, ("Origin", OTHER)])
    stranger = await cookie_app.ask("POST", PATH, [bearer, ("Origin", "https://evil.test")])
    refused = await cookie_app.ask("POST", PATH, [("Origin", OTHER)])
    asked = [("Access-Control-Request-Method", "POST")]
    good = await cookie_app.ask("OPTIONS", PATH, [("Origin", OTHER), *asked])
    bad = await cookie_app.ask("OPTIONS", PATH, [("Origin", "https://evil.test"), *asked])

    assert listed.headers["access-control-allow-origin"] == OTHER
    assert refused.headers["access-control-allow-origin"] == OTHER
    assert good.headers["access-control-allow-origin"] == OTHER
    assert good.headers["access-control-allow-methods"] == "POST"
    assert "access-control-allow-origin" not in stranger.headers
    assert "access-control-allow-origin" not in bad.headers
    assert {answer.headers["vary"] for answer in (listed, stranger, refused, good, bad)} == {"Origin"}


async def test_without_origins_no_page_of_another_origin_reads_anything(app: App) -> None:
    for method in ("OPTIONS", "POST"):
        answer = await app.ask(method, PATH, [("Origin", "https://evil.test")])

        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "https://*.acme.test", "https://app.acme.test/", "app.acme.test", "https://App.acme.test", ""],
)
def test_an_origin_that_is_none_stops_the_start(make_app: Callable[..., App], issuer: Issuer, origin: str) -> None:
    for framework in sorted(APPS):
        with pytest.raises(ConfigError, match="is no origin"):
            make_app(framework, KINDS["supabase"].make(issuer, rerouted(issuer)), origins=[origin])


def test_a_cookie_without_origins_stops_the_start(make_app: Callable[..., App]) -> None:
    for framework in sorted(APPS):
        with pytest.raises(ConfigError, match="origins is required, because clerk takes a cookie"):
            make_app(framework, Clerk(INSTANCE, [PAGE], cookie=True))
