"""Users' tokens as a tenant's backend signs them, good and bad."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import jwt
from behest_protocol.claims import AUDIENCE

from .gateway import Tenant

ABSENT: Any = object()
"""The value of a claim that is to be left out."""


def claims_for(tenant: Tenant, project_id: str, user_id: str, **changes: Any) -> dict[str, Any]:
    """The claims of a good token that lives for ten minutes, with changes; `ABSENT` leaves one out."""
    now = int(time.time())
    claims = {
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
    """Sign claims with RS256; without a kid when it is None."""
    fields = {**({} if kid is None else {"kid": kid}), **header}
    # PyJWT is stricter about some claims than a signer has to be, so the payload is signed as bytes.
    payload = jwt.utils.base64url_encode(_json(claims))
    head = jwt.utils.base64url_encode(_json({"alg": "RS256", "typ": "JWT", **fields}))
    signing_input = head + b"." + payload
    rs256 = jwt.get_algorithm_by_name("RS256")
    signature = rs256.sign(signing_input, rs256.prepare_key(private_pem))
    return (signing_input + b"." + jwt.utils.base64url_encode(signature)).decode()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
