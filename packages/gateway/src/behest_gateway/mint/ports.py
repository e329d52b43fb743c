"""What minting needs from outside: proofs of keys, sealed storage, and a place for the gateway's own keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class MintingKey:
    """One of the gateway's own signing keys, as stored.

    Attributes:
        kid: `bh_` and 32 hex digits.
        public_pem: The public half, SPKI.
        sealed: The private half under the master key; None once the key signs no more.
        created_at: Microseconds since 1970.
        retired_at: When it stopped signing; its tokens are still accepted for a while.
    """

    kid: str
    public_pem: str
    sealed: bytes | None
    created_at: int
    retired_at: int | None = None


class KeyProof(Protocol):
    """Checks a secret against its slow hash, off the event loop."""

    async def verify(self, hashed: str, secret: str) -> bool:
        """Say whether `secret` is what was hashed; costs about 0.1 s of a core and 64 MiB."""
        ...


class TokenSigner(Protocol):
    """Signs tokens with the gateway's current key."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the JWT of some claims."""
        ...


class KeyPair(Protocol):
    """A fresh RSA key in PEM: the private half as PKCS#8, the public half as SPKI."""

    @property
    def private_pem(self) -> str: ...

    @property
    def public_pem(self) -> str: ...


class KeyMaker(Protocol):
    """Makes RSA keys, off the event loop."""

    async def generate(self) -> KeyPair:
        """Make a key of 2048 bits."""
        ...


class Vault(Protocol):
    """Keeps secrets at rest under the master key. What is sealed for one place does not open in another."""

    def seal(self, plaintext: bytes, *, owner: str, kid: str, field: str) -> bytes:
        """Encrypt a secret for its place."""
        ...

    def open(self, sealed: bytes, *, owner: str, kid: str, field: str) -> bytes:
        """Decrypt what was sealed for the same place."""
        ...


class MintingKeyStore(Protocol):
    """Where the gateway's own signing keys are kept."""

    def minting_keys(self) -> list[MintingKey]:
        """Every key that was not revoked, newest first."""
        ...

    def add_minting_key(self, key: MintingKey, *, revoke_others: bool) -> None:
        """Store a key and, in the same step, retire the others at its `created_at`, or revoke them."""
        ...
