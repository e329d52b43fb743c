"""Supabase Auth: access tokens of signed-in users.

The same keys also sign tokens of other kinds: API keys that are JWTs, ID tokens of Supabase's own OAuth server, tokens
for third-party apps, and anonymous users. They differ from a user's by role, audience, `client_id` and `is_anonymous`,
so all four are checked.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Self, cast

from ..errors import ConfigError, InvalidCredentialError, UnavailableError
from ..identity import Credential, Identity
from ..ports import Answer, Ask
from ..rules.addresses import address
from ..rules.claims import Claims, forbid, session_of_login, text_of
from ..rules.environment import optional, required
from ..rules.jws import open_token, read_claims
from ..rules.keys import KeySource
from ..verifying import Steps, Surroundings, want_page
from .signed import LEEWAY, SignedProvider

_ASYMMETRIC = ("ES256", "RS256")


class Supabase(SignedProvider):
    """Verifies the access token of a Supabase user.

    Args:
        url: The project's address, such as `https://abc.supabase.co`.
        issuer: What tokens name as their issuer, when a self-hosted one is set otherwise; `<url>/auth/v1`.
        api_key: The publishable (or legacy anon) key, which `strict` and `legacy_hs256` send beside the user's token.
        strict: Also ask Supabase whether the session is alive and the user not banned: one call for each check.
        legacy_hs256: Also take tokens that are signed with the project's shared secret. Only Supabase can check
            those, so each one leads to a call.
        allow_anonymous: Also take users that Supabase made up without a sign-in.
        allow_http: Also talk to an address without TLS that is not on this machine.
        leeway: Seconds by which clocks may differ, 0 to 60.

    Raises:
        ConfigError: The address is missing or unsafe, or `api_key` is missing where it is needed.

    >>> Supabase("https://abc.supabase.co").issuer
    'https://abc.supabase.co/auth/v1'
    """

    name = "supabase"

    def __init__(
        self,
        url: str,
        *,
        issuer: str | None = None,
        api_key: str | None = None,
        strict: bool = False,
        legacy_hs256: bool = False,
        allow_anonymous: bool = False,
        allow_http: bool = False,
        leeway: int = LEEWAY,
        surroundings: Surroundings | None = None,
    ) -> None:
        base = address(url, "url", allow_http=allow_http).rstrip("/")
        self.issuer = issuer if issuer is not None else f"{base}/auth/v1"
        if (strict or legacy_hs256) and not api_key:
            raise ConfigError("strict and legacy_hs256 ask Supabase, which needs api_key: the publishable key.")
        source = KeySource(url=f"{base}/auth/v1/.well-known/jwks.json", allow_http=allow_http)
        super().__init__(
            issuers={self.issuer: source},
            audience="authenticated",
            algorithms=_ASYMMETRIC,
            leeway=leeway,
            surroundings=surroundings,
        )
        self._user_url = f"{base}/auth/v1/user"
        self._api_key = api_key or ""
        self._strict = strict
        self._legacy = legacy_hs256
        self._allow_anonymous = allow_anonymous

    @classmethod
    def from_env(cls) -> Self:
        """Set it up from `SUPABASE_URL`, and `SUPABASE_PUBLISHABLE_KEY` or `SUPABASE_ANON_KEY` when there is one."""
        return cls(
            required("SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL", example="https://abc.supabase.co"),
            api_key=optional("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"),
        )

    def check(self, credential: Credential, now: int) -> Steps:
        """Check an access token, and ask Supabase about it where that is chosen."""
        algorithms: Collection[str] = (*_ASYMMETRIC, "HS256") if self._legacy else _ASYMMETRIC
        needs_key_id = not self._legacy
        opened = open_token(credential.value, algorithms, needs_key_id=needs_key_id)
        if opened.algorithm == "HS256":
            # Nothing in it is proved yet; what is wrong by its own words need not be asked about.
            identity = self._judge(opened, read_claims(opened), self.issuer, now)
        else:
            identity = yield from self._check_opened(opened, now)
            if not self._strict:
                return identity
        answer = yield from want_page(
            Ask(
                url=self._user_url,
                headers={"Authorization": f"Bearer {credential.value}", "apikey": self._api_key},
            )
        )
        _confirm(answer, identity)
        return identity

    def identify(self, header: Mapping[str, Any], claims: Claims, identity: Identity) -> Identity:
        """Take a signed-in user, and nobody else whom the same key speaks of."""
        forbid(claims.get("role") != "authenticated", "role", repr(claims.get("role"))[:40])
        forbid("client_id" in claims, "third_party_client")
        anonymous = claims.get("is_anonymous") is not False
        forbid(anonymous and not self._allow_anonymous, "anonymous_user")
        return replace(
            identity,
            session=session_of_login(claims, "session_id"),
            email=text_of(claims, "email"),
            anonymous=anonymous,
        )


def _confirm(answer: Answer, identity: Identity) -> None:
    """Read what `GET /auth/v1/user` says of a token: 200 with the same user, or 401, 403 and 404 when it is no good."""
    if answer.status in (401, 403, 404):
        raise InvalidCredentialError("session_ended", f"Supabase answered {answer.status}")
    if answer.status != 200:
        raise UnavailableError("provider_unavailable", f"Supabase answered {answer.status}")
    try:
        user: object = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise UnavailableError("provider_unavailable", "Supabase answered no JSON") from None
    if not isinstance(user, dict) or cast("dict[str, Any]", user).get("id") != identity.subject:
        raise InvalidCredentialError("session_ended", "Supabase knows another user by this token")
