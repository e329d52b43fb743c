"""The slow mathematics of keys, in threads of its own: Argon2id hashes and RSA pairs.

The threads are few, because one Argon2id takes 64 MiB while it runs, and apart from the event loop's own pool, so that
a burst of first mints cannot hold up name look-ups.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import argon2
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""A larger key would make each check of a token slow."""

MAX_PEM_CHARS = 16_384
THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaPair:
    """A fresh key in PEM: the private half as PKCS#8, the public half as SPKI."""

    private_pem: str
    public_pem: str


class KeyWorks:
    """Makes and checks keys; close it when done."""

    def __init__(self, *, threads: int = THREADS) -> None:
        self._argon2 = argon2.PasswordHasher()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="keys")

    def close(self) -> None:
        """Let running work end and give the threads back."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def hash(self, secret: str) -> str:
        """Hash a secret with Argon2id; about 0.1 s of a core."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._argon2.hash, secret)

    async def verify(self, hashed: str, secret: str) -> bool:
        """Say whether a secret is what was hashed; about 0.1 s of a core."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, hashed, secret)

    def _verify(self, hashed: str, secret: str) -> bool:
        try:
            return self._argon2.verify(hashed, secret)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def generate(self) -> RsaPair:
        """Make an RSA key of 2048 bits; 0.05 to 0.5 s of a core."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _generate)

    def public_pem(self, text: str) -> str:
        """Check a public key that somebody sent, and write it in the one form that is stored.

        Raises:
            ValueError: It is not the public half of an RSA key of 2048 bits or more, as SPKI in PEM.
        """
        if len(text) > MAX_PEM_CHARS:
            raise ValueError(f"public_key_pem is longer than {MAX_PEM_CHARS} characters")
        if "PRIVATE KEY" in text:
            raise ValueError("public_key_pem holds a private key; keep that, and send the public half of a new key")
        if "-----BEGIN PUBLIC KEY-----" not in text:
            raise ValueError("public_key_pem must be an SPKI public key: -----BEGIN PUBLIC KEY-----")
        try:
            key = serialization.load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("public_key_pem cannot be read as a public key") from None
        if not isinstance(key, rsa.RSAPublicKey):
            raise ValueError("public_key_pem must be an RSA key; tokens are signed with RS256")
        if not RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise ValueError(f"public_key_pem must have {RSA_BITS} to {MAX_RSA_BITS} bits, not {key.key_size}")
        return _public_pem(key)


def _generate() -> RsaPair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return RsaPair(private_pem=private.decode(), public_pem=_public_pem(key.public_key()))


def _public_pem(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
