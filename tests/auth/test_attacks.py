"""What must not get a token, through the mounted route of every framework, for every provider it applies to.

Each row says which reason the log must name, so that no row is refused for another reason than its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ..support.issuer import (
    EC_KEY,
    ENCRYPTION_KEY,
    LEAKED_KEY,
    RS512_KEY,
    RSA_KEY,
    SECRET_KEY,
    SMALL_KEY,
    Issuer,
    public_jwk,
    public_pem,
)
from ..support.sign_ins import ABSENT, AUDIENCE, KINDS, PAGE, TENANT, Kind, assemble, base64url, rerouted, with_key
from .apps import App

EVERY = ("supabase", "clerk", "clerk-pem", "auth0", "auth0-rfc9068", "oidc")
FETCHING = tuple(name for name in EVERY if name != "clerk-pem")
CLERK = ("clerk", "clerk-pem")
AUTH0 = ("auth0", "auth0-rfc9068")
WITH_AUDIENCE = tuple(name for name in EVERY if name not in CLERK)

Make = Callable[[Kind, Issuer], str]


@dataclass(frozen=True)
class Attack:
    """A token and what must become of it."""

    name: str
    make: Make
    reason: str
    status: int = 401
    kinds: tuple[str, ...] = EVERY


def claims(**changes: Any) -> Make:
    return lambda kind, issuer: kind.token(issuer, changes)


def header(**changes: Any) -> Make:
    return lambda kind, issuer: kind.token(issuer, header=changes)


def timed(**offsets: Any) -> Make:
    """Claims that are some seconds from now."""
    return lambda kind, issuer: kind.token(
        issuer, {name: int(time.time()) + offset for name, offset in offsets.items()}
    )


def hmac_with(secret: Callable[[Kind], str]) -> Make:
    """An HS256 token whose secret is something public."""

    def make(kind: Kind, issuer: Issuer) -> str:
        def sign(signed: bytes) -> bytes:
            return hmac.new(secret(kind).encode(), signed, hashlib.sha256).digest()

        head = {"alg": "HS256", "typ": "JWT", "kid": kind.key}
        return assemble(head, kind.claims(issuer, int(time.time())), sign)

    return make


def unsigned(algorithm: str) -> Make:
    return lambda kind, issuer: assemble(
        {"alg": algorithm, "kid": kind.key}, kind.claims(issuer, int(time.time())), lambda _: b""
    )


def another_algorithm(kind: Kind, issuer: Issuer) -> str:
    other = "PS256" if kind.algorithm == "RS256" else "RS256"
    key = kind.key if kind.algorithm == "RS256" else RSA_KEY
    head = {"alg": other, "typ": "JWT", **kind.header, "kid": kind.key}
    return assemble(head, kind.claims(issuer, int(time.time())), with_key(key, other))


def signed_by_another(kind: Kind, issuer: Issuer) -> str:
    """A forgery under the name of a real key."""
    forger = "ec-forger" if kind.key == EC_KEY else "forger"
    token = kind.token(issuer, key=forger)
    return ".".join([kind.token(issuer).split(".")[0], *_resigned(token, kind, forger)])


def _resigned(token: str, kind: Kind, forger: str) -> tuple[str, str]:
    head = json.dumps({"alg": kind.algorithm, "typ": "JWT", **kind.header, "kid": kind.key}).encode()
    payload = token.split(".")[1]
    signed = f"{base64url(head)}.{payload}"
    return payload, base64url(with_key(forger, kind.algorithm)(signed.encode()))


def tampered(kind: Kind, issuer: Issuer) -> str:
    head, _, signature = kind.token(issuer).split(".")
    payload = json.dumps({**kind.claims(issuer, int(time.time())), "sub": "somebody-else"}).encode()
    return f"{head}.{base64url(payload)}.{signature}"


def payload_of(text: Callable[[str], bytes]) -> Make:
    """A token whose claims are this text, well signed; the text is made of the good one."""

    def make(kind: Kind, issuer: Issuer) -> str:
        head = {"alg": kind.algorithm, "typ": "JWT", **kind.header, "kid": kind.key}
        good = json.dumps(kind.claims(issuer, int(time.time())))
        return assemble(head, text(good), with_key(kind.key, kind.algorithm))

    return make


def other_key(name: str) -> Make:
    """A token that names a key of the set that may not be used, and is signed with it."""

    def make(kind: Kind, issuer: Issuer) -> str:
        head = {"alg": "RS256", "typ": "JWT", **kind.header, "kid": name}
        return assemble(head, kind.claims(issuer, int(time.time())), with_key(name, "RS256"))

    return make


def with_secret_of_the_set(kind: Kind, issuer: Issuer) -> str:
    def sign(signed: bytes) -> bytes:
        return hmac.new(b"secret-secret-secret-secret-secret", signed, hashlib.sha256).digest()

    return assemble({"alg": "HS256", "kid": SECRET_KEY}, kind.claims(issuer, int(time.time())), sign)


def text(value: str) -> Make:
    return lambda kind, issuer: value


def shape(change: Callable[[str], str]) -> Make:
    return lambda kind, issuer: change(kind.token(issuer))


def other_issuer(change: Callable[[str], Any]) -> Make:
    return lambda kind, issuer: kind.token(issuer, {"iss": change(kind.claims(issuer, 0)["iss"])})


def of_the_audience(change: Callable[[str], Any]) -> Make:
    def make(kind: Kind, issuer: Issuer) -> str:
        named = kind.claims(issuer, 0)["aud"]
        return kind.token(issuer, {"aud": change(named[0] if isinstance(named, list) else named)})

    return make


FORMS = [
    Attack("alg none", unsigned("none"), "malformed"),
    Attack("alg none with a signature", lambda k, i: f"{unsigned('none')(k, i)}AAAA", "algorithm"),
    Attack("alg nOnE with a signature", lambda k, i: f"{unsigned('nOnE')(k, i)}AAAA", "algorithm"),
    Attack("HS256 with the PEM as secret", hmac_with(lambda kind: public_pem(kind.key)), "algorithm"),
    Attack("HS256 with the JWK as secret", hmac_with(lambda kind: json.dumps(public_jwk(kind.key))), "algorithm"),
    Attack("HS256 with a secret of the key set", with_secret_of_the_set, "algorithm"),
    Attack("another algorithm with the same key", another_algorithm, "algorithm"),
    Attack("alg is a list", header(alg=["RS256"]), "algorithm"),
    Attack("alg is missing", header(alg=ABSENT), "algorithm"),
    Attack("jku", header(jku="http://127.0.0.1:9/jwks.json"), "bad_header"),
    Attack("x5u", header(x5u="http://127.0.0.1:9/x5u"), "bad_header"),
    Attack("x5c", header(x5c=["MIIB"]), "bad_header"),
    Attack("an embedded key", header(jwk=public_jwk(RSA_KEY)), "bad_header"),
    Attack("an unknown crit", header(crit=["urn:x"]), "bad_header"),
    Attack("b64 false", header(b64=False), "bad_header"),
    Attack("zip", header(zip="DEF"), "bad_header"),
    Attack("kid is missing", header(kid=ABSENT), "bad_header", kinds=FETCHING),
    Attack("kid is a list", header(kid=["rsa-1"]), "bad_header"),
    Attack("kid is a number", header(kid=1), "bad_header"),
    Attack("kid is empty", header(kid=""), "bad_header", kinds=FETCHING),
    Attack("kid is long", header(kid="k" * 300), "bad_header"),
    Attack("kid is a path", header(kid="../../etc/passwd"), "unknown_key", kinds=FETCHING),
    Attack("kid is unknown", header(kid="nobody"), "unknown_key", kinds=FETCHING),
    Attack("a key for encryption", other_key(ENCRYPTION_KEY), "unknown_key", kinds=FETCHING),
    Attack("a key that leaked", other_key(LEAKED_KEY), "unknown_key", kinds=FETCHING),
    Attack("a key of 1024 bits", other_key(SMALL_KEY), "unknown_key", kinds=FETCHING),
    Attack("a key for another algorithm", other_key(RS512_KEY), "algorithm", kinds=FETCHING),
    Attack("signed by another under a real kid", signed_by_another, "bad_signature"),
    Attack("another payload", tampered, "bad_signature"),
    Attack("a signature cut short", shape(lambda token: token[:-8]), "bad_signature"),
    Attack("no signature", shape(lambda token: token.rpartition(".")[0] + "."), "malformed"),
    Attack("two parts", shape(lambda token: token.rpartition(".")[0]), "malformed"),
    Attack("five parts", shape(lambda token: token + ".a.b"), "malformed"),
    Attack("padding", shape(lambda token: token + "=="), "malformed"),
    Attack("a space within", shape(lambda token: token.replace(".", ". ", 1)), "malformed"),
    Attack("a token twice", shape(lambda token: f"{token}, {token}"), "malformed"),
    Attack("garbage", text("garbage"), "malformed"),
    Attack("an opaque key", text("sb_secret_0123456789"), "malformed"),
    Attack("1 MiB", text("a" * 1_048_576), "too_large"),
    Attack("a header of 12 KiB", header(pad="x" * 9000), "too_large"),
    Attack("a header of 20 KiB", header(pad="x" * 20_000), "too_large"),
    Attack("claims are no JSON", payload_of(lambda good: b"{"), "malformed"),
    Attack("claims are a list", payload_of(lambda good: b"[]"), "malformed"),
    Attack("claims are nested 5000 deep", payload_of(lambda good: b"[" * 5000 + b"]" * 5000), "malformed"),
    Attack("a claim twice", payload_of(lambda good: f'{{"sub":"x",{good[1:]}'.encode()), "malformed"),
    Attack("NaN", payload_of(lambda good: f'{{"nan":NaN,{good[1:]}'.encode()), "malformed"),
    Attack("claims are no UTF-8", payload_of(lambda good: b'{"sub":"\xff"}'), "malformed"),
]

TIMES = [
    Attack("expired a minute ago", timed(exp=-60, iat=-3600), "expired"),
    Attack("expired as long ago as clocks may differ", timed(exp=-15, iat=-3600), "expired"),
    Attack("exp is text", claims(exp="99999999999"), "bad_claim"),
    Attack("exp is a fraction", claims(exp=time.time() + 60.5), "bad_claim"),
    Attack("exp is endless", payload_of(lambda g: g.replace('"exp": ', '"exp": 1e400, "x": ').encode()), "bad_claim"),
    Attack("exp is true", claims(exp=True), "bad_claim"),
    Attack("exp is beyond the year 9999", claims(exp=10**15), "bad_claim"),
    Attack("exp is missing", claims(exp=ABSENT), "bad_claim"),
    Attack("exp is null", claims(exp=None), "bad_claim"),
    Attack("iat is missing", claims(iat=ABSENT), "bad_claim"),
    Attack("iat is text", claims(iat="1"), "bad_claim"),
    Attack("made a minute from now", timed(iat=60), "not_yet_valid"),
    Attack("good from a minute from now", timed(nbf=60), "not_yet_valid"),
    Attack("nbf is text", claims(nbf="1"), "bad_claim"),
    Attack("nbf is null", claims(nbf=None), "bad_claim"),
]

PARTIES = [
    Attack("another issuer", claims(iss="https://evil.test"), "issuer"),
    Attack("the issuer with a slash more or less", other_issuer(lambda iss: iss[:-1]), "issuer"),
    Attack("the issuer with a slash added", other_issuer(lambda iss: f"{iss}/"), "issuer"),
    Attack("the issuer in capitals", other_issuer(str.upper), "issuer"),
    Attack("a host that begins like the issuer", other_issuer(lambda iss: f"{iss.rstrip('/')}.evil.test/"), "issuer"),
    Attack("a list of issuers", other_issuer(lambda iss: [iss]), "issuer"),
    Attack("no issuer", claims(iss=ABSENT), "issuer"),
    Attack("another audience", claims(aud="https://other.test"), "audience"),
    Attack("a list of other audiences", claims(aud=["https://other.test"]), "audience"),
    Attack("no audience", claims(aud=ABSENT), "audience", kinds=WITH_AUDIENCE),
    Attack("an empty list of audiences", claims(aud=[]), "audience"),
    Attack(
        "an audience that begins like ours", of_the_audience(lambda aud: f"{aud}/v2"), "audience", kinds=WITH_AUDIENCE
    ),
    Attack("the audience cut short", of_the_audience(lambda aud: aud[:-1]), "audience", kinds=WITH_AUDIENCE),
    Attack("a number among audiences", of_the_audience(lambda aud: [aud, 1]), "audience", kinds=WITH_AUDIENCE),
    Attack("the audience as a key", of_the_audience(lambda aud: {aud: 1}), "audience", kinds=WITH_AUDIENCE),
    Attack("an audience where there is none", claims(aud=AUDIENCE), "audience", kinds=CLERK),
    Attack("no user", claims(sub=ABSENT), "bad_claim"),
    Attack("an empty user", claims(sub=""), "bad_claim"),
    Attack("a user of spaces", claims(sub="  "), "bad_claim"),
    Attack("a user that is a number", claims(sub=42), "bad_claim"),
    Attack("a user that is a list", claims(sub=["ada"]), "bad_claim"),
    Attack("a user without end", claims(sub="x" * 5000), "bad_claim"),
    Attack("jti is a number", claims(jti=1), "bad_claim"),
    Attack("jti is null", claims(jti=None), "bad_claim"),
    Attack("typ is a number", header(typ=1), "bad_header"),
    Attack("the login is a number", claims(session_id=1), "bad_claim", kinds=("supabase",)),
    Attack("the login is empty", claims(session_id=""), "bad_claim", kinds=("supabase",)),
    Attack("the login is a list", claims(sid=["x"]), "bad_claim", kinds=(*CLERK, "oidc")),
    Attack("bound to a key", claims(cnf={"jkt": "x"}), "bound_token"),
    *(
        Attack(f"the user id {name!r}", claims(sub=name), "reserved_user_id", 403)
        for name in ("default", "DEFAULT", "anonymous", "system", "admin", "root", "null", "undefined", "none")
    ),
]

OWN = [
    # Supabase
    Attack("the anon key", claims(role="anon", sub=ABSENT, aud=ABSENT), "audience", 401, ("supabase",)),
    Attack("role anon", claims(role="anon"), "role", 403, ("supabase",)),
    Attack("role service_role", claims(role="service_role"), "role", 403, ("supabase",)),
    Attack("role of one's own", claims(role="editor"), "role", 403, ("supabase",)),
    Attack("no role: an ID token", claims(role=ABSENT), "role", 403, ("supabase",)),
    Attack("an anonymous user", claims(is_anonymous=True), "anonymous_user", 403, ("supabase",)),
    Attack("perhaps an anonymous user", claims(is_anonymous=ABSENT), "anonymous_user", 403, ("supabase",)),
    Attack("is_anonymous is text", claims(is_anonymous="false"), "anonymous_user", 403, ("supabase",)),
    Attack("a third-party app", claims(client_id="app-1"), "third_party_client", 403, ("supabase",)),
    Attack("HS256 where keys are asymmetric", hmac_with(lambda _: "s" * 40), "algorithm", 401, ("supabase",)),
    Attack("a publishable key", text("sb_publishable_x"), "malformed", 401, ("supabase",)),
    # Clerk
    Attack("another party", claims(azp="https://evil.test"), "authorized_party", 401, CLERK),
    Attack("a party that begins like ours", claims(azp=f"{PAGE}.evil.test"), "authorized_party", 401, CLERK),
    Attack("no party", claims(azp=ABSENT), "authorized_party", 401, CLERK),
    Attack("a list of parties", claims(azp=[PAGE]), "authorized_party", 401, CLERK),
    Attack("a pending session", claims(sts="pending"), "pending_session", 403, CLERK),
    Attack("a session in no known state", claims(sts="revoked"), "pending_session", 403, CLERK),
    Attack("a JWT template", header(cat="cl_B7d4PD222AAA"), "token_kind", 401, CLERK),
    Attack("a machine's token", header(cat="cl_B7d4PD333AAA"), "token_kind", 401, CLERK),
    Attack(
        "a template without cat",
        lambda k, i: k.token(i, {"sid": ABSENT, "sts": ABSENT, "v": ABSENT}, header={"cat": ABSENT}),
        "token_kind",
        401,
        CLERK,
    ),
    Attack("no session", claims(sid=ABSENT), "token_kind", 401, CLERK),
    Attack("version 1", claims(v=ABSENT), "token_kind", 401, CLERK),
    Attack("impersonated", claims(act={"sub": "user_admin", "iss": "x"}), "impersonated", 403, CLERK),
    Attack("an API key", text("ak_0123456789"), "malformed", 401, CLERK),
    Attack("an M2M token", text("mt_0123456789"), "malformed", 401, CLERK),
    Attack("an OAuth token", text("oat_0123456789"), "malformed", 401, CLERK),
    # Auth0
    Attack("an ID token", claims(aud="spa-client", nonce="n", azp=ABSENT), "audience", 401, AUTH0),
    Attack("an ID token of an API's name", claims(nonce="n"), "token_kind", 401, AUTH0),
    Attack("an access token of no client", claims(azp=ABSENT, client_id=ABSENT), "token_kind", 401, AUTH0),
    Attack("a kind of its own", header(typ="logout+jwt"), "token_kind", 401, AUTH0),
    Attack("at+jwt without jti", claims(jti=ABSENT), "token_kind", 401, ("auth0-rfc9068",)),
    Attack("a machine by gty", claims(gty="client-credentials"), "machine", 403, AUTH0),
    Attack("a machine by name", claims(sub="spa-client@clients"), "machine", 403, AUTH0),
    Attack("a machine by its own id", claims(sub="spa-client"), "machine", 403, AUTH0),
    Attack("userinfo only", claims(aud=f"{TENANT}/userinfo"), "audience", 401, AUTH0),
    # Any issuer
    Attack("an ID token by at_hash", claims(at_hash="x"), "token_kind", 401, ("oidc",)),
    Attack("an ID token by typ", claims(typ="ID"), "token_kind", 401, ("oidc",)),
    Attack("a refresh token", claims(typ="Refresh"), "token_kind", 401, ("oidc",)),
    Attack("a logout token", claims(events={}), "token_kind", 401, ("oidc",)),
    Attack("a kind of its own in the header", header(typ="dpop+jwt"), "token_kind", 401, ("oidc",)),
    Attack("a machine", claims(sub="web"), "machine", 403, ("oidc",)),
]

ALL = [*FORMS, *TIMES, *PARTIES, *OWN]
NAMES = [attack.name for attack in ALL]


def test_no_two_attacks_have_one_name_and_every_provider_has_some_of_its_own() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert {name for attack in OWN for name in attack.kinds} == set(EVERY)


async def test_a_good_token_mints(app: App, kind: Kind, shared_issuer: Issuer) -> None:
    answer = await app.mint(kind.token(shared_issuer))

    assert answer.status_code == 200, answer.text
    assert sorted(answer.json()) == ["expiresAt", "sessionId", "token", "ttl"]
    assert answer.json()["ttl"] == 600
    assert answer.headers["cache-control"] == "no-store"


PAIRS = [pytest.param(KINDS[name], attack, id=f"{name}-{attack.name}") for attack in ALL for name in attack.kinds]


@pytest.mark.parametrize(("kind", "attack"), PAIRS)
async def test_an_attack_gets_no_token(
    app: App, kind: Kind, shared_issuer: Issuer, attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    token = attack.make(kind, shared_issuer)
    caplog.set_level(logging.DEBUG, "behest_auth")

    answer = await app.mint(token)

    assert answer.status_code == attack.status, answer.text
    assert answer.json()["error"]["code"] == ("forbidden" if attack.status == 403 else "invalid_token")
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) is (attack.status == 401)
    logged = [record.getMessage() for record in caplog.records if record.name == "behest_auth"]
    assert [line.split("): ")[1].split(":")[0] for line in logged] == [attack.reason], logged
    assert attack.reason not in answer.text.replace("forbidden", "")
    assert not any(len(part) > 40 and part in "".join(logged) for part in token.split("."))


async def test_no_attack_makes_the_app_fetch_what_a_token_points_to(kind: Kind, issuer: Issuer, make_app: Any) -> None:
    app = make_app("fastapi", kind.make(issuer, rerouted(issuer)))
    await app.mint(kind.token(issuer))
    before = issuer.fetches()
    for field in ("jku", "x5u"):
        assert (await app.mint(kind.token(issuer, header={field: f"{issuer.url}/evil"}))).status_code == 401
    assert issuer.fetches() == before
    assert not any("evil" in path for path in issuer.asked)
