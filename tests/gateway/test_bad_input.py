"""Bad input, bad credentials and bad providers: each gets a clear error, and nothing is lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..support.gateway import Gateway, Tenant
from ..support.provider import Provider
from ..support.tokens import ABSENT, base64url, claims_for, sign, unsigned_token
from ..support.world import World, messages
from .bad_input import (
    SETTLED,
    VALID,
    Answered,
    BrokenOff,
    Credential,
    Failed,
    Line,
    Refused,
    Row,
    Scene,
    Streamed,
    check_that_nothing_is_lost,
    refused,
    released,
    unconfirmed,
)

USAGE = "/v1/usage"
MINT = "/v1/auth/mint"
FLAT_MINT = "/auth/v1/auth/mint"
LARGE = 20 * 1024 * 1024
HUGE_NUMBER = 10**30


# The body ----------------------------------------------------------------------------------------------------------


def bad_body(name: str, body: Any, param: str | None, says: str = "", **changes: Any) -> Row:
    """A body that is refused with 400 once its caller is known."""
    outcome = Refused(status=400, code="validation_error", param=param, says=says)
    return Row(name=name, body=body, outcome=outcome, ledger=refused(400, "validation_error"), **changes)


def with_fields(**fields: Any) -> dict[str, Any]:
    """A valid body with other fields."""
    return {**VALID, **fields}


def with_message(**fields: Any) -> dict[str, Any]:
    """A valid body whose one message has other fields."""
    return {"messages": [{"role": "user", "content": "Hello", **fields}]}


def nested(depth: int) -> bytes:
    """A valid body with a list in a list in a list."""
    return b'{"messages":[{"role":"user","content":"Hi"}],"metadata":%s%s}' % (b"[" * depth, b"]" * depth)


def large_body() -> bytes:
    """A valid body of 20 MB."""
    return b'{"messages":[{"role":"user","content":"%s"}]}' % (b"a" * LARGE)


def large_body_in_pieces() -> Iterator[bytes]:
    """The same, without saying its length first."""
    body = large_body()
    for at in range(0, len(body), 65536):
        yield body[at : at + 65536]


BAD_LIMITS: tuple[Any, ...] = (0, -1, "x", 1.5, True, [], {})
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}
TEXT = {"type": "text", "text": "What is this?"}
FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}

BODIES = [
    bad_body("an empty body", b"", None, "not valid JSON"),
    bad_body("JSON that ends too early", b'{"messages":[{"role":"user"', None, "not valid JSON"),
    bad_body("JSON with something after it", b'{"messages":[]} x', None, "not valid JSON"),
    bad_body("single quotes", b"{'messages':[]}", None, "not valid JSON"),
    bad_body("a form", b"messages=Hello&model=gpt-4o-mini", None, "not valid JSON"),
    bad_body("NaN", b'{"messages":[],"temperature":NaN}', None, "not valid JSON"),
    bad_body("Infinity", b'{"messages":[],"temperature":-Infinity}', None, "not valid JSON"),
    bad_body("a number above every double", b'{"messages":[],"temperature":1e999}', None, "not valid JSON"),
    bad_body("a whole number of 5000 digits", b'{"messages":[],"seed":%s}' % (b"9" * 5000), None, "not valid JSON"),
    bad_body("half a surrogate pair", b'{"messages":[{"role":"user","content":"\\ud800"}]}', None, "not valid JSON"),
    bad_body("a control character in a string", b'{"messages":[{"role":"user","content":"\x00"}]}', None),
    bad_body("invalid UTF-8 in a string", b'{"messages":[{"role":"user","content":"\xff\xfe"}]}', None, "UTF-8"),
    bad_body("invalid UTF-8 outside of strings", b'\xff{"messages":[]}', None),
    bad_body("UTF-16", json.dumps(VALID).encode("utf-16"), None),
    bad_body("a byte order mark", b"\xef\xbb\xbf" + json.dumps(VALID).encode(), None),
    bad_body("nested 100,000 deep", nested(100_000), None, "nested too deeply"),
    bad_body("a list in place of an object", [VALID], None, "must be a JSON object"),
    bad_body("a string in place of an object", "hello", None, "must be a JSON object"),
    bad_body("null in place of an object", b"null", None, "must be a JSON object"),
    bad_body("messages missing", {}, "messages"),
    bad_body("messages null", {"messages": None}, "messages"),
    bad_body("messages empty", {"messages": []}, "messages"),
    bad_body("messages an object", {"messages": {"role": "user", "content": "Hi"}}, "messages"),
    bad_body("messages a string", {"messages": "Hi"}, "messages"),
    bad_body("a message that is a string", {"messages": ["Hi"]}, "messages[0]"),
    bad_body("a second message that is null", {"messages": [*messages(), None]}, "messages[1]"),
    bad_body("too many messages", {"messages": messages() * 10_001}, "messages", "10001"),
    bad_body("a message without a role", {"messages": [{"content": "Hi"}]}, "messages[0].role"),
    bad_body("an unknown role of a message", with_message(role="robot"), "messages[0].role"),
    bad_body("a list as a role of a message", with_message(role=["user"]), "messages[0].role"),
    bad_body("an object as a role of a message", with_message(role={}), "messages[0].role"),
    bad_body("content a number", with_message(content=7), "messages[0].content"),
    bad_body("content an object", with_message(content=TEXT), "messages[0].content"),
    bad_body("stream a string", with_fields(stream="yes"), "stream"),
    bad_body("stream a number", with_fields(stream=1), "stream"),
    bad_body("stream options a list", with_fields(stream=True, stream_options=[]), "stream_options"),
    *(
        bad_body(f"n {json.dumps(n)[:20]}", with_fields(n=n), "n")
        for n in (0, -1, 129, HUGE_NUMBER, 1.5, "2", True, [1])
    ),
    *(
        bad_body(f"{name} {json.dumps(limit)}", with_fields(**{name: limit}), name)
        for name in ("max_tokens", "max_completion_tokens")
        for limit in BAD_LIMITS
    ),
    bad_body("model a number", with_fields(model=4), "model"),
    bad_body("model a list", with_fields(model=["gpt-4o-mini"]), "model"),
    bad_body("model of 201 characters", with_fields(model="m" * 201), "model"),
    bad_body("a model that nobody has a price for", with_fields(model="no-such-model"), "model", "No price is known"),
    bad_body("a model with a line break", with_fields(model="gpt-4o-mini\r\nX-Injected: 1"), "model"),
    bad_body(
        "a model that the project does not allow",
        with_fields(model="gpt-4o"),
        "model",
        "it allows gpt-4o-mini, gpt-4.1-mini",
        settings={"allowed_models": ["gpt-4.1-mini"]},
    ),
    Row(
        name="20 MB",
        content=large_body,
        outcome=Refused(
            status=413, code="payload_too_large", param=None, details={"limit_bytes": 8 * 1024 * 1024}, says="8388608"
        ),
    ),
    Row(
        name="20 MB in pieces of unknown length",
        content=large_body_in_pieces,
        outcome=Refused(status=413, code="payload_too_large", param=None),
    ),
]

ODD_BODIES = [
    Row(name="nested as deep as is accepted", body=nested(900), outcome=Answered(), ledger=SETTLED),
    Row(name="a field named twice", body=b'{"messages":[],"messages":[{"role":"user","content":"Hi"}]}',
        outcome=Answered(), ledger=SETTLED),
    Row(name="a huge seed, which is not ours to judge", body=with_fields(seed=HUGE_NUMBER), outcome=Answered(),
        ledger=SETTLED),
    Row(name="model empty", body=with_fields(model=""), outcome=Answered(), ledger=SETTLED),
    Row(name="model default", body=with_fields(model="default"), outcome=Answered(), ledger=SETTLED),
    Row(name="model null", body=with_fields(model=None), outcome=Answered(), ledger=SETTLED),
    Row(name="a huge max_tokens without a budget", body=with_fields(max_tokens=HUGE_NUMBER), budgets=(),
        outcome=Answered(headers={"x-behest-max-tokens-clamped": None}), ledger=SETTLED),
    Row(name="stream options without a stream", body=with_fields(stream_options={"include_usage": True}),
        outcome=Answered(), ledger=SETTLED),
    Row(name="no Content-Type", headers=lambda scene: {"content-type": ""}, outcome=Answered(), ledger=SETTLED),
]  # fmt: skip

UNBOUNDED = [
    (f"{name} under a hard budget", body, param)
    for name, body, param in (
        ("an image", with_message(content=[TEXT, IMAGE]), "messages[0].content[1]"),
        ("audio", with_message(content=[AUDIO]), "messages[0].content[0]"),
        ("a file", with_message(content=[FILE]), "messages[0].content[0]"),
        ("a part of an unknown type", with_message(content=[{"type": "hologram"}]), "messages[0].content[0]"),
        ("a part without a type", with_message(content=[{"text": "Hi"}]), "messages[0].content[0]"),
        ("a part whose type is a list", with_message(content=[{"type": ["text"]}]), "messages[0].content[0]"),
        ("earlier audio", with_message(role="assistant", audio={"id": "audio-1"}), "messages[0].audio"),
        ("an answer in audio", with_fields(modalities=["text", "audio"]), "modalities"),
        ("a voice", with_fields(audio={"voice": "alloy", "format": "wav"}), "audio"),
        ("a hosted tool", with_fields(tools=[FUNCTION, {"type": "web_search"}]), "tools[1]"),
        ("a tool whose type is a list", with_fields(tools=[{"type": ["function"]}]), "tools[0]"),
        ("a tool whose type is an object", with_fields(tools=[{"type": {}}]), "tools[0]"),
        ("a search in the web", with_fields(web_search_options={}), "web_search_options"),
        ("the priority tier", with_fields(service_tier="priority"), "service_tier"),
        ("a tier that is a list", with_fields(service_tier=["auto"]), "service_tier"),
        ("a prompt cache of 12 hours", with_fields(prompt_cache_options={"ttl": "12h"}), "prompt_cache_options"),
        ("a prompt cache that is a list", with_fields(prompt_cache_options=["12h"]), "prompt_cache_options"),
        ("an earlier response", with_fields(previous_response_id="resp_1"), "previous_response_id"),
        ("a prediction", with_fields(prediction={"type": "content", "content": "x"}), "prediction"),
        ("a model that searches", with_fields(model="gpt-4o-mini-search-preview"), "model"),
    )
]

BUDGETS = [
    *(bad_body(name, body, param, "hard budget") for name, body, param in UNBOUNDED),
    Row(name="an image without a budget", body=with_message(content=[TEXT, IMAGE]), budgets=(), outcome=Answered(),
        ledger=SETTLED),
    Row(name="the priority tier without a budget", body=with_fields(service_tier="priority"), budgets=(),
        outcome=Answered(), ledger=SETTLED),
    Row(name="a prompt cache of 30 minutes under a hard budget",
        body=with_fields(prompt_cache_options={"mode": "explicit", "ttl": "30m"}), outcome=Answered(), ledger=SETTLED),
    Row(name="function tools under a hard budget", body=with_fields(tools=[FUNCTION]), outcome=Answered(),
        ledger=SETTLED),
    Row(name="a huge max_tokens under a hard budget", body=with_fields(max_tokens=HUGE_NUMBER),
        outcome=Answered(headers={"x-behest-max-tokens-clamped": ...}), ledger=SETTLED),
    *(
        Row(
            name=f"a used-up budget of scope {scope}, {kind}",
            body=with_fields(stream=kind == "streaming"),
            budgets=({"scope": scope, "limit_usd": 0, "window": "month"},),
            outcome=Refused(
                status=402,
                code=code,
                param=None,
                details={"scope": scope, "window": "month", "limit_usd": 0, "spent_usd": 0, "held_usd": 0},
                says="is used up",
            ),
            ledger=refused(402, code),
        )
        for scope, code in (("project", "budget_exceeded"), ("each_user", "quota_exceeded"))
        for kind in ("whole", "streaming")
    ),
    Row(
        name="a used-up budget of the user",
        budgets=(),
        before=lambda scene: scene.world.budget("0.000001", scope="user", user_id=scene.world.user),
        outcome=Refused(status=402, code="quota_exceeded", param=None, details={"scope": "user", "limit_usd": 1e-6},
                        says="has 0.000001 USD left"),
        ledger=refused(402, "quota_exceeded"),
    ),
    Row(name="a used-up budget of another user", budgets=({"limit_usd": 0, "scope": "user", "user_id": "somebody"},),
        outcome=Answered(), ledger=SETTLED),
]  # fmt: skip


# The credential ----------------------------------------------------------------------------------------------------


def bad_token(name: str, credential: Credential, reason: str, says: str = "", **changes: Any) -> Row:
    """A credential that is refused with 401; nobody is known, so nothing is written."""
    outcome = Refused(status=401, code="invalid_token", param=None, details={"reason": reason}, says=says)
    return Row(name=name, credential=credential, outcome=outcome, **changes)


def claiming(**claims: Any) -> Credential:
    """A token of the tenant's key with these claims, which may be functions of the time now."""

    def make(scene: Scene) -> str:
        now = int(time.time())
        return scene.world.token(**{name: c(now) if callable(c) else c for name, c in claims.items()})

    return make


def claiming_of(other: Callable[[Scene], World], *names: str) -> Credential:
    """A token of the tenant's own key that claims another project's ids."""

    def make(scene: Scene) -> str:
        theirs = claims_for(other(scene).tenant, other(scene).project_id, "x")
        return scene.world.token(**{name: theirs[name] for name in names})

    return make


def signed_by(private_pem: Callable[[Scene], str], kid: Callable[[Scene], object], **header: Any) -> Credential:
    """A token with good claims, signed with some key under some kid."""

    def make(scene: Scene) -> str:
        claims = claims_for(scene.world.tenant, scene.world.project_id, scene.world.user)
        return sign(claims, private_pem(scene), kid(scene), **header)

    return make


def parts_of(scene: Scene, **header: Any) -> str:
    """The first two parts of a token with good claims."""
    claims = claims_for(scene.world.tenant, scene.world.project_id, scene.world.user)
    return unsigned_token(claims, scene.world.tenant.kid, **header)


def unsigned(alg: str) -> Credential:
    """A token that says it needs no signature."""
    return lambda scene: parts_of(scene, alg=alg) + "."


def signed_with_the_public_key(scene: Scene) -> str:
    """HS256 with the public key as the secret: good for whoever lets the token choose the algorithm."""
    text = parts_of(scene, alg="HS256")
    secret = scene.world.tenant.public_pem.encode()
    return f"{text}.{base64url(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def with_other_claims(scene: Scene) -> str:
    """A good signature over other claims."""
    _, _, signature = scene.world.token().split(".")
    return f"{parts_of(scene)}.{signature}"


def own_pem(scene: Scene) -> str:
    """The key of the world's tenant."""
    return scene.world.tenant.private_pem


def own_kid(scene: Scene) -> str:
    """The kid of the world's tenant."""
    return scene.world.tenant.kid


def constant(value: str | None) -> Callable[[Scene], str | None]:
    """The same for every scene."""
    return lambda scene: value


TOKENS = [
    bad_token("no token", constant(None), "missing", "Authorization: Bearer"),
    bad_token("an empty token", constant(""), "missing"),
    bad_token("another scheme", lambda scene: scene.world.token(), "missing", scheme="Basic"),
    bad_token("no JWT", constant("hello"), "malformed"),
    bad_token("three parts of nothing", constant(".."), "malformed"),
    bad_token("a header that is no JSON", constant("e30x.e30.AAAA"), "malformed"),
    bad_token("a token of 9,000 characters", claiming(note="x" * 9000), "malformed"),
    bad_token("a token in Latin-1", constant("\xe4.\xf6.\xfc"), "malformed"),
    bad_token("an API key", lambda scene: scene.world.api_key, "api_key", "POST /v1/auth/mint"),
    bad_token("an API key of the old kind", constant("bh_live_0123456789abcdef"), "api_key", "POST /v1/auth/mint"),
    bad_token("the operator's secret", lambda scene: scene.world.gateway.admin_token, "malformed"),
    bad_token("an expired token", claiming(iat=lambda n: n - 700, nbf=lambda n: n - 700, exp=lambda n: n - 61),
              "expired", "Mint a new one"),
    bad_token("a token that is not valid yet", claiming(nbf=lambda n: n + 120), "not_yet"),
    bad_token("a token from the future", claiming(iat=lambda n: n + 120, exp=lambda n: n + 600), "not_yet"),
    bad_token("a token for two days", claiming(exp=lambda n: n + 172_800), "ttl", "86400"),
    bad_token("no exp", claiming(exp=ABSENT), "malformed", "'exp'"),
    bad_token("no iat", claiming(iat=ABSENT), "malformed", "'iat'"),
    bad_token("exp a string", claiming(exp="tomorrow"), "malformed", "'exp'"),
    bad_token("exp true", claiming(exp=True), "malformed", "'exp'"),
    bad_token("exp beyond all time", claiming(exp=1e300), "malformed", "'exp'"),
    bad_token("nbf a list", claiming(nbf=[]), "malformed", "'nbf'"),
    bad_token("another audience", claiming(aud="somebody-else"), "audience"),
    bad_token("no audience", claiming(aud=ABSENT), "audience"),
    bad_token("other audiences", claiming(aud=["a", "b"]), "audience"),
    bad_token("another issuer", claiming(iss="https://evil.example.com"), "issuer"),
    bad_token("no issuer", claiming(iss=ABSENT), "issuer"),
    bad_token("an issuer that is a list", claiming(iss=["behest"]), "issuer"),
    bad_token("an issuer that is an object", claiming(iss={"behest": 1}), "issuer"),
    bad_token("no tid", claiming(tid=ABSENT), "malformed", "'tid'"),
    bad_token("no pid", claiming(pid=ABSENT), "malformed", "'pid'"),
    bad_token("no uid", claiming(uid=ABSENT), "malformed", "'uid'"),
    bad_token("uid a number", claiming(uid=7), "malformed", "'uid'"),
    bad_token("a reserved uid", claiming(uid="admin"), "uid", "reserved"),
    bad_token("a reserved uid in capitals", claiming(uid="System"), "uid", "reserved"),
    bad_token("a uid of spaces", claiming(uid="  "), "uid"),
    bad_token("a uid of 256 characters", claiming(uid="u" * 256), "uid"),
    bad_token("a uid with a line break", claiming(uid="a\nb"), "uid"),
    bad_token("a uid with half a surrogate pair", claiming(uid="u\ud800"), "uid"),
    bad_token("a session with half a surrogate pair", claiming(sid="s\udfff"), "malformed"),
    bad_token("a project that does not exist", claiming(pid="0198c0de-7a11-7c0f-9f00-3b1c5a4e2d10"), "project"),
    bad_token("a tenant that does not exist", claiming(tid="nobody"), "tenant"),
    bad_token("another tenant's tid", claiming_of(lambda s: s.stranger, "tid"), "tenant"),
    bad_token("another tenant's pid", claiming_of(lambda s: s.stranger, "pid"), "project"),
    bad_token("another tenant's tid and pid", claiming_of(lambda s: s.stranger, "tid", "pid"), "tenant"),
    bad_token("another tenant's key", signed_by(lambda s: s.stranger.tenant.private_pem,
                                                lambda s: s.stranger.tenant.kid), "tenant"),
    bad_token("another tenant's key under our kid", signed_by(lambda s: s.stranger.tenant.private_pem, own_kid),
              "signature"),
    bad_token("our key under another tenant's kid", signed_by(own_pem, lambda s: s.stranger.tenant.kid), "signature"),
    bad_token("other claims under a good signature", with_other_claims, "signature"),
    bad_token("no signature", lambda scene: parts_of(scene) + ".", "signature"),
    bad_token("a kid that nobody has", signed_by(own_pem, constant("sk_" + "0" * 32)), "kid"),
    bad_token("no kid", signed_by(own_pem, constant(None)), "kid"),
    bad_token("a kid that is a path", signed_by(own_pem, constant("../../etc/passwd")), "kid"),
    bad_token("a kid that is a list", signed_by(own_pem, lambda scene: ["a"]), "malformed"),
    bad_token("a key inside the token", signed_by(own_pem, constant(None), jwk={"kty": "RSA", "n": "AQAB"}), "kid"),
    bad_token("algorithm none", unsigned("none"), "algorithm"),
    bad_token("algorithm None", unsigned("None"), "algorithm"),
    bad_token("HS256 with the public key as its secret", signed_with_the_public_key, "algorithm"),
    bad_token("RS512", signed_by(own_pem, own_kid, alg="RS512"), "algorithm"),
    bad_token("an algorithm that is a list", signed_by(own_pem, own_kid, alg=["RS256"]), "algorithm"),
    bad_token("a bad token for the usage", claiming(exp=lambda n: n - 100), "expired", method="GET", path=USAGE),
]  # fmt: skip

ODD_TOKENS = [
    Row(name="a clock that is half a minute late", credential=claiming(iat=lambda n: n + 30, nbf=lambda n: n + 30),
        outcome=Answered(), ledger=SETTLED),
    Row(name="a token that expired half a minute ago", credential=claiming(exp=lambda n: n - 30), outcome=Answered(),
        ledger=SETTLED),
    Row(name="an unknown role under a tenant's key", credential=claiming(role="emperor"), outcome=Answered(),
        ledger=SETTLED),
    Row(name="an unknown tier under a tenant's key", credential=claiming(tier="diamond"), outcome=Answered(),
        ledger=SETTLED),
    Row(name="a tier that is a list", credential=claiming(tier=["pro"]), outcome=Answered(), ledger=SETTLED),
    Row(name="a session that is a number", credential=claiming(sid=7), outcome=Answered(), ledger=SETTLED),
    Row(name="a session with a line break", credential=claiming(sid="a\r\nX-Role: admin"), outcome=Answered(),
        ledger=SETTLED),
    Row(name="a uid in Greek", credential=claiming(uid="χρήστης"), outcome=Answered(), ledger=SETTLED),
    *(
        Row(name=f"the issuer {issuer}", credential=claiming(iss=issuer), outcome=Answered(), ledger=SETTLED)
        for issuer in ("https://api.behest.app", "https://api.behest.ai", "behest")
    ),
    Row(
        name="role admin under a tenant's key",
        method="GET",
        path="/v1/projects",
        credential=claiming(role="admin"),
        outcome=Refused(status=403, code="forbidden", flat=True, says="role admin"),
    ),
]  # fmt: skip


# Keys and projects that were taken away ------------------------------------------------------------------------------


def suspend(scene: Scene) -> None:
    """Suspend the world's project, after its API key was used."""
    scene.world.mint()
    scene.world.manage("POST", "/suspend")


def revoke_api_key(scene: Scene) -> None:
    """Revoke the world's API key, after it was used and so remembered."""
    scene.world.mint()
    scene.world.manage("DELETE", f"/keys/{scene.world.api_key_id}")


class RevokedKey:
    """A token whose signing key is revoked after the token was accepted once."""

    def __call__(self, scene: Scene) -> str:
        """Make the key and the token, use it, and revoke the key."""
        world = scene.world
        key = world.gateway.manage("POST", "/v1/signing-keys", {"tenant_id": world.tenant.id})
        token = sign(claims_for(world.tenant, world.project_id, world.user), key["private_key_pem"], str(key["kid"]))
        used = world.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"})
        assert used.status_code == 200, used.text
        world.gateway.manage("DELETE", f"/v1/signing-keys/{key['kid']}")
        return token


def minted_admin(scene: Scene) -> str:
    """A token of role admin whose API key is revoked."""
    world = scene.world
    key = world.new_key("admin")
    minted = world.client.post(
        MINT, json={"user_id": world.user}, headers={"Authorization": f"Bearer {key['key']}"}
    ).json()
    managed = world.client.get("/v1/projects", headers={"Authorization": f"Bearer {minted['jwt']}"})
    assert managed.status_code == 200, managed.text
    world.manage("DELETE", f"/keys/{key['id']}")
    token: str = minted["jwt"]
    return token


TAKEN_AWAY = [
    Row(name="a suspended project", before=suspend, outcome=Refused(status=403, code="forbidden", says="suspended"),
        ledger=refused(403, "forbidden")),
    Row(name="a suspended project's stream", before=suspend, body=with_fields(stream=True),
        outcome=Refused(status=403, code="forbidden"), ledger=refused(403, "forbidden")),
    Row(name="a suspended project's usage", before=suspend, method="GET", path=USAGE,
        outcome=Refused(status=403, code="forbidden")),
    Row(name="a suspended project's API key", before=suspend, path=MINT, body={"user_id": "u_1"},
        credential=lambda scene: scene.world.api_key, outcome=Refused(status=401, code="invalid_token",
                                                                      says="suspended")),
    Row(name="a revoked API key", before=revoke_api_key, path=MINT, body={"user_id": "u_1"},
        credential=lambda scene: scene.world.api_key, outcome=Refused(status=401, code="invalid_token",
                                                                      says="revoked")),
    Row(name="a revoked API key at the other address", before=revoke_api_key, path=FLAT_MINT, body={"user_id": "u_1"},
        credential=lambda scene: scene.world.api_key, outcome=Refused(status=401, code="invalid_token", flat=True)),
    bad_token("a revoked signing key", RevokedKey(), "kid", "revoked"),
    Row(name="an admin whose API key was revoked", method="GET", path="/v1/projects", credential=minted_admin,
        outcome=Refused(status=401, code="invalid_token", flat=True, says="revoked")),
]  # fmt: skip


# Hosts and routes --------------------------------------------------------------------------------------------------


def host_of(which: Callable[[Scene], World]) -> Callable[[Scene], dict[str, str]]:
    """The Host header of a project."""
    return lambda scene: {"host": which(scene).host}


UNKNOWN_HOST: Callable[[Scene], dict[str, str]] = lambda scene: {"host": "no-such-project.localhost:8080"}  # noqa: E731

ROUTES = [
    Row(name="a token on another project's host", headers=host_of(lambda s: s.sibling),
        outcome=Refused(status=403, code="forbidden", says="another project")),
    Row(name="a token on another tenant's host", headers=host_of(lambda s: s.stranger),
        outcome=Refused(status=403, code="forbidden", says="another project")),
    Row(name="a token on another project's host, for the usage", headers=host_of(lambda s: s.sibling), method="GET",
        path=USAGE, outcome=Refused(status=403, code="forbidden")),
    Row(name="a host of no project", headers=UNKNOWN_HOST,
        outcome=Refused(status=404, code="not_found", says="no-such-project.localhost:8080")),
    Row(name="a host of no project, for the usage", headers=UNKNOWN_HOST, method="GET", path=USAGE,
        outcome=Refused(status=404, code="not_found")),
    Row(name="an API key on another project's host", headers=host_of(lambda s: s.sibling), path=MINT,
        credential=lambda scene: scene.world.api_key, body={"user_id": "u_1"},
        outcome=Refused(status=403, code="forbidden")),
    Row(name="an API key on a host of no project", headers=UNKNOWN_HOST, path=MINT,
        credential=lambda scene: scene.world.api_key, body={"user_id": "u_1"},
        outcome=Refused(status=404, code="not_found")),
    *(
        Row(name=f"{method} {path}", method=method, path=path,
            outcome=Refused(status=405, code="method_not_allowed", says=right))
        for method, path, right in (
            ("GET", "/v1/chat/completions", "use POST"),
            ("DELETE", "/v1/chat/completions", "use POST"),
            ("PUT", "/v1/v1/chat/completions", "use POST"),
            ("POST", "/v1/models", "use GET"),
            ("DELETE", USAGE, "use GET"),
            ("POST", "/v1/billing/usage", "use GET"),
            ("GET", MINT, "use POST"),
        )
    ),
    Row(name="GET of the mint's other address", method="GET", path=FLAT_MINT,
        outcome=Refused(status=405, code="method_not_allowed", flat=True)),
    Row(name="PATCH of the tenants", method="PATCH", path="/v1/tenants",
        credential=lambda scene: scene.world.gateway.admin_token,
        outcome=Refused(status=405, code="method_not_allowed", flat=True)),
    *(
        Row(name=f"nothing at {path}", path=path, outcome=Refused(status=404, code="not_found", flat=True))
        for path in ("/v1/nope", "/v2/chat/completions", "/auth/v1/nope", "/chat/completions", "/v1/chat/completions/",
                     "/v1/v1/v1/chat/completions", "/v1/embeddings", "/v1/%ff%00")
    ),
]  # fmt: skip


# The mint ----------------------------------------------------------------------------------------------------------


def own_api_key(scene: Scene) -> str:
    """An API key of role user; all rows share it, since the first use of one takes a tenth of a second."""
    return scene.sibling.api_key


def mints(name: str, body: Any, status: int, code: str, param: Any = None, says: str = "", **changes: Any) -> list[Row]:
    """The same at both addresses: the hybrid envelope at one, the flat one at the other."""
    fields: dict[str, Any] = {"credential": own_api_key, "body": body, **changes}
    return [
        Row(name=f"mint: {name}", path=MINT, outcome=Refused(status=status, code=code, param=param, says=says),
            **fields),
        Row(name=f"mint, flat: {name}", path=FLAT_MINT,
            outcome=Refused(status=status, code=code, flat=True, says=says), **fields),
    ]  # fmt: skip


def bad_mint(name: str, param: str | None, says: str = "", body: Any = ..., **fields: Any) -> list[Row]:
    """A mint that is refused with 400."""
    sent = {"user_id": "u_1", **fields} if body is ... else body
    return mints(name, sent, 400, "validation_error", param, says)


MINTS = [
    row
    for rows in (
        mints("no API key", {"user_id": "u_1"}, 401, "invalid_token", says="API key", credential=constant(None)),
        mints("no key at all", {"user_id": "u_1"}, 401, "invalid_token", credential=constant("hello")),
        mints("an API key that nobody has", {"user_id": "u_1"}, 401, "invalid_token",
              credential=constant("behest_sk_live_" + "0" * 32)),
        mints("a user's token", {"user_id": "u_1"}, 401, "invalid_token", says="not a user's token",
              credential=lambda scene: scene.world.token()),
        bad_mint("an empty body", None, "not JSON", body=b""),
        bad_mint("half a body", None, "not JSON", body=b'{"user_id":'),
        bad_mint("invalid UTF-8", None, body=b'{"user_id":"\xff"}'),
        bad_mint("half a surrogate pair", None, body=b'{"user_id":"\\ud800"}'),
        bad_mint("deep nesting", None, body=b'{"user_id":"u_1","x":' + b"[" * 8000 + b"]" * 8000 + b"}"),
        bad_mint("a list", None, "must be a JSON object", body=[{"user_id": "u_1"}]),
        bad_mint("no user_id", "user_id", "required", body={}),
        bad_mint("an empty user_id", "user_id", "must not be empty", user_id=""),
        bad_mint("a user_id of spaces", "user_id", "must not be empty", user_id="   "),
        bad_mint("a user_id that is a number", "user_id", user_id=7),
        bad_mint("a user_id of 256 characters", "user_id", "255", user_id="u" * 256),
        bad_mint("a user_id with a control character", "user_id", user_id="a\u0000b"),
        *(
            bad_mint(f"the reserved user_id {uid}", "user_id", "reserved", user_id=uid)
            for uid in ("dashboard-service", "ADMIN", "system", "root", "service", "behest")
        ),
        *(bad_mint(f"ttl {json.dumps(ttl)}", "ttl", ttl=ttl) for ttl in (59, 86_401, -1, 0, "900", 900.5, True)),
        *(bad_mint(f"tier {json.dumps(t)}", "tier", tier=t) for t in (0, 4, "gold", "", True, 1.0, ["pro"])),
        *(bad_mint(f"role {json.dumps(r)}", "role", role=r) for r in ("root", "", "Admin", 1, ["user"])),
        mints("a role above the key's", {"user_id": "u_1", "role": "admin"}, 403, "forbidden", "role", "another key"),
        mints("the service's role", {"user_id": "u_1", "role": "dashboard-service"}, 403, "forbidden", "role"),
        bad_mint("a session_id of 256 characters", "session_id", session_id="s" * 256),
        bad_mint("a session_id that is a number", "session_id", session_id=7),
        bad_mint("a session_id with a line break", "session_id", session_id="a\r\nb"),
        mints("17 KB", {"user_id": "u_1", "note": "x" * 17_000}, 413, "payload_too_large"),
        mints("20 MB", ..., 413, "payload_too_large", content=large_body),
    )
    for row in rows
]  # fmt: skip


# Reading, and managing ---------------------------------------------------------------------------------------------


def bad_query(name: str, query: str, param: str | None, status: int = 400, path: str = USAGE) -> Row:
    """A question about usage that is refused. Reading costs nothing and is not written down."""
    code = {400: "validation_error", 403: "forbidden"}[status]
    outcome = Refused(status=status, code=code, param=param)
    return Row(name=f"{path}?{name}", method="GET", path=f"{path}?{query}", outcome=outcome)


def managing(name: str, path: str, body: Any, status: int, code: str, says: str = "", **changes: Any) -> Row:
    """A request to the management plane, as the operator."""
    fields: dict[str, Any] = {"credential": lambda scene: scene.world.gateway.admin_token, **changes}
    return Row(name=f"managing: {name}", path=path, body=body,
               outcome=Refused(status=status, code=code, flat=True, says=says), **fields)  # fmt: skip


READS = [
    *(
        bad_query(query, query, param, path=path)
        for path in (USAGE, "/v1/billing/usage")
        for query, param in (
            ("from=yesterday", "from"),
            ("to=2026-13-01", "to"),
            ("from=2026-02-01&to=2026-01-01", "from"),
            ("from=99999-01-01", "from"),
            ("to=9999-12-31", "to"),
            ("from=0001-01-01T00:00:00%2B14:00&to=2026-01-01", "from"),
            ("from=%ff", "from"),
        )
    ),
    bad_query("an unknown granularity", "granularity=year", "granularity"),
    bad_query("minutes of a month", "granularity=minute", "granularity"),
    bad_query("another user", "user_id=somebody-else", None, status=403),
    bad_query("another user's bill", "user_id=somebody-else", None, status=403, path="/v1/billing/usage"),
    bad_query("101 parameters", "&".join(f"a{n}=1" for n in range(101)), None),
    Row(name="usage without a token", method="GET", path=USAGE, credential=constant(None),
        outcome=Refused(status=401, code="invalid_token", details={"reason": "missing"})),
    Row(name="models with an API key", method="GET", path="/v1/models", credential=own_api_key,
        outcome=Refused(status=401, code="invalid_token", details={"reason": "api_key"})),
    managing("no credential", "/v1/tenants", {"name": "x"}, 401, "invalid_token", credential=constant(None)),
    managing("a wrong secret", "/v1/tenants", {"name": "x"}, 401, "invalid_token", credential=constant("guess")),
    managing("an API key", "/v1/tenants", {"name": "x"}, 401, "invalid_token", "only mints", credential=own_api_key),
    managing("a user's token", "/v1/tenants", {"name": "x"}, 403, "forbidden",
             credential=lambda scene: scene.world.token()),
    managing("an expired token", "/v1/tenants", {"name": "x"}, 401, "invalid_token",
             credential=claiming(exp=lambda n: n - 100)),
    managing("half a body", "/v1/tenants", b'{"name":', 400, "validation_error", "not JSON"),
    managing("invalid UTF-8", "/v1/tenants", b'{"name":"\xff"}', 400, "validation_error"),
    managing("deep nesting", "/v1/tenants", b'{"name":' + b"[" * 50_000, 400, "validation_error"),
    managing("a list", "/v1/tenants", [], 400, "validation_error"),
    managing("a field that is not known", "/v1/tenants", {"name": "x", "colour": "red"}, 400, "validation_error",
             "colour"),
    managing("a name that is a number", "/v1/tenants", {"name": 7}, 400, "validation_error", "name"),
    managing("half a surrogate pair", "/v1/tenants", b'{"name":"\\ud800"}', 400, "validation_error"),
    managing("20 MB", "/v1/tenants", ..., 413, "payload_too_large", content=large_body),
    managing("a project that does not exist", "/v1/projects/nope", ..., 404, "not_found", method="GET"),
    managing("a tenant that does not exist", "/v1/projects", {"tenant_id": "nope", "name": "x"}, 404, "not_found"),
]  # fmt: skip


# The provider ------------------------------------------------------------------------------------------------------

CREDENTIAL_REFUSED = Refused(status=502, code="upstream_error", retryable=False, says="operator")


def provider_says(name: str, fault: dict[str, Any], outcome: Refused, **changes: Any) -> list[Row]:
    """The provider refuses before any work; a caller who wants a stream is told in the same way."""
    line = released(outcome.status, outcome.code)
    return [
        Row(name=f"{name}, {kind}", body=with_fields(stream=kind == "streaming"), provider={"fault": fault},
            outcome=outcome, ledger=line, **changes)
        for kind in ("whole", "streaming")
    ]  # fmt: skip


def status_fault(status: int, body: Any = None, **headers: str) -> dict[str, Any]:
    """An answer of this status."""
    fault: dict[str, Any] = {"kind": "status", "status": status}
    if body is not None:
        fault["body"] = body
    return {**fault, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}


OUT_OF_CREDIT = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
PICKY = {"error": {"message": "'temperature' is too hot.", "param": "temperature", "code": "too_hot"}}
ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
USUAL = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}

PROVIDER_REFUSES = [
    row
    for rows in (
        provider_says("provider: 400", status_fault(400, PICKY), Refused(
            status=400, code="validation_error", param="temperature", says="'temperature' is too hot.",
            details={"source": "provider", "provider_status": 400, "provider_code": "too_hot"})),
        provider_says("provider: 400 without words", status_fault(400, "no"), Refused(
            status=400, code="validation_error", param=None, says="status 400")),
        provider_says("provider: 401", status_fault(401), CREDENTIAL_REFUSED),
        provider_says("provider: 403", status_fault(403), CREDENTIAL_REFUSED),
        provider_says("provider: 404", status_fault(404), Refused(
            status=400, code="validation_error", details={"provider_status": 404})),
        provider_says("provider: 408", status_fault(408), Refused(status=504, code="upstream_timeout")),
        provider_says("provider: 413", status_fault(413), Refused(status=400, code="validation_error")),
        provider_says("provider: 429 with seconds", status_fault(429, retry_after="7"), Refused(
            status=429, code="rate_limited", retry_after="7", details={"source": "provider"}, says="7 s")),
        provider_says("provider: 429 with a part of a second", status_fault(429, retry_after="1.2"), Refused(
            status=429, code="rate_limited", retry_after="2")),
        provider_says("provider: 429 with a date", status_fault(429, retry_after="Wed, 21 Oct 2037 07:28:00 GMT"),
                      Refused(status=429, code="rate_limited", retry_after="1")),
        provider_says("provider: 429 with a year", status_fault(429, retry_after="31536000"), Refused(
            status=429, code="rate_limited", retry_after="86400")),
        provider_says("provider: 429 without a time", status_fault(429), Refused(
            status=429, code="rate_limited", retry_after="1")),
        provider_says("provider: out of credit", status_fault(429, OUT_OF_CREDIT, retry_after="9"), Refused(
            status=502, code="upstream_error", retryable=False, says="out of credit",
            details={"provider_code": "insufficient_quota"})),
        provider_says("provider: 500", status_fault(500), Refused(
            status=502, code="upstream_error", details={"provider_status": 500})),
        provider_says("provider: 500 with a page", status_fault(500, "<h1>oops</h1>"), Refused(
            status=502, code="upstream_error")),
        provider_says("provider: 503", status_fault(503), Refused(
            status=502, code="upstream_error", details={"provider_status": 503})),
        provider_says("provider: 504", status_fault(504), Refused(status=504, code="upstream_timeout")),
        provider_says("provider: a redirect", {"kind": "redirect", "location": "/v1/chat/completions"}, Refused(
            status=502, code="upstream_error", details={"provider_status": 307})),
    )
    for row in rows
]  # fmt: skip


def provider_fails(
    name: str, fault: dict[str, Any], outcome: Refused | BrokenOff | Failed, *, stream: bool, **changes: Any
) -> Row:
    """The provider took the call and brought no whole answer, so it is booked at the most that it can cost."""
    code = outcome.code
    status = {"upstream_error": 502, "upstream_timeout": 504}[code]
    return Row(
        name=f"provider: {name}, {'streaming' if stream else 'whole'}", body=with_fields(stream=stream),
        provider={"fault": fault, "completion_tokens": 8, "token_delay_ms": 10}, outcome=outcome,
        ledger=unconfirmed(status, code), **changes,
    )  # fmt: skip


def provider_errs(name: str, fault: dict[str, Any], *, stream: bool, settled: bool, **changes: Any) -> Row:
    """The provider bends the dialect, and the caller still gets the answer."""
    return Row(
        name=f"provider: {name}, {'streaming' if stream else 'whole'}", body=with_fields(stream=stream),
        provider={"fault": fault, "completion_tokens": 8}, outcome=Streamed() if stream else Answered(),
        ledger=SETTLED if settled else unconfirmed(), **changes,
    )  # fmt: skip


NONSENSE = Refused(status=502, code="upstream_error", says="not a chat completion")
BROKE_OFF = Refused(status=502, code="upstream_error", says="broke off")
TOO_LATE = Refused(status=504, code="upstream_timeout", says="in time")

PROVIDER_FAILS = [
    provider_fails("never answers", {"kind": "hang"}, TOO_LATE, stream=False, via="impatient"),
    provider_fails("never answers", {"kind": "hang"}, TOO_LATE, stream=True, via="impatient"),
    provider_fails("falls silent", {"kind": "hang", "after_tokens": 3}, TOO_LATE, stream=False, via="impatient"),
    provider_fails("falls silent", {"kind": "hang", "after_tokens": 3}, BrokenOff(code="upstream_timeout"),
                   stream=True, via="impatient"),
    provider_fails("is cut", {"kind": "cut", "after_tokens": 3}, BROKE_OFF, stream=False),
    provider_fails("is cut", {"kind": "cut", "after_tokens": 3}, BrokenOff(code="upstream_error", says="broke off"),
                   stream=True),
    provider_fails("is reset", {"kind": "cut", "after_tokens": 3, "reset": True}, BROKE_OFF, stream=False),
    provider_fails("is reset", {"kind": "cut", "after_tokens": 3, "reset": True}, Failed(code="upstream_error"),
                   stream=True),
    provider_fails("talks garbage", {"kind": "garbage"}, NONSENSE, stream=False),
    provider_fails("talks garbage at once", {"kind": "garbage"}, Failed(code="upstream_error"), stream=True),
    provider_fails("talks garbage", {"kind": "garbage", "after_tokens": 3}, Failed(code="upstream_error"),
                   stream=True),
    provider_fails("ends in garbage", {"kind": "garbage", "after_tokens": 3, "end": True},
                   Failed(code="upstream_error"), stream=True),
    provider_fails("sends an error with status 200", {"kind": "error_event"}, NONSENSE, stream=False),
    provider_fails("sends an error with status 200", {"kind": "error_event", "after_tokens": 3},
                   Failed(code="upstream_error", says="had an error"), stream=True),
    provider_fails("sends a page with status 200", {"kind": "not_json"}, NONSENSE, stream=False),
    provider_fails("sends a page with status 200", {"kind": "not_json"}, NONSENSE, stream=True),
    provider_fails("sends a page as events", {"kind": "not_json", "content_type": "text/event-stream"},
                   Failed(code="upstream_error"), stream=True),
    provider_fails("sends an event of 2 MB", {"kind": "huge_event", "bytes": 2_000_000, "after_tokens": 3},
                   Failed(code="upstream_error"), stream=True),
]  # fmt: skip

PROVIDER_ERRS = [
    *(
        provider_errs(name, {"kind": "bad_usage", "usage": usage}, stream=stream, settled=False)
        for name, usage in (
            ("negative usage", {**USUAL, "prompt_tokens": -5}),
            ("negative output", {**USUAL, "completion_tokens": -1}),
            ("absurd usage", {**USUAL, "completion_tokens": 10**12}),
            ("usage in words", "a lot"),
            ("usage in halves", {**USUAL, "completion_tokens": 4.5}),
            ("usage as booleans", {"prompt_tokens": True, "completion_tokens": True}),
            ("usage null", None),
            ("an empty usage", {}),
            ("more cached than sent", {**USUAL, "prompt_tokens_details": {"cached_tokens": 11}}),
            ("details of usage as a list", {**USUAL, "prompt_tokens_details": [1]}),
        )
        for stream in (False, True)
    ),
    # A provider that says zero is believed: docs/reference/charges.md.
    *(
        Row(name=f"provider: usage of zero, {kind}", body=with_fields(stream=kind == "streaming"),
            provider={"fault": {"kind": "bad_usage", "usage": ZERO}}, outcome=outcome,
            ledger=(Line(state="settled", status=200, cost=0),))
        for kind, outcome in (("whole", Answered(headers={"x-behest-cost-usd": "0"})), ("streaming", Streamed()))
    ),
    provider_errs("no usage", {"kind": "no_usage"}, stream=False, settled=False),
    provider_errs("no usage", {"kind": "no_usage"}, stream=True, settled=False),
    provider_errs("no [DONE]", {"kind": "no_done"}, stream=True, settled=True),
    provider_errs("CRLF", {"kind": "crlf"}, stream=True, settled=True),
    provider_errs("one byte at a time", {"kind": "byte_chunks"}, stream=False, settled=True),
    provider_errs("one byte at a time", {"kind": "byte_chunks"}, stream=True, settled=True),
    provider_errs("an event of 300 KB", {"kind": "huge_event", "bytes": 300_000}, stream=True, settled=True),
    provider_errs("an answer of 2 MB", {"kind": "huge_event", "bytes": 2_000_000}, stream=False, settled=True),
    provider_errs("no finish reason", {"kind": "no_finish"}, stream=False, settled=True),
    Row(name="provider: no finish reason, streaming", body=with_fields(stream=True),
        provider={"fault": {"kind": "no_finish"}}, outcome=Streamed(reason=None), ledger=SETTLED),
]  # fmt: skip


def roughly(name: str, outcome: Any, ledger: Any, *, stream: bool = False) -> Row:
    """The provider breaks the protocol; a budget is held all the same."""
    return Row(name=f"protocol: {name}", via="rough", outcome=outcome, ledger=ledger,
               body={"messages": messages(name), "stream": stream})  # fmt: skip


UNKNOWN = unconfirmed(502, "upstream_error")
TOLD = (Line(state="settled", status=200, cost=12 * 150 + 3 * 600),)
"""What the rough provider says that it used, at 0.15 and 0.60 dollars a million tokens."""

ROUGH = [
    *(
        roughly(name, Refused(status=502, code="upstream_error"), UNKNOWN)
        for name in ("closes-at-once", "resets-at-once", "half-a-head", "no-http", "endless-head", "gzip", "short-body",
                     "reset-in-body", "empty-body", "not-a-completion", "deep-answer", "created")
    ),
    *(
        roughly(name, Refused(status=502, code="upstream_error"), UNKNOWN, stream=True)
        for name in ("json-for-stream", "empty-stream", "only-done")
    ),
    *(
        roughly(name, Failed(code="upstream_error"), UNKNOWN, stream=True)
        for name in ("half-an-event", "no-final-chunk", "stream-reset", "bad-chunk-size")
    ),
    roughly("good-then-garbage", BrokenOff(code="upstream_error", says="not a chat"), UNKNOWN, stream=True),
    roughly("good-then-an-error", BrokenOff(code="upstream_error", says="Out of luck"), UNKNOWN, stream=True),
    *(roughly(name, Answered(), TOLD) for name in ("until-close", "early-hints", "two-answers")),
    *(
        roughly(name, Streamed(), TOLD, stream=True)
        for name in ("split-utf8", "odd-but-legal", "bare-cr", "done-and-more", "events-to-the-end")
    ),
    roughly("huge-wait", Refused(status=429, code="rate_limited", retry_after="86400"), released(429, "rate_limited")),
    roughly("deep-error", Refused(status=400, code="validation_error"), released(400, "validation_error")),
]  # fmt: skip

NOWHERE = [
    Row(name=f"provider: not there, {kind}", via="nowhere", body=with_fields(stream=kind == "streaming"),
        outcome=Refused(status=502, code="upstream_error", says="Nothing was charged"),
        ledger=released(502, "upstream_error"))
    for kind in ("whole", "streaming")
]  # fmt: skip

ROWS = [
    *BODIES, *ODD_BODIES, *BUDGETS, *TOKENS, *ODD_TOKENS, *TAKEN_AWAY, *ROUTES, *MINTS, *READS, *PROVIDER_REFUSES,
    *PROVIDER_FAILS, *PROVIDER_ERRS, *ROUGH, *NOWHERE,
]  # fmt: skip


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_bad_input_gets_a_clear_error_and_nothing_is_lost(
    row: Row, provider: Provider, tenants: dict[str, Tenant], sibling: World, stranger: World, tenant: Tenant,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    gateway: Gateway = request.getfixturevalue(row.via)
    owner = tenant if row.via == "gateway" else tenants.setdefault(row.via, gateway.new_tenant())
    world = World(gateway, provider, owner, row.settings)
    scene = Scene(world=world, sibling=sibling, stranger=stranger)
    row.prepare(world)
    if row.before is not None:
        row.before(scene)
    logged = gateway.server.log_end

    response = row.send(scene)

    trace_id = response.headers["x-trace-id"]
    assert trace_id
    assert response.headers["x-request-id"] == trace_id
    row.outcome.check(response)
    check_that_nothing_is_lost(world, row.ledger)
    assert "Traceback" not in gateway.server.logged(logged)
    assert gateway.client.get("/ready").json() == {"status": "ready"}


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in ROWS]

    assert sorted(set(names)) == sorted(names)
