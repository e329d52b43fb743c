"""Secrets at rest: AES-256-GCM envelopes under one master key.

Each secret is encrypted under a key of its own, and that key under the master key. Both carry the place that they
belong to as associated data (`version|owner|kid|field`), so that a row copied to another place does not open. The
master key comes from the environment, or from a file that only its owner can read, made at the first run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
KEY_BYTES = 32
NONCE_BYTES = 12
_KEY_ID_BYTES = 8
_WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + 16
_HEADER_BYTES = 1 + _KEY_ID_BYTES

MASTER_KEY_VARIABLE = "PROVIDER_ENCRYPTION_KEY"
MASTER_KEY_FILE = "master.key"


class VaultError(Exception):
    """A secret cannot be opened, or the master key cannot be used; the message says why and what to do."""


def load_master_key(directory: Path, given: str | None, *, in_use: bool) -> bytes:
    """Find the master key, or make it at the first run.

    Args:
        directory: The data directory, which exists.
        given: `PROVIDER_ENCRYPTION_KEY`, 64 hex digits; it wins over the file.
        in_use: Something is sealed already, so that a new key could open none of it.

    Raises:
        VaultError: The key is malformed, or missing although it is in use.
    """
    if given is not None and given.strip():
        return _parsed(given, MASTER_KEY_VARIABLE)
    path = directory / MASTER_KEY_FILE
    if path.exists():
        with contextlib.suppress(OSError):
            path.chmod(0o600)
        return _parsed(path.read_text("ascii", errors="replace"), str(path))
    if in_use:
        raise VaultError(
            f"{path} is missing, and secrets in this data directory are sealed under it; "
            f"put the file back, or set {MASTER_KEY_VARIABLE}"
        )
    key = os.urandom(KEY_BYTES)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return key


def _parsed(text: str, source: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or len(set(key)) == 1:
        raise VaultError(f"{source} must hold {2 * KEY_BYTES} random hex digits, as `openssl rand -hex 32` prints")
    return key


class Vault:
    """Seals and opens secrets under a master key of 32 bytes."""

    def __init__(self, master_key: bytes) -> None:
        self._master = AESGCM(master_key)
        self._key_id = hashlib.sha256(b"behest master key id\0" + master_key).digest()[:_KEY_ID_BYTES]

    def seal(self, plaintext: bytes, *, owner: str, kid: str, field: str) -> bytes:
        """Encrypt a secret for its place."""
        place = _place(owner, kid, field)
        key = os.urandom(KEY_BYTES)
        wrap_nonce, nonce = os.urandom(NONCE_BYTES), os.urandom(NONCE_BYTES)
        wrapped = wrap_nonce + self._master.encrypt(wrap_nonce, key, place)
        return bytes([VERSION]) + self._key_id + wrapped + nonce + AESGCM(key).encrypt(nonce, plaintext, place)

    def open(self, sealed: bytes, *, owner: str, kid: str, field: str) -> bytes:
        """Decrypt what was sealed for the same place.

        Raises:
            VaultError: The master key is another one, or the envelope was changed or moved.
        """
        if len(sealed) < _HEADER_BYTES + _WRAPPED_BYTES + NONCE_BYTES + 16 or sealed[0] != VERSION:
            raise VaultError(f"the sealed {field} of {kid} is damaged, or was written by a newer gateway")
        if sealed[1:_HEADER_BYTES] != self._key_id:
            raise VaultError(
                f"the {field} of {kid} is sealed under another master key; restore the {MASTER_KEY_VARIABLE} or the "
                f"{MASTER_KEY_FILE} that this data directory was made with"
            )
        place = _place(owner, kid, field)
        wrapped = sealed[_HEADER_BYTES : _HEADER_BYTES + _WRAPPED_BYTES]
        rest = sealed[_HEADER_BYTES + _WRAPPED_BYTES :]
        try:
            key = self._master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], place)
            return AESGCM(key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], place)
        except InvalidTag:
            raise VaultError(f"the sealed {field} of {kid} was changed, or belongs to another place") from None


def _place(owner: str, kid: str, field: str) -> bytes:
    return f"{VERSION}|{owner}|{kid}|{field}".encode()
