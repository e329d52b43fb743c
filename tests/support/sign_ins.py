"""A user's good token of every provider, and how to make bad ones of it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from behest_auth import OIDC, Auth0, Clerk, Supabase, Surroundings
from behest_auth.verifying import Provider

from .issuer import EC_KEY, RSA_KEY, Issuer, Rerouted, private_key, public_pem

ABSENT: Any = object()
"""The value of a claim or header that is to be left out."""

SUBJECT = "7f6c0a3e-1111-4222-8333-000000000001"
AUDIENCE = "https://api.acme.test"
PAGE = "https://app.acme.test"
TENANT = "https://acme.eu.auth0.com"
INSTANCE = "https://clerk.acme.test"


def base64url(value: bytes) -> str:
    """Base64 as tokens write it."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def assemble(header: object, claims: object, sign: Callable[[bytes], bytes]) -> str:
    """A token of whatever parts; bytes stay as they are."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signed = ".".join(map(base64url, parts))
    return f"{signed}.{base64url(sign(signed.encode()))}"


def with_key(name: str, algorithm: str) -> Callable[[bytes], bytes]:
    """Signs with one of the issuer's private keys."""
    chosen = jwt.get_algorithm_by_name(algorithm)
    return lambda signed: chosen.sign(signed, private_key(name))


@dataclass(frozen=True)
class Kind:
    """A provider under test.

    Attributes:
        claims: Those of a good token that was made at a time.
        make: Makes the verifier, for an issuer on loopback, with further arguments.
        env: The provider's own variables.
    """

    name: str
    key: str
    algorithm: str
    header: dict[str, Any]
    claims: Callable[[Issuer, int], dict[str, Any]]
    make: Callable[..., Provider]
    env: Callable[[Issuer], dict[str, str]] = lambda _: {}

    def token(
        self,
        issuer: Issuer,
        changes: dict[str, Any] | None = None,
        *,
        header: dict[str, Any] | None = None,
        key: str | None = None,
        now: int | None = None,
    ) -> str:
        """A token that is good but for the changes."""
        claims = {**self.claims(issuer, now or int(time.time())), **(changes or {})}
        head = {"alg": self.algorithm, "typ": "JWT", "kid": key or self.key, **self.header, **(header or {})}
        return assemble(
            {name: value for name, value in head.items() if value is not ABSENT},
            {name: value for name, value in claims.items() if value is not ABSENT},
            with_key(key or self.key, self.algorithm),
        )


def _times(now: int, seconds: int = 3600) -> dict[str, Any]:
    return {"iat": now, "exp": now + seconds}


def _supabase(issuer: Issuer, now: int) -> dict[str, Any]:
    return {
        **_times(now),
        "iss": f"{issuer.url}/auth/v1",
        "aud": "authenticated",
        "sub": SUBJECT,
        "role": "authenticated",
        "aal": "aal1",
        "session_id": "5e55-0001",
        "email": "ada@acme.test",
        "phone": "",
        "is_anonymous": False,
        "app_metadata": {"provider": "email", "plan": "pro"},
        "user_metadata": {"plan": "enterprise"},
        "amr": [{"method": "password", "timestamp": now}],
    }


def _clerk(issuer: Issuer, now: int) -> dict[str, Any]:
    return {
        **_times(now, 60),
        "nbf": now - 10,
        "iss": INSTANCE,
        "sub": "user_2abc",
        "sid": "sess_2abc",
        "azp": PAGE,
        "sts": "active",
        "v": 2,
        "fva": [0, -1],
        "jti": "j-1",
        "pla": "u:pro",
    }


def _auth0(issuer: Issuer, now: int) -> dict[str, Any]:
    return {
        **_times(now),
        "iss": f"{TENANT}/",
        "aud": [AUDIENCE, f"{TENANT}/userinfo"],
        "sub": "auth0|ada",
        "azp": "spa-client",
        "scope": "openid profile",
        "https://acme.test/plan": "pro",
    }


def _auth0_rfc9068(issuer: Issuer, now: int) -> dict[str, Any]:
    claims = _auth0(issuer, now)
    del claims["azp"]
    return {**claims, "client_id": "spa-client", "jti": "j-1"}


def _oidc(issuer: Issuer, now: int) -> dict[str, Any]:
    return {
        **_times(now),
        "iss": f"{issuer.url}/realms/main",
        "aud": AUDIENCE,
        "sub": SUBJECT,
        "azp": "web",
        "sid": "login-1",
        "typ": "Bearer",
        "email": "ada@acme.test",
        "email_verified": True,
    }


def rerouted(issuer: Issuer, **clocks: Any) -> Surroundings:
    """Surroundings in which the providers' addresses lead to loopback."""
    return Surroundings(Rerouted({TENANT: issuer.url, INSTANCE: issuer.url}), **clocks)


def _clerk_env(issuer: Issuer) -> dict[str, str]:
    host = base64.b64encode(INSTANCE.removeprefix("https://").encode() + b"$").decode()
    return {"CLERK_PUBLISHABLE_KEY": f"pk_test_{host}", "CLERK_AUTHORIZED_PARTIES": f"{PAGE}, https://other.test"}


def _auth0_env(issuer: Issuer) -> dict[str, str]:
    return {"AUTH0_DOMAIN": TENANT.removeprefix("https://"), "AUTH0_AUDIENCE": AUDIENCE}


def _oidc_env(issuer: Issuer) -> dict[str, str]:
    _discoverable(issuer)
    return {"OIDC_ISSUER": f"{issuer.url}/realms/main", "OIDC_AUDIENCE": AUDIENCE}


def _discoverable(issuer: Issuer) -> str:
    url = f"{issuer.url}/realms/main"
    issuer.discovery = {"issuer": url, "jwks_uri": f"{url}/certs"}
    return url


def _make_oidc(issuer: Issuer, surroundings: Surroundings, **more: Any) -> Provider:
    return OIDC(_discoverable(issuer), AUDIENCE, surroundings=surroundings, **more)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "supabase",
            EC_KEY,
            "ES256",
            {},
            _supabase,
            lambda i, s, **m: Supabase(i.url, surroundings=s, **m),
            lambda i: {"SUPABASE_URL": i.url},
        ),
        Kind(
            "clerk",
            RSA_KEY,
            "RS256",
            {"cat": "cl_B7d4PD111AAA"},
            _clerk,
            lambda i, s, **m: Clerk(INSTANCE, [PAGE], surroundings=s, **m),
            _clerk_env,
        ),
        Kind(
            "clerk-pem",
            RSA_KEY,
            "RS256",
            {"cat": "cl_B7d4PD111AAA"},
            _clerk,
            lambda i, s, **m: Clerk(INSTANCE, [PAGE], jwt_key=public_pem(RSA_KEY), surroundings=s, **m),
            lambda i: {**_clerk_env(i), "CLERK_JWT_KEY": public_pem(RSA_KEY).replace("\n", "\\n")},
        ),
        Kind(
            "auth0",
            RSA_KEY,
            "RS256",
            {},
            _auth0,
            lambda i, s, **m: Auth0("acme.eu.auth0.com", AUDIENCE, surroundings=s, **m),
            _auth0_env,
        ),
        Kind(
            "auth0-rfc9068",
            RSA_KEY,
            "RS256",
            {"typ": "at+jwt"},
            _auth0_rfc9068,
            lambda i, s, **m: Auth0("acme.eu.auth0.com", AUDIENCE, surroundings=s, **m),
            _auth0_env,
        ),
        Kind("oidc", RSA_KEY, "RS256", {}, _oidc, _make_oidc, _oidc_env),
    )
}
"""Every provider that is built, each way of it that has rules of its own."""
