"""What may be minted: pure decisions over the body of a mint request, and the JWKS.

A role may be lowered, never raised, from that of the API key. A tier is checked, and then carried as the caller wrote
it, because apps compare it with their own. Fields that are not known are passed over: published clients differ.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import jwt
import msgspec
from behest_protocol.claims import API_KEY_PREFIX, AUDIENCE, DEFAULT_TTL, ROLES, ttl_problem, user_id_problem

from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.snapshot import ProjectSnapshot, VerificationKey
from behest_gateway.core.tiers import BUILT_IN, tier_key

MAX_BODY_BYTES = 16_384
"""A mint body is a few short strings."""

MAX_SESSION_ID = 255

BUILT_IN_TIERS = tuple(key for tier in BUILT_IN for key in (str(tier.number), tier.name))

_RANK = {"user": 0, "admin": 1, "dashboard-service": 2}
_API_KEY = re.compile(re.escape(API_KEY_PREFIX) + "[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MintRequest:
    """A mint body that was found good. `role` and `session_id` are None when the caller left them out."""

    user_id: str
    role: str | None = None
    ttl: int = DEFAULT_TTL
    tier: int | str | None = None
    session_id: str | None = None


def lookup_of(api_key: str) -> str:
    """The SHA-256 in hex by which an API key is found."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def credential_problem(credential: str | None) -> str | None:
    """Say in a sentence why something cannot be an API key, or None when it looks like one.

    >>> credential_problem("bh_live_1")
    'The credential is not an API key: one starts with behest_sk_live_ and 32 hex digits follow.'
    """
    if not credential:
        return f"Send the project's API key: Authorization: Bearer {API_KEY_PREFIX}…"
    if _API_KEY.fullmatch(credential):
        return None
    if credential.startswith("eyJ") and credential.count(".") == 2:
        return "Minting takes the project's API key, not a user's token."
    return f"The credential is not an API key: one starts with {API_KEY_PREFIX} and 32 hex digits follow."


def read_body(body: bytes | dict[str, Any], tiers: Collection[str] = BUILT_IN_TIERS) -> MintRequest:
    """Check a mint body.

    Args:
        tiers: What a tier of the project may be called, as `core.tiers.tier_key` writes it.

    Raises:
        GatewayError: 413 when it is too large, 400 when it is not JSON or a field is wrong; `param` names the field.
    """
    if isinstance(body, bytes):
        if len(body) > MAX_BODY_BYTES:
            raise GatewayError("payload_too_large", f"A mint body has at most {MAX_BODY_BYTES} bytes.")
        try:
            decoded: object = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise invalid("The body is not JSON; send an object with user_id.") from None
    else:
        decoded = body
    if not isinstance(decoded, dict):
        raise invalid("The body must be a JSON object with user_id.")
    fields = cast("dict[str, object]", decoded)
    user_id = fields.get("user_id")
    problem = user_id_problem(user_id)
    if problem is not None:
        raise invalid(problem, "user_id")
    ttl = fields.get("ttl")
    if ttl is None:
        ttl = DEFAULT_TTL
    problem = ttl_problem(ttl)
    if problem is not None:
        raise invalid(problem, "ttl")
    return MintRequest(
        user_id=cast("str", user_id),
        role=_role(fields.get("role")),
        ttl=cast("int", ttl),
        tier=_tier(fields.get("tier"), tiers),
        session_id=_session_id(fields.get("session_id")),
    )


def _role(role: object) -> str | None:
    if role is None:
        return None
    if not isinstance(role, str) or role not in ROLES:
        raise invalid(f"role is one of {', '.join(ROLES)}", "role")
    return role


def _tier(tier: object, tiers: Collection[str]) -> int | str | None:
    if tier is None:
        return None
    if tier_key(tier) not in tiers:
        numbers = [key for key in tiers if key.isdecimal()]
        names = [key for key in tiers if not key.isdecimal()]
        raise invalid(f"tier is one of {', '.join(numbers)} or {', '.join(names)}", "tier")
    return cast("int | str", tier)


def _session_id(session_id: object) -> str | None:
    if session_id is None or session_id == "":
        return None
    if not isinstance(session_id, str):
        raise invalid("session_id must be a string", "session_id")
    if len(session_id) > MAX_SESSION_ID:
        raise invalid(f"session_id is longer than {MAX_SESSION_ID} characters", "session_id")
    if any(ord(c) < 32 or ord(c) == 127 for c in session_id):
        raise invalid("session_id must not contain control characters", "session_id")
    return session_id


def granted_role(asked: str | None, of_key: str) -> str:
    """The role that a token gets.

    Raises:
        GatewayError: 403, because the API key may not grant it.
    """
    if asked is None:
        return of_key
    if _RANK[asked] > _RANK.get(of_key, 0):
        raise GatewayError(
            "forbidden", f"This API key mints tokens of role {of_key} at most; {asked} needs another key.", param="role"
        )
    return asked


def claims_of(
    request: MintRequest,
    project: ProjectSnapshot,
    *,
    role: str,
    session_id: str,
    issuer: str,
    token_id: str,
    api_key_id: str,
    now: int,
) -> dict[str, Any]:
    """Write the claims of a token, in the order of the wire. `now` is in seconds since 1970."""
    claims: dict[str, Any] = {
        "tid": project.tenant_id,
        "pid": project.id,
        "uid": request.user_id,
        "role": role,
        "scp": [],
        "iss": issuer,
        "aud": AUDIENCE,
        "iat": now,
        "nbf": now,
        "exp": now + request.ttl,
        "jti": token_id,
        "sid": session_id,
    }
    if request.tier is not None:
        claims["tier"] = request.tier
    claims["akid"] = api_key_id
    return claims


@lru_cache(maxsize=16)
def jwks(keys: tuple[VerificationKey, ...]) -> bytes:
    """Write verification keys as a JSON Web Key Set, in JSON."""
    rs256 = jwt.get_algorithm_by_name("RS256")
    entries: list[dict[str, str]] = []
    for key in keys:
        numbers = json.loads(rs256.to_jwk(rs256.prepare_key(key.public_pem)))
        entries.append(
            {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.kid, "n": numbers["n"], "e": numbers["e"]}
        )
    return msgspec.json.encode({"keys": entries})
