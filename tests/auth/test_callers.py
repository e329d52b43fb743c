"""Who somebody is at the gateway: ids that nobody shares, tiers that nobody can give himself, sessions of one's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from behest import Behest
from behest_auth import ConfigError, ForbiddenError, Identity, TokenExchange
from behest_protocol.claims import user_id_problem

from ..support.issuer import Issuer
from ..support.sign_ins import ABSENT, KINDS, SUBJECT, Kind, rerouted
from .apps import APPS, PATH, App


class Nobody(Issuer):
    """An issuer that is never asked."""

    @property
    def url(self) -> str:
        return "http://127.0.0.1:9"


NOBODY = Nobody()


def minted(answer: Any) -> dict[str, Any]:
    """The claims of the token in an answer."""
    assert answer.status_code == 200, answer.text
    return jwt.decode(answer.json()["token"], options={"verify_signature": False})


def ada(**changes: Any) -> Identity:
    fields: dict[str, Any] = {"provider": "oidc", "issuer": "https://id.test", "subject": "ada", "expires_at": 0}
    return Identity(**{**fields, **changes})


@pytest.fixture
def exchange(signing: dict[str, Any]) -> Callable[..., TokenExchange]:
    def make(**options: Any) -> TokenExchange:
        return TokenExchange(KINDS["supabase"].make(NOBODY, rerouted(NOBODY)), Behest(**signing), **options)

    return make


@pytest.mark.parametrize(
    "subject",
    [
        "user_2abc",
        "auth0|ada",
        "google-oauth2|1234",
        SUBJECT,
        "Ada.Lovelace@acme.test",
        "a" * 128,
    ],
)
def test_a_plain_id_stays_as_it_is(exchange: Callable[..., TokenExchange], subject: str) -> None:
    assert exchange().caller_of(ada(subject=subject)).user_id == subject


@pytest.mark.parametrize(
    "subject",
    [
        "a\r\nb",
        "a\x00b",
        "../etc",
        "a" * 300,
        "\u0430dmin",
        "admin\u200b",
        " admin",
        "admin ",
        "-x",
        "ada lovelace",
        "\ud800",
        "oidc-" + "0" * 40,
    ],
    ids=ascii,
)
def test_any_other_id_is_hashed_with_its_issuer(exchange: Callable[..., TokenExchange], subject: str) -> None:
    here = exchange().caller_of(ada(subject=subject)).user_id
    there = exchange().caller_of(ada(subject=subject, issuer="https://other.test")).user_id

    assert here.startswith("oidc-")
    assert here != there
    assert here != subject
    assert user_id_problem(here) is None


@pytest.mark.parametrize("made", ["", " ", "default", "ADMIN", "a\nb", None, 7])
def test_an_id_that_the_app_makes_is_checked_as_well(exchange: Callable[..., TokenExchange], made: Any) -> None:
    with pytest.raises(ForbiddenError, match="reserved_user_id"):
        exchange(user_id=lambda identity: made).caller_of(ada())


def test_the_app_may_make_ids_of_its_own_and_say_no(exchange: Callable[..., TokenExchange]) -> None:
    own = exchange(user_id=lambda identity: f"acme:{identity.subject}", allow=lambda identity: identity.email_verified)

    assert own.caller_of(ada(email_verified=True)).user_id == "acme:ada"
    with pytest.raises(ForbiddenError, match="not_allowed"):
        own.caller_of(ada())


async def test_what_a_page_sends_chooses_no_user_tier_or_session(app: App, kind: Kind, shared_issuer: Issuer) -> None:
    bearer = [("Authorization", f"Bearer {kind.token(shared_issuer)}"), ("Content-Type", "application/json")]
    content = b'{"user_id": "eve", "uid": "eve", "tier": 9, "session_id": "s", "role": "admin", "ttl": 86400}'
    query = "?user_id=eve&uid=eve&tier=9&session_id=s&role=admin&ttl=86400"

    claims = minted(await app.ask("POST", PATH + query, bearer, content))

    assert claims["uid"] == kind.claims(shared_issuer, 0)["sub"]
    assert claims["role"] == "user"
    assert claims["exp"] - claims["iat"] == 600
    assert claims["sid"] != "s"
    assert "tier" not in claims


async def test_a_login_keeps_its_session_and_a_thread_has_one_of_its_own(
    app: App, shared_issuer: Issuer, kind: Kind
) -> None:
    async def session(query: str = "", **changes: Any) -> str:
        bearer = [("Authorization", f"Bearer {kind.token(shared_issuer, changes)}")]
        found: str = (await app.ask("POST", PATH + query, bearer)).json()["sessionId"]
        assert str(uuid.UUID(found)) == found
        return found

    threads = [await session("?thread=a"), await session("?thread=a", sub="user-b"), await session("?thread=b")]
    assert await session("?thread=a") == threads[0]
    assert len(set(threads)) == 3
    if kind.name.startswith("auth0"):  # It tells no login apart.
        assert await session() != await session()
        return
    claim = {"supabase": "session_id"}.get(kind.name, "sid")
    logins = [await session(), await session(**{claim: "another"}), await session(sub="user-b")]
    assert await session() == logins[0]
    assert len({*logins, *threads}) == 6


@pytest.mark.parametrize("label", ["", "a b", "x" * 65, "../a", "ä", "a%0Ab"])
async def test_a_thread_of_another_form_is_400(app: App, kind: Kind, shared_issuer: Issuer, label: str) -> None:
    bearer = [("Authorization", f"Bearer {kind.token(shared_issuer)}")]
    answer = await app.ask("POST", f"{PATH}?thread={label}", bearer)

    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "code": "validation_error",
        "message": "thread must be 1 to 64 letters, digits, _ or -.",
    }


PLANS: list[tuple[Any, int | str]] = [
    ("pro", 2), ("free", 1), ("enterprise", 1), ("", 1), (None, 1), (2, 1), (["pro"], 1), ({"pro": 2}, 1), (True, 1),
]  # fmt: skip


@pytest.mark.parametrize(("plan", "tier"), PLANS, ids=repr)
@pytest.mark.parametrize("framework", sorted(APPS))
async def test_a_plan_that_is_not_listed_is_the_lowest_tier(
    framework: str, plan: Any, tier: int, shared_issuer: Issuer, make_app: Callable[..., App]
) -> None:
    kind = KINDS["supabase"]
    app = make_app(
        framework,
        kind.make(shared_issuer, rerouted(shared_issuer)),
        tier={"pro": 2, "free": 1},
        tier_claim="app_metadata.plan",
    )
    token = kind.token(shared_issuer, {"app_metadata": {"plan": plan}, "user_metadata": {"plan": "pro"}})

    assert minted(await app.mint(token))["tier"] == tier
    assert minted(await app.mint(kind.token(shared_issuer, {"app_metadata": ABSENT})))["tier"] == 1


def test_a_tier_is_a_function_a_name_or_nothing(exchange: Callable[..., TokenExchange]) -> None:
    plan = ada(claims={"plan": "gold"})

    assert exchange().caller_of(plan).tier is None
    assert exchange(tier=lambda identity: 7).caller_of(plan).tier == 7
    assert exchange(tier=lambda identity: None).caller_of(plan).tier is None
    named = exchange(tier={"basic": "small", "gold": "large"}, tier_claim=("plan",))
    assert named.caller_of(plan).tier == "large"
    assert named.caller_of(ada()).tier == "small"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tier": {"pro": 2}}, "tier_claim is required"),
        ({"tier": {"pro": 2}, "tier_claim": "user_metadata.plan"}, "users write user_metadata themselves"),
        ({"tier": {"pro": 2}, "tier_claim": "unsafe_metadata.plan"}, "users write unsafe_metadata themselves"),
        ({"tier": {"pro": 2}, "tier_claim": ["user_metadata", "plan"]}, "users write user_metadata themselves"),
        ({"tier": {"pro": 2}, "tier_claim": "a..b"}, "must name a claim"),
        ({"tier": {}, "tier_claim": "plan"}, "tier must map"),
        ({"tier": {"pro": None}, "tier_claim": "plan"}, "tier must map"),
        ({"tier": {"pro": True}, "tier_claim": "plan"}, "tier must map"),
        ({"ttl": 59}, "ttl must be between 60 and 86400"),
        ({"ttl": "600"}, "ttl must be a whole number"),
    ],
    ids=str,
)
def test_a_wrong_exchange_stops_the_start(exchange: Callable[..., TokenExchange], options: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        exchange(**options)
