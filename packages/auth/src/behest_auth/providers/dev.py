"""Made-up users for development: no password, no provider, and no way to start it by accident."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from ..errors import ConfigError, InvalidCredentialError
from ..identity import Credential, Identity
from ..verifying import Provider, Steps, Surroundings

PREFIX = "dev-"
PEOPLE: Mapping[str, Mapping[str, Any]] = {"alice": {"tier": "free"}, "bob": {"tier": "pro"}}


class Dev(Provider):
    """Takes `Authorization: Bearer dev-alice` for Alice. Whoever can send a request can be anybody.

    Args:
        people: Claims of each user by their id; Alice (tier free) and Bob (tier pro) when left out.

    Raises:
        ConfigError: `APP_ENV` is not `development`.
    """

    name = "dev"
    tier_claim = "tier"

    def __init__(
        self, people: Mapping[str, Mapping[str, Any]] = PEOPLE, *, surroundings: Surroundings | None = None
    ) -> None:
        super().__init__(leeway=0, surroundings=surroundings)
        if os.environ.get("APP_ENV") != "development":
            raise ConfigError("Dev signs anybody in. It starts only with APP_ENV=development, on your own machine.")
        self._people = {person: MappingProxyType(dict(claims)) for person, claims in people.items()}

    @classmethod
    def from_env(cls) -> Self:
        """Set it up with its usual people, when `APP_ENV` is `development`."""
        return cls()

    def check(self, credential: Credential, now: int) -> Steps:
        """Take a person by name."""
        yield from ()
        person = credential.value.removeprefix(PREFIX)
        if not credential.value.startswith(PREFIX) or person not in self._people:
            raise InvalidCredentialError("malformed", "dev- and one of the people's names are expected")
        return Identity(
            provider=self.name,
            issuer="dev",
            subject=person,
            session=f"dev:{person}",
            expires_at=now + 3600,
            claims=self._people[person],
        )
