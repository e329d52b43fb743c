"""What goes into a verifier and what comes out: a credential, and who it speaks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request brought to say who it comes from.

    Attributes:
        value: The token itself; it is never shown.
        source: `"bearer"` for the Authorization header, `"cookie"` for a cookie.

    >>> Credential("eyJ...")
    Credential(source='bearer')
    """

    value: str = field(repr=False)
    source: Literal["bearer", "cookie"] = "bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody whom a provider has signed in, as its token says after every check.

    Attributes:
        provider: Which adapter verified it, such as `"supabase"`.
        issuer: Who signed it, exactly as in the token.
        subject: The provider's own id of the user, never empty.
        session: The login that the token belongs to, when the provider says; it stays when the token is refreshed.
        email: The address in the token. It may be unverified and may change hands: never an id.
        email_verified: Whether the provider itself vouches for the address.
        anonymous: Whether the provider made this user up without any sign-in.
        expires_at: When the credential ends, in seconds since 1970.
        claims: Everything in the token, read-only; it is not shown.

    >>> Identity(provider="oidc", issuer="https://id.acme.com", subject="u_42", expires_at=1_800_000_000).subject
    'u_42'
    """

    provider: str
    issuer: str
    subject: str
    session: str | None = None
    email: str | None = field(default=None, repr=False)
    email_verified: bool = False
    anonymous: bool = False
    expires_at: int
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


class Verifier(Protocol):
    """Says who a credential speaks for. Every provider of this package is one; yours may be another.

    Attributes:
        name: The provider, such as `"supabase"`; part of every session id.
        cookie: The cookie that may hold the credential, or None when only the Authorization header does.
    """

    @property
    def name(self) -> str:
        """The provider's name."""
        ...

    @property
    def cookie(self) -> str | None:
        """The cookie's name, or None."""
        ...

    @property
    def tier_claim(self) -> str | None:
        """The claim in which this provider keeps a user's plan, or None when there is no usual one."""
        ...

    def verify(self, credential: Credential) -> Identity:
        """Check a credential.

        Raises:
            AuthError: It is missing, bad, not for this, or cannot be checked now.
        """
        ...

    async def averify(self, credential: Credential) -> Identity:
        """Check a credential without blocking the event loop; otherwise the same."""
        ...
