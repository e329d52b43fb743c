"""The rules for a token, as one list.

1. It is a JWT of three parts, at most 8 KB, with `alg` RS256 and a `kid` that is published. No other algorithm is ever
   tried, whatever the header asks for.
2. Its signature verifies under that kid's key.
3. `exp` has not passed and `nbf` and `iat` are not in the future, give or take a minute; it lives a day at most.
4. `aud` is `behest`, and `iss` is one that this gateway accepts.
5. `tid`, `pid` and `uid` are there; the uid is a usable one.
6. Under a tenant's key, `tid` is that tenant and `pid` one of its projects, and the role is `user` whatever it claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from behest_protocol.claims import API_KEY_PREFIX, AUDIENCE, MAX_TTL, ROLES, user_id_problem

from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Caller
from behest_gateway.core.snapshot import ProjectSnapshot, VerificationKey
from behest_gateway.core.tiers import tier_key

LEEWAY = 60
"""Seconds by which two clocks may differ."""

MAX_TOKEN = 8192
"""Characters in a token, at most."""


def unauthorized(message: str, reason: str) -> GatewayError:
    """A 401; `reason` is a stable word for programs."""
    return GatewayError("invalid_token", message, details={"reason": reason})


def credential_refusal(token: str | None) -> GatewayError | None:
    """Refuse what cannot be a user's token, before any cryptography."""
    if not token:
        return unauthorized("Send a user's token as 'Authorization: Bearer …'. Your backend mints it.", "missing")
    if token.startswith((API_KEY_PREFIX, "bh_live_")):
        return unauthorized(
            "This is an API key, which is for your backend. Exchange it for a user's token at POST /v1/auth/mint, and "
            "send that.",
            "api_key",
        )
    if len(token) > MAX_TOKEN or token.count(".") != 2:
        return unauthorized("The bearer token is not a JWT.", "malformed")
    return None


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        raise unauthorized(f"The token's {name!r} claim is missing or not a time.", "malformed")
    return int(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise unauthorized(f"The token's {name!r} claim is missing.", "malformed")
    return value


def _session(claims: Mapping[str, Any]) -> str | None:
    value = claims.get("sid")
    if not isinstance(value, str) or not value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write and no store can keep
        raise unauthorized("The token's 'sid' claim is not valid Unicode.", "malformed") from None
    return value


def caller_from_claims(claims: Mapping[str, Any], key: VerificationKey, issuers: frozenset[str], now: int) -> Caller:
    """Turn the claims of a verified signature into a caller.

    Args:
        claims: The payload, its signature already verified under `key`.
        issuers: The accepted `iss` values.
        now: Seconds since 1970.

    Raises:
        GatewayError: `invalid_token`, with the rule that the token breaks.
    """
    expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
    if expires + LEEWAY <= now:
        raise unauthorized("The token has expired. Mint a new one.", "expired")
    if issued > now + LEEWAY or ("nbf" in claims and _seconds(claims, "nbf") > now + LEEWAY):
        raise unauthorized("The token is not valid yet. Check the clock of the server that minted it.", "not_yet")
    if expires - issued > MAX_TTL:
        raise unauthorized(f"The token lives longer than {MAX_TTL} seconds. Mint one with a shorter ttl.", "ttl")
    audience = claims.get("aud")
    if audience != AUDIENCE and not (isinstance(audience, list) and AUDIENCE in audience):
        raise unauthorized(f"The token's audience is not {AUDIENCE!r}.", "audience")
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in issuers:
        raise unauthorized("The token's issuer is not accepted here.", "issuer")
    tenant_id = _text(claims, "tid")
    user_id = _text(claims, "uid")
    problem = user_id_problem(user_id)
    if problem is not None:
        raise unauthorized(f"The token's uid cannot be used: {problem}.", "uid")
    ours = key.tenant_id is None
    if not ours and key.tenant_id != tenant_id:
        raise unauthorized("The token's tenant is not the owner of its signing key.", "tenant")
    role = claims.get("role", "user")
    key_id = claims.get("akid")
    return Caller(
        tenant_id=tenant_id,
        project_id=_text(claims, "pid"),
        user_id=user_id,
        role=role if ours and role in ROLES else "user",
        tier=tier_key(claims.get("tier")),
        session_id=_session(claims),
        key_id=key_id if ours and isinstance(key_id, str) else None,
        kid=key.kid,
        expires_at=expires,
    )


def project_refusal(
    caller: Caller, project: ProjectSnapshot | None, addressed: ProjectSnapshot | None
) -> GatewayError | None:
    """Refuse a token whose project is gone, is another tenant's, or is not the one that the host names."""
    if project is None or project.tenant_id != caller.tenant_id:
        return unauthorized("The token's project does not exist.", "project")
    if addressed is not None and addressed.id != project.id:
        return GatewayError("forbidden", "The token is for another project than this host serves.")
    return None
