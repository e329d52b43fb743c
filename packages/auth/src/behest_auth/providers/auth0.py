"""Auth0: access tokens for your API, in both of its profiles (Auth0's own and RFC 9068)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from ..errors import ConfigError, InvalidCredentialError
from ..identity import Identity
from ..rules.claims import Claims, refuse_machine, session_of_login, text_of
from ..rules.environment import required
from ..rules.keys import KeySource
from ..verifying import Surroundings
from .signed import LEEWAY, SignedProvider

_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5})?")


class Auth0(SignedProvider):
    """Verifies an Auth0 access token.

    Args:
        domain: The tenant's or custom domain that the login uses, such as `acme.eu.auth0.com`, without `https://`.
        audience: The API's identifier. A login that names no audience gets a token that nobody can verify.
        domains: Further domains of the same tenant, when logins use several.
        session_claim: The claim in which an Action of yours puts the login's session id, if one does.
        allow_machines: Also take tokens that programs got for themselves (client credentials).
        leeway: Seconds by which clocks may differ, 0 to 60.

    Raises:
        ConfigError: Domain or audience is missing, or has the wrong form.

    >>> Auth0("acme.eu.auth0.com", "https://api.acme.com").issuers
    ('https://acme.eu.auth0.com/',)
    """

    name = "auth0"

    def __init__(
        self,
        domain: str,
        audience: str,
        *,
        domains: Sequence[str] = (),
        session_claim: str | None = None,
        allow_machines: bool = False,
        leeway: int = LEEWAY,
        surroundings: Surroundings | None = None,
    ) -> None:
        if not audience:
            raise ConfigError(
                "audience is required: the identifier of your API in Auth0, such as https://api.acme.com."
            )
        all_domains = (domain, *domains)
        for one in all_domains:
            if not _DOMAIN.fullmatch(one):
                raise ConfigError(f"domain must be a host such as acme.eu.auth0.com, without https://, not {one!r}.")
        # The slash at the end is part of the issuer.
        self.issuers = tuple(f"https://{one}/" for one in all_domains)
        super().__init__(
            issuers={issuer: KeySource(url=f"{issuer}.well-known/jwks.json") for issuer in self.issuers},
            audience=audience,
            algorithms=("RS256",),
            leeway=leeway,
            surroundings=surroundings,
        )
        self._session_claim = session_claim
        self._allow_machines = allow_machines

    @classmethod
    def from_env(cls) -> Self:
        """Set it up from `AUTH0_DOMAIN` and `AUTH0_AUDIENCE`."""
        return cls(
            required("AUTH0_DOMAIN", example="acme.eu.auth0.com"),
            required("AUTH0_AUDIENCE", example="https://api.acme.com"),
        )

    def identify(self, header: Mapping[str, Any], claims: Claims, identity: Identity) -> Identity:
        """Take an access token that a user's login got, in one of the two profiles."""
        kind = str(header.get("typ", "")).lower().removeprefix("application/")
        client = text_of(claims, "client_id" if kind == "at+jwt" else "azp")
        is_access_token = (kind == "jwt" and client) or (kind == "at+jwt" and client and text_of(claims, "jti"))
        if not is_access_token or "nonce" in claims or "at_hash" in claims:
            raise InvalidCredentialError("token_kind", f"typ {kind!r} of client {client!r}"[:120])
        if not self._allow_machines:
            refuse_machine(claims)
        return replace(
            identity,
            session=session_of_login(claims, self._session_claim),
            email=text_of(claims, "email"),
            email_verified=claims.get("email_verified") is True,
        )
