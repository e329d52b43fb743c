"""Any issuer of OpenID Connect or OAuth 2.0 whose access tokens are JWTs: Keycloak, Okta, your own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Self

from ..errors import ConfigError, InvalidCredentialError
from ..identity import Identity
from ..rules.addresses import address
from ..rules.claims import Claims, refuse_machine, session_of_login, text_of
from ..rules.environment import optional, required
from ..rules.keys import KeySource
from ..verifying import Surroundings
from .signed import LEEWAY, SignedProvider

_ID_TOKEN_ONLY = ("at_hash", "c_hash", "nonce", "s_hash")
_HEADER_KINDS = ("", "jwt", "at+jwt")


class OIDC(SignedProvider):
    """Verifies an access token of a standard issuer.

    Args:
        issuer: Exactly what tokens name as `iss`.
        audience: Whom tokens must be for: your API's identifier at the issuer.
        jwks_uri: Where the keys are; found by `<issuer>/.well-known/openid-configuration` when left out.
        algorithms: What the issuer signs with.
        session_claim: The claim that names the login, which stays when a token is refreshed.
        accept_id_tokens: Also take ID tokens; `audience` is then your client id.
        allow_machines: Also take tokens that programs got for themselves (client credentials).
        allow_http: Also talk to an address without TLS that is not on this machine.
        leeway: Seconds by which clocks may differ, 0 to 60.

    Raises:
        ConfigError: Issuer or audience is missing, or an address is unsafe.

    >>> OIDC("https://id.acme.com/realms/main", "https://api.acme.com").issuer
    'https://id.acme.com/realms/main'
    """

    name = "oidc"

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        jwks_uri: str | None = None,
        algorithms: Collection[str] = ("RS256", "ES256"),
        session_claim: str | None = "sid",
        accept_id_tokens: bool = False,
        allow_machines: bool = False,
        allow_http: bool = False,
        leeway: int = LEEWAY,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.issuer = address(issuer, "issuer", allow_http=allow_http)
        if not audience:
            raise ConfigError("audience is required: what your API is called at the issuer.")
        if jwks_uri is None:
            discovery = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            source = KeySource(url=discovery, issuer=issuer, allow_http=allow_http)
        else:
            source = KeySource(url=address(jwks_uri, "jwks_uri", allow_http=allow_http), allow_http=allow_http)
        super().__init__(
            issuers={issuer: source},
            audience=audience,
            algorithms=algorithms,
            leeway=leeway,
            surroundings=surroundings,
        )
        self._session_claim = session_claim
        self._accept_id_tokens = accept_id_tokens
        self._allow_machines = allow_machines

    @classmethod
    def from_env(cls) -> Self:
        """Set it up from `OIDC_ISSUER`, `OIDC_AUDIENCE` and, when there is one, `OIDC_JWKS_URI`."""
        return cls(
            required("OIDC_ISSUER", example="https://id.acme.com"),
            required("OIDC_AUDIENCE", example="https://api.acme.com"),
            jwks_uri=optional("OIDC_JWKS_URI"),
        )

    def identify(self, header: Mapping[str, Any], claims: Claims, identity: Identity) -> Identity:
        """Take an access token that a user's login got."""
        kind = str(header.get("typ", "")).lower().removeprefix("application/")
        # Keycloak says in a claim `typ` what a token is; logout tokens (OpenID Back-Channel Logout) have `events`.
        said = claims.get("typ", "Bearer")
        is_id_token = any(name in claims for name in _ID_TOKEN_ONLY) or said == "ID"
        if kind not in _HEADER_KINDS or "events" in claims or said not in ("Bearer", "ID"):
            raise InvalidCredentialError("token_kind", f"typ {kind!r}, {said!r}"[:120])
        if is_id_token and not self._accept_id_tokens:
            raise InvalidCredentialError("token_kind", "an ID token")
        if not self._allow_machines:
            refuse_machine(claims)
        return replace(
            identity,
            session=session_of_login(claims, self._session_claim),
            email=text_of(claims, "email"),
            email_verified=claims.get("email_verified") is True,
        )
