"""Users' tokens as a tenant's backend signs them, good and bad."""

from __future__ import annotations

import base64
import json
import time
import uuid
from functools import lru_cache
from typing import Any

import jwt
from behest_protocol.claims import AUDIENCE

from .gateway import Tenant

_RS256 = jwt.get_algorithm_by_name("RS256")

ABSENT: Any = object()
"""The value of a claim that is to be left out."""


def claims_for(tenant: Tenant, project_id: str, user_id: str, **changes: Any) -> dict[str, Any]:
    """The claims of a good token that lives for ten minutes, with changes; `ABSENT` leaves one out."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "tid": tenant.id,
        "pid": project_id,
        "uid": user_id,
        "role": "user",
        "scp": [],
        "iss": "https://api.behest.ai",
        "aud": AUDIENCE,
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": str(uuid.uuid4()),
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ABSENT}


def sign(claims: dict[str, Any], private_pem: str, kid: object, **header: Any) -> str:
    """Sign claims with RS256, whatever they are; without a kid when it is None."""
    text = unsigned_token(claims, kid, **header)
    return f"{text}.{base64url(_RS256.sign(text.encode(), _private_key(private_pem)))}"


@lru_cache
def _private_key(private_pem: str) -> Any:
    """A key, read once: that takes 40 ms."""
    return _RS256.prepare_key(private_pem)


def unsigned_token(claims: dict[str, Any], kid: object, **header: Any) -> str:
    """The first two of a token's three parts."""
    head = {"alg": "RS256", "typ": "JWT", **({} if kid is None else {"kid": kid}), **header}
    return ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))


def base64url(value: bytes) -> str:
    """Base64 as tokens write it."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
