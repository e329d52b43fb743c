"""The operator secret: made once, shown once, kept as hashes.

A wrong secret costs one SHA-256 and a comparison in constant time. A right one is proved against its Argon2id the first
time; after that its SHA-256, held in memory, is enough. A secret from the environment is held in memory alone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from behest_gateway.control.ports import FactStore, SecretHasher

SECRET_PREFIX = "behest_admin_"  # noqa: S105  (what every such secret begins with)
MIN_SECRET = 12

_LOOKUP = "operator_secret_sha256"
_HASH = "operator_secret_argon2id"


class OperatorSecretError(Exception):
    """The operator secret from the environment cannot be used; the message says why."""


class Operators:
    """Knows the operator secret when it sees it. `ensure` must have run before `check`."""

    def __init__(self, facts: FactStore, hasher: SecretHasher) -> None:
        self._facts = facts
        self._hasher = hasher
        self._digest = b""
        self._hash: str | None = None

    async def ensure(self, given: str | None) -> str | None:
        """Settle which secret counts, and return it in plain text when it was made just now.

        Args:
            given: `BEHEST_ADMIN_TOKEN`; it counts instead of a secret made earlier, for as long as it is set.

        Raises:
            OperatorSecretError: The given secret is too short, or cannot travel in a header.
        """
        if given:
            if len(given) < MIN_SECRET or not given.isascii() or not given.isprintable() or " " in given:
                raise OperatorSecretError(
                    f"BEHEST_ADMIN_TOKEN must have at least {MIN_SECRET} printable ASCII characters without spaces; "
                    "`openssl rand -hex 32` prints a good one"
                )
            self._digest, self._hash = _digest(given), None
            return None
        lookup, hashed = self._facts.fact(_LOOKUP), self._facts.fact(_HASH)
        if lookup is not None and hashed is not None:
            self._digest, self._hash = bytes.fromhex(lookup), hashed
            return None
        made = SECRET_PREFIX + secrets.token_hex(24)
        digest = _digest(made)
        self._facts.set_facts({_LOOKUP: digest.hex(), _HASH: await self._hasher.hash(made)})
        self._digest, self._hash = digest, None
        return made

    async def check(self, secret: str) -> bool:
        """Say whether this is the operator secret."""
        if not self._digest or not hmac.compare_digest(_digest(secret), self._digest):
            return False
        hashed = self._hash
        if hashed is not None:
            if not await self._hasher.verify(hashed, secret):
                return False
            self._hash = None
        return True


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
