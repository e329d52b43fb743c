"""What verifying a sign-in costs beside the library that it is made of: `python -m benchmarks.verifying`.

A token of Clerk's kind, checked with a public key that is at hand, again and again; and the time that importing takes.
The least of several rounds is told, taken in turns, so that another program's work counts less.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from collections.abc import Callable

import jwt
from behest_auth import Clerk, Credential
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_ISSUER, _PAGE = "https://clerk.example.com", "https://app.example.com"
_TIMES, _ROUNDS = 200, 15


def _microseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(_TIMES):
        work()
    return (time.perf_counter() - began) / _TIMES * 1e6


def _import_seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    return time.perf_counter() - began


def main() -> int:
    """Print both figures, each beside what it is measured against."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    now = int(datetime.datetime.now(datetime.UTC).timestamp())
    claims = {
        "iss": _ISSUER,
        "sub": "user_2abc",
        "azp": _PAGE,
        "sid": "sess_1",
        "v": 2,
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "ins_1"})
    verifier = Clerk(_ISSUER, [_PAGE], jwt_key=pem.decode())
    credential = Credential(token)
    public = key.public_key()

    def alone() -> object:
        return jwt.decode(token, public, algorithms=["RS256"], issuer=_ISSUER, leeway=15)

    if dict(verifier.verify(credential).claims) != alone():
        raise RuntimeError("the two do not agree")
    rounds = [(_microseconds(lambda: verifier.verify(credential)), _microseconds(alone)) for _ in range(_ROUNDS)]
    ours, theirs = (min(column) for column in zip(*rounds, strict=True))
    imports = [(_import_seconds("import behest_auth"), _import_seconds("import httpx, jwt")) for _ in range(8)]
    whole, bare = (min(column) * 1000 for column in zip(*imports, strict=True))
    sys.stdout.write(
        f"A warm RS256 token: {ours:.0f} µs, {ours / theirs:.2f} times PyJWT alone ({theirs:.0f} µs); the aim is 1.3.\n"
        f"Importing behest_auth: {whole:.0f} ms, {whole - bare:.0f} ms more than httpx and jwt; the aim is 100.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
