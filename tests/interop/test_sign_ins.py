"""What `behest-auth` accepts, the provider's own library accepts too; where it is stricter, the reason is known."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest
from behest_auth import AuthError, Credential

from ..support.issuer import RSA_KEY, Issuer, public_pem
from ..support.sign_ins import ABSENT, AUDIENCE, KINDS, PAGE, TENANT, Kind, rerouted
from .client import Client
from .environments import python_with

TOKENS = 2000
SEED = 20_261_123

ODD: list[Any] = [
    ABSENT, None, "", " ", 0, -1, 1, True, 1.5, [], {}, ["x"], "x", "../x", "admin", 10**12, "\u0430", "a\nb",
]  # fmt: skip
CLAIMS = [
    "iss", "aud", "sub", "role", "sid", "session_id", "azp", "client_id", "sts", "v", "act", "cnf", "gty", "nonce",
    "at_hash", "jti", "exp", "iat", "nbf", "is_anonymous", "events", "typ",
]  # fmt: skip
HEADERS = ["alg", "kid", "typ", "cat", "jku", "jwk", "x5u", "crit", "b64", "zip", "cty"]

STRICTER: dict[str, dict[str, str]] = {
    "supabase": {
        "anonymous_user": "get_claims takes anonymous users, and tokens that do not say",
        "audience": "get_claims checks no audience",
        "bad_claim": "get_claims takes any type of sub, iat and nbf, and needs none of them",
        "bad_header": "get_claims passes over key addresses in the header",
        "bound_token": "get_claims passes over cnf",
        "issuer": "get_claims checks no issuer",
        "not_yet_valid": "get_claims checks neither iat nor nbf",
        "role": "get_claims takes every role, service_role too",
        "third_party_client": "get_claims takes tokens of third-party apps",
    },
    "clerk-pem": {
        "audience": "verify_token passes over an aud that is empty",
        "bad_claim": "verify_token needs neither exp, iat nor sub",
        "bad_header": "verify_token passes over key addresses in the header",
        "bound_token": "verify_token passes over cnf",
        "impersonated": "verify_token takes impersonated sessions",
        "issuer": "verify_token checks no issuer",
        "pending_session": "verify_token takes pending sessions",
        "token_kind": "verify_token takes templates, machines and version 1",
    },
    "auth0": {
        "bad_claim": "verify_access_token takes odd types of sub, iat and nbf",
        "bad_header": "verify_access_token passes over key addresses in the header",
        "bound_token": "verify_access_token takes an odd cnf",
        "machine": "verify_access_token takes client credentials",
        "not_yet_valid": "verify_access_token checks neither iat nor nbf",
        "token_kind": "verify_access_token takes ID tokens of the API's audience",
    },
}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Generator[Client]:
    """The providers' libraries for Python, as they are published."""
    client = Client(python_with("sign-ins"), "sign_ins", tmp_path_factory.mktemp("sign-ins") / "client.log")
    yield client
    client.stop()


def mutated(kind: Kind, issuer: Issuer, dice: random.Random) -> str:
    """A good token, or one with one to three things changed; times stay away from what clocks may differ by."""
    now = int(time.time())
    claims: dict[str, Any] = {}
    header: dict[str, Any] = {}
    key: str | None = None
    for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
        what = dice.random()
        if what < 0.55:
            claims[dice.choice(CLAIMS)] = dice.choice(ODD)
        elif what < 0.7:
            claims[dice.choice(["exp", "iat", "nbf"])] = now + dice.choice([-7200, -600, 600, 7200])
        elif what < 0.8:
            claims.update(
                dice.choice(
                    [
                        {"aud": [AUDIENCE, "authenticated"]},
                        {"azp": PAGE},
                        {"sts": "pending"},
                        {"v": 2},
                        {"is_anonymous": False},
                        {"role": "service_role"},
                        {"act": {"sub": "user_admin"}},
                        {"gty": "client-credentials"},
                        {"iss": f"{TENANT}/"},
                    ]
                )
            )
        elif what < 0.92:
            header[dice.choice(HEADERS)] = dice.choice([*ODD[2:], "JWT", "at+jwt", "cl_B7d4PD222AAA"])
        else:
            key = "ec-forger" if kind.algorithm == "ES256" else "forger"
            header["kid"] = kind.key
    token = kind.token(issuer, claims, header=header, key=key)
    if dice.random() < 0.1:
        at = dice.randrange(len(token))
        token = token[:at] + dice.choice("AZaz09-_.=") + token[at + 1 :]
    return token


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(STRICTER))
def test_whatever_is_accepted_the_providers_own_library_accepts(name: str, libraries: Client) -> None:
    kind = KINDS[name]
    issuer = Issuer()
    issuer.start()
    try:
        dice = random.Random(f"{name} {SEED}")
        tokens = [kind.token(issuer), *(mutated(kind, issuer, dice) for _ in range(TOKENS))]
        verifier = kind.make(issuer, rerouted(issuer))
        ours = [_reason(verifier, token) for token in tokens]
        keys = {"keys": [key for key in issuer.keys if key["kty"] != "oct"][:2]}
        theirs: list[bool] = libraries.run(
            name.partition("-")[0],
            tokens=tokens,
            keys=keys,
            pem=public_pem(RSA_KEY),
            parties=[PAGE],
            domain=TENANT.removeprefix("https://"),
            audience=AUDIENCE,
        )
    finally:
        issuer.stop()

    both = [(token, reason, accepted) for token, reason, accepted in zip(tokens, ours, theirs, strict=True)]
    assert both[0][1:] == (None, True)
    assert [token for token, reason, accepted in both if reason is None and not accepted] == []
    stricter = Counter(reason for _, reason, accepted in both if reason is not None and accepted)
    assert set(stricter) == set(STRICTER[name]), stricter
    assert 200 < sum(reason is None for reason in ours) < TOKENS
    assert sum(not accepted for accepted in theirs) > 200


def _reason(verifier: Any, token: str) -> str | None:
    try:
        verifier.verify(Credential(token))
    except AuthError as problem:
        return problem.reason
    return None
