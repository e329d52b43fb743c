"""What all providers share whose token is a JWT signed with a published key: everything but their own rules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Generator, Mapping
from types import MappingProxyType
from typing import Any

from ..errors import ConfigError, InvalidCredentialError
from ..identity import Credential, Identity
from ..rules.claims import Claims, check_audience, check_issuer, check_times, check_types, refuse_bound, subject_of
from ..rules.jws import Opened, check_signature, open_token, read_claims
from ..rules.keys import ALGORITHMS, KeySource, VerificationKey
from ..verifying import Got, Need, Provider, Steps, Surroundings, want_key

LEEWAY = 15
"""Seconds by which the provider's clock and ours may differ."""


class SignedProvider(Provider):
    """A provider whose tokens are signed with published keys.

    Args:
        issuers: Where the keys of each issuer are, or the one key that it has.
        audience: Whom tokens must be for; None when they must name nobody.
        algorithms: What it signs with.
    """

    def __init__(
        self,
        *,
        issuers: Mapping[str, KeySource | VerificationKey],
        audience: str | None,
        algorithms: Collection[str],
        leeway: int = LEEWAY,
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__(leeway=leeway, surroundings=surroundings)
        unknown = sorted(set(algorithms) - ALGORITHMS)
        if unknown or not algorithms:
            raise ConfigError(f"algorithms must be some of {', '.join(sorted(ALGORITHMS))}, not {unknown or 'none'}.")
        self._issuers = dict(issuers)
        self._audience = audience
        self._algorithms = tuple(algorithms)

    @abstractmethod
    def identify(self, header: Mapping[str, Any], claims: Claims, identity: Identity) -> Identity:
        """Apply the provider's own rules to a token that is genuine, current and for us.

        Args:
            identity: Provider, issuer, subject, end and claims are filled in.

        Raises:
            AuthError: It may not be used for this.
        """

    def check(self, credential: Credential, now: int) -> Steps:
        """Check a token."""
        opened = open_token(credential.value, self._algorithms, needs_key_id=self._needs_key_id)
        return (yield from self._check_opened(opened, now))

    def _check_opened(self, opened: Opened, now: int) -> Steps:
        issuer = self._issuer_of(opened)
        check_signature(opened, (yield from self._key(issuer, opened.key_id)))
        return self._judge(opened, read_claims(opened), issuer, now)

    def _judge(self, opened: Opened, claims: dict[str, Any], issuer: str, now: int) -> Identity:
        """Everything that is said in a token whose signature is good."""
        expires_at = check_times(claims, now=now, leeway=self.leeway)
        check_types(claims)
        check_issuer(claims, issuer)
        check_audience(claims, self._audience)
        refuse_bound(claims)
        identity = Identity(
            provider=self.name,
            issuer=issuer,
            subject=subject_of(claims),
            expires_at=expires_at,
            claims=MappingProxyType(claims),
        )
        return self.identify(opened.header, claims, identity)

    @property
    def _needs_key_id(self) -> bool:
        return all(isinstance(source, KeySource) for source in self._issuers.values())

    def _issuer_of(self, opened: Opened) -> str:
        """Whose keys to use: the only issuer's, or of several the one that the token names and that is listed."""
        if len(self._issuers) == 1:
            return next(iter(self._issuers))
        named = read_claims(opened).get("iss")
        if not isinstance(named, str) or named not in self._issuers:
            raise InvalidCredentialError("issuer", repr(named)[:120])
        return named

    def _key(self, issuer: str, key_id: str) -> Generator[Need, Got, VerificationKey]:
        source = self._issuers[issuer]
        if isinstance(source, VerificationKey):
            return source
        return (yield from want_key(source, key_id))
