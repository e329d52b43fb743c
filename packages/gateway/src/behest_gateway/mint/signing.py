"""The gateway's own signing keys: made at the first start, sealed at rest, exchanged with overlap.

The newest key signs. A key that another has replaced keeps verifying for as long as a token that it signed can live,
so that an exchange logs nobody out; its private half is wiped at once. Revoking is for a key that has leaked: every
token that it signed is refused from then on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jwt
from behest_protocol.claims import MAX_TTL

from behest_gateway.core.clock import Clock
from behest_gateway.core.snapshot import Publisher, VerificationKey
from behest_gateway.mint.ports import KeyMaker, MintingKey, MintingKeyStore, Vault

OVERLAP_SECONDS = MAX_TTL + 3_600
"""A retired key verifies for this long: the longest life of a token, and an hour for clocks that differ."""

_OWNER = "gateway"
_FIELD = "private_pem"


class MintingKeys:
    """Signs tokens. `ensure` must have run before `sign`.

    Args:
        store: Where the keys are kept.
        vault: Seals their private halves.
        maker: Makes new ones.
        publisher: Where their public halves are published.
    """

    def __init__(
        self, store: MintingKeyStore, vault: Vault, maker: KeyMaker, publisher: Publisher, clock: Clock
    ) -> None:
        self._store = store
        self._vault = vault
        self._maker = maker
        self._publisher = publisher
        self._clock = clock
        self._rs256 = jwt.get_algorithm_by_name("RS256")
        self._kid = ""
        self._private: Any = None

    @property
    def kid(self) -> str:
        """The key that signs now."""
        return self._kid

    async def ensure(self) -> None:
        """Load the keys, or make the first one, and publish what verifies.

        Raises:
            Exception: The vault's own, when the master key is not the one that sealed the key.
        """
        now = self._clock.now_us()
        keys = [key for key in self._store.minting_keys() if not _is_over(key, now)]
        signing = next((key for key in keys if key.retired_at is None and key.sealed is not None), None)
        if signing is None or signing.sealed is None:
            await self._make(revoke_others=False)
        else:
            pem = self._vault.open(signing.sealed, owner=_OWNER, kid=signing.kid, field=_FIELD)
            self._use(signing.kid, pem.decode())
        for key in keys:
            self._publish(key)

    async def rotate(self, *, revoke_others: bool = False) -> str:
        """Sign with a new key from now on, and return its kid.

        Args:
            revoke_others: Refuse the tokens of the older keys at once, because one of them has leaked.
        """
        before = self._store.minting_keys()
        await self._make(revoke_others=revoke_others)
        now = self._clock.now_us()
        for key in before:
            if revoke_others or _is_over(key, now):
                self._publisher.withdraw_verification_key(key.kid)
        return self._kid

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the JWT of some claims; about 0.3 ms."""
        return jwt.encode(dict(claims), self._private, algorithm="RS256", headers={"kid": self._kid})

    async def _make(self, *, revoke_others: bool) -> None:
        pair = await self._maker.generate()
        kid = f"bh_{os.urandom(16).hex()}"
        sealed = self._vault.seal(pair.private_pem.encode(), owner=_OWNER, kid=kid, field=_FIELD)
        key = MintingKey(kid=kid, public_pem=pair.public_pem, sealed=sealed, created_at=self._clock.now_us())
        self._store.add_minting_key(key, revoke_others=revoke_others)
        self._publish(key)
        self._use(kid, pair.private_pem)

    def _use(self, kid: str, pem: str) -> None:
        self._kid, self._private = kid, self._rs256.prepare_key(pem)

    def _publish(self, key: MintingKey) -> None:
        self._publisher.publish_verification_key(
            VerificationKey(kid=key.kid, tenant_id=None, public_pem=key.public_pem)
        )


def _is_over(key: MintingKey, now_us: int) -> bool:
    return key.retired_at is not None and key.retired_at + OVERLAP_SECONDS * 1_000_000 < now_us
