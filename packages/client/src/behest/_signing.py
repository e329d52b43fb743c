"""Tokens signed here with a tenant's private key, so that no call is needed to make one."""

from __future__ import annotations

import time
import uuid
from typing import Any

import jwt
from behest_protocol.claims import AUDIENCE, KEY_ID_PREFIX, ttl_problem, user_id_problem

from ._config import ResolvedConfig
from ._errors import BehestBadRequestError, BehestConfigError
from ._keys import detect_mode, load_signing_key
from ._minting import TokenRequest
from ._results import MintResult, Record

LEGACY_ISSUER = "behest"


class LocalSigner:
    """Signs tokens as the gateway's mint would issue them.

    Raises:
        BehestConfigError: The private key cannot be used.
    """

    __slots__ = ("_config", "_key")

    def __init__(self, config: ResolvedConfig) -> None:
        self._config = config
        self._key = load_signing_key(config.key)

    def sign(self, request: TokenRequest, session_id: str, *, now: int) -> MintResult:
        """Sign a token that is good from `now`, in seconds since 1970, for the request's ttl."""
        claims: dict[str, Any] = {
            "tid": self._config.tenant_id,
            "pid": self._config.project_id,
            "uid": request.user_id,
            "role": request.role,
            "scp": [],
            "iss": self._config.issuer,
            "aud": self._config.audience,
            "iat": now,
            "nbf": now,
            "exp": now + request.ttl,
            "jti": str(uuid.uuid4()),
            "sid": session_id,
        }
        if request.tier is not None:
            claims["tier"] = request.tier
        token = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._config.kid})
        return MintResult(token=token, session_id=session_id, ttl=request.ttl, expires_at=now + request.ttl)


class SignedToken(Record):
    """What `sign_behest_jwt` returns."""

    access_token: str
    expires_at: int
    expires_in: int

    def __repr__(self) -> str:
        return f"SignedToken(access_token='***', expires_at={self.expires_at}, expires_in={self.expires_in})"


def sign_behest_jwt(
    *,
    private_key_pem: str,
    key_id: str,
    tenant_id: str,
    project_id: str,
    user_id: str,
    expires_in: int = 3_600,
) -> SignedToken:
    """Sign a token in the older form, without a session, a role or a tier; `Behest(...).auth.mint()` signs the newer.

    Args:
        private_key_pem: The RSA private key, in any of the forms that `BEHEST_KEY` may have.
        key_id: The key's id, which begins with `sk_`.
        tenant_id: The tenant that the key belongs to.
        project_id: One of the tenant's projects.
        user_id: Your own id of the signed-in user.
        expires_in: Seconds that the token lives, 60 to 86400.

    Raises:
        BehestBadRequestError: An id is missing or cannot be used.
        BehestConfigError: The key cannot be used (`invalid_signing_key`).
        ValueError: `expires_in` is out of its range.

    >>> from cryptography.hazmat.primitives import serialization
    >>> from cryptography.hazmat.primitives.asymmetric import rsa
    >>> pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    ...     serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ... )
    >>> signed = sign_behest_jwt(
    ...     private_key_pem=pem.decode(), key_id="sk_1", tenant_id="tnt_1", project_id="proj_1", user_id="u_42"
    ... )
    >>> signed.expires_in
    3600
    """
    if not key_id.startswith(KEY_ID_PREFIX):
        raise BehestBadRequestError(f"key_id must start with {KEY_ID_PREFIX}")
    for name, value in (("tenant_id", tenant_id), ("project_id", project_id)):
        if not value:
            raise BehestBadRequestError(f"{name} is required.")
    problem = user_id_problem(user_id)
    if problem:
        raise BehestBadRequestError(f"{problem}.")
    if ttl_problem(expires_in):
        raise ValueError((ttl_problem(expires_in) or "").replace("ttl", "expires_in"))
    try:
        mode, pem = detect_mode(private_key_pem)
        if mode != "sign":
            raise BehestConfigError("An API key cannot sign tokens; give the RSA private key.")
        key = load_signing_key(pem)
    except BehestConfigError as error:
        raise BehestConfigError(
            str(error).replace("BEHEST_KEY", "private_key_pem"), code="invalid_signing_key"
        ) from None
    now = int(time.time())
    claims = {
        "tid": tenant_id,
        "pid": project_id,
        "uid": user_id,
        "iss": LEGACY_ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "nbf": now,
        "exp": now + expires_in,
    }
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": key_id})
    return SignedToken(access_token=token, expires_at=now + expires_in, expires_in=expires_in)
