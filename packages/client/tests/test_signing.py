"""The older way to sign a token."""

from __future__ import annotations

import base64
import time
from typing import Any

import jwt
import pytest
from behest import BehestBadRequestError, BehestConfigError, sign_behest_jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from .stub_gateway import API_KEY, PROJECT, TENANT


@pytest.fixture
def options(pem: str) -> dict[str, Any]:
    return {
        "private_key_pem": pem,
        "key_id": "sk_tenant",
        "tenant_id": TENANT,
        "project_id": PROJECT,
        "user_id": "u_42",
    }


def test_its_claims_are_the_older_ones(options: dict[str, Any], rsa_keys: list[RSAPrivateKey]) -> None:
    before = int(time.time())

    signed = sign_behest_jwt(**options, expires_in=900)

    assert jwt.get_unverified_header(signed.access_token) == {"alg": "RS256", "typ": "JWT", "kid": "sk_tenant"}
    claims = jwt.decode(
        signed["access_token"], rsa_keys[2].public_key(), algorithms=["RS256"], audience="behest", issuer="behest"
    )
    assert list(claims) == ["tid", "pid", "uid", "iss", "aud", "iat", "nbf", "exp"]
    assert (claims["tid"], claims["pid"], claims["uid"]) == (TENANT, PROJECT, "u_42")
    assert before <= claims["iat"] == claims["nbf"] == claims["exp"] - 900
    assert (signed.expires_in, signed.expires_at) == (900, claims["exp"])
    assert signed.access_token not in repr(signed)


def test_the_key_may_have_any_form_that_the_environment_gives_it(options: dict[str, Any], pem: str) -> None:
    packed = "behest_pk_" + base64.b64encode(pem.encode()).decode()

    assert sign_behest_jwt(**{**options, "private_key_pem": packed}).access_token


@pytest.mark.parametrize(
    "wrong", [{"key_id": "kid_1"}, {"tenant_id": ""}, {"project_id": ""}, {"user_id": ""}, {"user_id": "admin"}]
)
def test_an_id_that_cannot_be_used_is_a_bad_request(wrong: dict[str, str], options: dict[str, Any]) -> None:
    with pytest.raises(BehestBadRequestError):
        sign_behest_jwt(**{**options, **wrong})


@pytest.mark.parametrize("seconds", [59, 86_401])
def test_a_life_out_of_its_range_is_a_value_error(seconds: int, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expires_in must be between 60 and 86400"):
        sign_behest_jwt(**options, expires_in=seconds)


@pytest.mark.parametrize(
    "key", ["", "nonsense", API_KEY, "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"]
)
def test_a_key_that_cannot_sign_is_invalid_signing_key(key: str, options: dict[str, Any]) -> None:
    with pytest.raises(BehestConfigError) as caught:
        sign_behest_jwt(**{**options, "private_key_pem": key})

    assert caught.value.code == "invalid_signing_key"
    assert "BEHEST_KEY" not in str(caught.value)
    assert API_KEY not in str(caught.value)
