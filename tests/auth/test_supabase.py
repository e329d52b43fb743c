"""Supabase is asked about a token where that is chosen: for its old shared secret, and in strict mode."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import pytest
from behest_auth import Credential, ForbiddenError, InvalidCredentialError, Supabase, UnavailableError
from behest_auth.verifying import Provider

from ..support.issuer import Issuer
from ..support.sign_ins import KINDS, SUBJECT, assemble

SECRET = b"super-secret-jwt-token-with-at-least-32-characters-long"
KIND = KINDS["supabase"]


def legacy(issuer: Issuer, changes: dict[str, Any] | None = None, secret: bytes = SECRET) -> str:
    """A token as projects with the old shared secret make it: without a kid."""
    claims = {**KIND.claims(issuer, int(time.time())), **(changes or {})}
    return assemble(
        {"alg": "HS256", "typ": "JWT"}, claims, lambda signed: hmac.new(secret, signed, hashlib.sha256).digest()
    )


def known_by_signature(token: str) -> tuple[int, dict[str, Any]]:
    """What `GET /auth/v1/user` answers: it checks the signature, whatever the algorithm."""
    signed, _, signature = token.rpartition(".")
    good = assemble(b"", b"", lambda _: hmac.new(SECRET, signed.encode(), hashlib.sha256).digest()).rpartition(".")[2]
    return (200, {"id": SUBJECT}) if signature == good else (403, {"error_code": "bad_jwt"})


async def both(verifier: Provider, token: str) -> str:
    """Verify in both ways, which must agree."""
    subject = verifier.verify(Credential(token)).subject
    assert (await verifier.averify(Credential(token))).subject == subject
    return subject


async def test_a_token_with_the_old_secret_is_asked_about_and_a_forged_one_refused(issuer: Issuer) -> None:
    issuer.users = known_by_signature
    verifier = Supabase(issuer.url, legacy_hs256=True, api_key="sb_publishable_x")

    assert await both(verifier, legacy(issuer)) == SUBJECT
    assert issuer.asked == ["/auth/v1/user", "/auth/v1/user"]
    assert {headers["apikey"] for headers in issuer.headers} == {"sb_publishable_x"}
    with pytest.raises(InvalidCredentialError, match="session_ended"):
        await verifier.averify(Credential(legacy(issuer, secret=b"x" * 40)))


@pytest.mark.parametrize(
    "changes",
    [{"role": "service_role"}, {"role": "anon"}, {"is_anonymous": True}, {"exp": 1}, {"aud": "other"}, {"iss": "x"}],
    ids=str,
)
async def test_what_is_wrong_by_its_own_words_is_not_asked_about(issuer: Issuer, changes: dict[str, Any]) -> None:
    issuer.users = known_by_signature
    verifier = Supabase(issuer.url, legacy_hs256=True, api_key="sb_publishable_x")

    with pytest.raises((InvalidCredentialError, ForbiddenError)):
        await verifier.averify(Credential(legacy(issuer, changes)))
    assert issuer.asked == []


async def test_new_keys_go_on_beside_the_old_secret_without_a_question(issuer: Issuer) -> None:
    verifier = Supabase(issuer.url, legacy_hs256=True, api_key="sb_publishable_x")

    assert await both(verifier, KIND.token(issuer)) == SUBJECT
    assert [path for path in issuer.asked if path.endswith("/user")] == []


async def test_strict_mode_asks_about_genuine_tokens_only(issuer: Issuer) -> None:
    issuer.users = lambda token: (200, {"id": SUBJECT})
    verifier = Supabase(issuer.url, strict=True, api_key="sb_publishable_x")

    assert await both(verifier, KIND.token(issuer)) == SUBJECT
    asked = issuer.asked.count("/auth/v1/user")
    for token in (KIND.token(issuer, {"role": "anon"}), KIND.token(issuer)[:-8], legacy(issuer)):
        with pytest.raises((InvalidCredentialError, ForbiddenError)):
            await verifier.averify(Credential(token))

    assert asked == issuer.asked.count("/auth/v1/user") == 2


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((401, {}), InvalidCredentialError),
        ((403, {"error_code": "user_banned"}), InvalidCredentialError),
        ((404, {}), InvalidCredentialError),
        ((200, {"id": "somebody-else"}), InvalidCredentialError),
        ((200, {}), InvalidCredentialError),
        ((500, {}), UnavailableError),
        ((429, {}), UnavailableError),
        ((302, {}), UnavailableError),
    ],
    ids=str,
)
async def test_strict_mode_refuses_whom_supabase_does_not_confirm(
    issuer: Issuer, answer: tuple[int, dict[str, Any]], problem: type[Exception]
) -> None:
    issuer.users = lambda token: answer
    verifier = Supabase(issuer.url, strict=True, api_key="sb_publishable_x")

    with pytest.raises(problem):
        await verifier.averify(Credential(KIND.token(issuer)))
    with pytest.raises(problem):
        verifier.verify(Credential(KIND.token(issuer)))


async def test_what_is_widened_is_wide(issuer: Issuer) -> None:
    anonymous = Supabase(issuer.url, allow_anonymous=True)
    identity = await anonymous.averify(Credential(KIND.token(issuer, {"is_anonymous": True})))

    assert identity.anonymous
    assert not (await anonymous.averify(Credential(KIND.token(issuer)))).anonymous
