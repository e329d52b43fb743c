"""Clerk: session tokens of version 2.

The instance's one key also signs tokens of JWT templates and of machines. They differ by the header's `cat` and by
having no session, so both are checked.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from ..errors import ConfigError, InvalidCredentialError
from ..identity import Identity
from ..rules.addresses import address, exact_origins
from ..rules.claims import Claims, forbid, text_of
from ..rules.environment import listed, optional, required
from ..rules.keys import KeySource, VerificationKey, read_pem
from ..verifying import Surroundings
from .signed import LEEWAY, SignedProvider

SESSION_TOKEN = "cl_B7d4PD111AAA"  # noqa: S105  (what Clerk calls the kind)
"""The header `cat` of a session token."""

_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


class Clerk(SignedProvider):
    """Verifies a Clerk session token.

    Args:
        issuer: The Frontend API's address, such as `https://clerk.acme.com`.
        authorized_parties: The origins of the pages that may use a session here, such as `https://app.acme.com`.
        jwt_key: The instance's public key in PEM; with it nothing is ever fetched.
        cookie: Also take the session from the cookie `__session`, for pages of the app's own origin.
        allow_pending: Also take sessions whose tasks (choosing an organisation, for example) are not done.
        allow_impersonation: Also take sessions in which an administrator acts as the user.
        leeway: Seconds by which clocks may differ, 0 to 60.

    Raises:
        ConfigError: Issuer or authorized parties are missing, or something has the wrong form.

    >>> Clerk("https://clerk.acme.com", ["https://app.acme.com"]).issuer
    'https://clerk.acme.com'
    """

    name = "clerk"
    tier_claim = "pla"

    def __init__(
        self,
        issuer: str,
        authorized_parties: Sequence[str],
        *,
        jwt_key: str | None = None,
        cookie: bool = False,
        allow_pending: bool = False,
        allow_impersonation: bool = False,
        leeway: int = LEEWAY,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.issuer = address(issuer, "issuer")
        if not authorized_parties:
            raise ConfigError(
                "authorized_parties is required: the origins of your pages, such as https://app.acme.com."
            )
        self._parties = exact_origins(authorized_parties)
        source: KeySource | VerificationKey = (
            read_pem(jwt_key) if jwt_key else KeySource(url=f"{issuer.rstrip('/')}/.well-known/jwks.json")
        )
        super().__init__(
            issuers={issuer: source},
            audience=None,
            algorithms=("RS256",),
            leeway=leeway,
            surroundings=surroundings,
        )
        self.cookie = "__session" if cookie else None
        self._allow_pending = allow_pending
        self._allow_impersonation = allow_impersonation

    @classmethod
    def from_env(cls) -> Self:
        """Set it up from `CLERK_PUBLISHABLE_KEY`, `CLERK_AUTHORIZED_PARTIES` (with commas) and `CLERK_JWT_KEY`."""
        key = required("CLERK_PUBLISHABLE_KEY", "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", example="pk_live_...")
        parties = required("CLERK_AUTHORIZED_PARTIES", example="https://app.acme.com")
        return cls(issuer_of(key), listed(parties), jwt_key=optional("CLERK_JWT_KEY"))

    def identify(self, header: Mapping[str, Any], claims: Claims, identity: Identity) -> Identity:
        """Take the session of a user who is here himself, on one of the app's pages."""
        session = text_of(claims, "sid")
        if header.get("cat", SESSION_TOKEN) != SESSION_TOKEN or session is None or claims.get("v") != 2:
            raise InvalidCredentialError("token_kind", f"cat {header.get('cat')!r}, v {claims.get('v')!r}"[:120])
        if claims.get("azp") not in self._parties:
            raise InvalidCredentialError("authorized_party", repr(claims.get("azp"))[:120])
        state = claims.get("sts", "active")
        is_done = state == "active" or (state == "pending" and self._allow_pending)
        forbid(not is_done, "pending_session", repr(state)[:40])
        forbid("act" in claims and not self._allow_impersonation, "impersonated")
        return replace(identity, session=session, email=text_of(claims, "email"))


def issuer_of(publishable_key: str) -> str:
    """The issuer that a publishable key names: behind its prefix stands the host in base64, and a `$`.

    Raises:
        ConfigError: It is no publishable key.

    >>> issuer_of("pk_live_Y2xlcmsuYWNtZS5jb20k")
    'https://clerk.acme.com'
    """
    kind, _, encoded = publishable_key.rpartition("_")
    try:
        host = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode("ascii")
    except ValueError:
        host = ""
    if kind not in ("pk_live", "pk_test") or not host.endswith("$") or not _HOST.fullmatch(host[:-1]):
        raise ConfigError("CLERK_PUBLISHABLE_KEY must be the instance's publishable key, pk_live_... or pk_test_....")
    return f"https://{host[:-1]}"
