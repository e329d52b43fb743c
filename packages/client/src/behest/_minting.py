"""Who a token is for: what a caller asks, checked, and what the mint answers."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any, cast

from behest_protocol.claims import ttl_problem, user_id_problem

from ._config import ResolvedConfig
from ._errors import BehestBadRequestError, BehestServerError
from ._results import MintResult, Record

MAX_SESSION_ID = 255
"""Characters in a session id, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MintOptions:
    """What to ask of the mint; what is left out comes from the client's settings.

    Attributes:
        user_id: Your own id of the signed-in user.
        session_id: Groups calls for cost attribution; a new one is made when it is left out.
        tier: The user's plan, from your billing data: a number or a name.
        ttl: Seconds that the token lives, 60 to 86400.
        role: `"user"` unless the key may do more.

    >>> MintOptions(user_id="u_42", ttl=900).ttl
    900
    """

    user_id: str | None = None
    session_id: str | None = None
    tier: int | str | None = None
    ttl: int | None = None
    role: str | None = None

    def over(self, defaults: MintOptions) -> MintOptions:
        """These options, and the defaults where they say nothing."""
        return MintOptions(
            user_id=self.user_id if self.user_id is not None else defaults.user_id,
            session_id=self.session_id if self.session_id is not None else defaults.session_id,
            tier=self.tier if self.tier is not None else defaults.tier,
            ttl=self.ttl if self.ttl is not None else defaults.ttl,
            role=self.role if self.role is not None else defaults.role,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRequest:
    """A checked request for a token; equal requests may share one token.

    A missing session id leaves the choice of the session to the mint.
    """

    user_id: str
    session_id: str | None
    tier: int | str | None
    ttl: int
    role: str


def token_request(options: MintOptions, config: ResolvedConfig) -> TokenRequest:
    """Check what is asked and fill in what is not.

    Raises:
        BehestBadRequestError: The user id is empty or reserved, or another field is out of its range.
    """
    user_id = options.user_id if options.user_id is not None else config.default_user_id
    ttl = options.ttl if options.ttl is not None else config.ttl
    tier = options.tier if options.tier is not None else config.tier
    role = options.role if options.role is not None else "user"
    problem = (
        user_id_problem(user_id)
        or ttl_problem(ttl)
        or _tier_problem(tier)
        or _role_problem(role)
        or (session_id_problem(options.session_id) if options.session_id is not None else None)
    )
    if problem:
        raise BehestBadRequestError(f"{problem}.")
    return TokenRequest(user_id=user_id, session_id=options.session_id, tier=tier, ttl=ttl, role=role)


def session_id_problem(session_id: object) -> str | None:
    """Say in a sentence why a session or thread id cannot travel in a header, or None when it can.

    >>> session_id_problem("user-42-conv-7") is None
    True
    """
    if not isinstance(session_id, str) or not session_id.strip():
        return "a session or thread id must be a string that is not empty"
    if len(session_id) > MAX_SESSION_ID or not session_id.isascii() or not session_id.isprintable():
        return f"a session or thread id is at most {MAX_SESSION_ID} printable ASCII characters"
    return None


def mint_body(request: TokenRequest, session_id: str) -> dict[str, Any]:
    """The body of a mint request."""
    body: dict[str, Any] = {
        "user_id": request.user_id,
        "role": request.role,
        "ttl": request.ttl,
        "session_id": session_id,
    }
    if request.tier is not None:
        body["tier"] = request.tier
    return body


def read_minted(answer: object, request: TokenRequest, session_id: str, *, now: int) -> MintResult:
    """Read the mint's answer; whatever it leaves out is as it was asked.

    Raises:
        BehestServerError: The answer holds no token.
    """
    fields = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    token = fields.get("jwt") or fields.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise BehestServerError("The gateway's mint answered without a token.", code="invalid_response")
    ttl = fields.get("ttl")
    if isinstance(ttl, bool) or not isinstance(ttl, int):
        ttl = request.ttl
    session = fields.get("session_id")
    if not isinstance(session, str) or session_id_problem(session):
        session = session_id
    return MintResult(token=token, session_id=session, ttl=ttl, expires_at=now + ttl)


def generate_session_id() -> str:
    """Make a new session id, a random UUID.

    >>> len(generate_session_id())
    36
    """
    return str(uuid.uuid4())


def decode_token(token: str) -> Record:
    """Read the claims of a JWT without checking its signature: for looking, never for trusting.

    Raises:
        ValueError: It is not a JWT.

    >>> decode_token("e30.eyJ1aWQiOiJ1XzQyIn0.sig").uid
    'u_42'
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not a JWT: three parts with dots between them are expected")
    try:
        claims: object = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        raise ValueError("not a JWT: its middle part is not base64 of JSON") from None
    if not isinstance(claims, dict):
        raise ValueError("not a JWT: its claims are not an object")
    return Record.of(cast("dict[str, Any]", claims))


def session_of(token: str) -> str | None:
    """The session that a token names, or None."""
    try:
        session = decode_token(token).get("sid")
    except ValueError:
        return None
    return session if isinstance(session, str) and not session_id_problem(session) else None


def _tier_problem(tier: object) -> str | None:
    is_number = isinstance(tier, int) and not isinstance(tier, bool)
    is_name = isinstance(tier, str) and bool(tier.strip())
    return None if tier is None or is_number or is_name else "tier must be a whole number or a name"


def _role_problem(role: object) -> str | None:
    return None if isinstance(role, str) and role else "role must be a string that is not empty"
