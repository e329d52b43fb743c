"""Public keys are read strictly; secrets are hashed with Argon2id."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from behest_gateway.adapters.keys import KeyWorks
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


@pytest.fixture
def works() -> Iterator[KeyWorks]:
    works = KeyWorks()
    yield works
    works.close()


def spki(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


async def test_a_secret_is_proved_by_its_hash(works: KeyWorks) -> None:
    hashed = await works.hash("secret")

    assert hashed.startswith("$argon2id$")
    assert await works.verify(hashed, "secret")
    assert not await works.verify(hashed, "Secret")
    assert not await works.verify("no hash", "secret")


async def test_a_fresh_key_has_a_public_half_that_is_taken(works: KeyWorks) -> None:
    pair = await works.generate()

    assert pair.private_pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert works.public_pem(pair.public_pem.replace("\n", "\r\n") + "\n\n") == pair.public_pem


async def test_a_private_key_that_is_sent_is_refused(works: KeyWorks) -> None:
    pair = await works.generate()

    with pytest.raises(ValueError, match="holds a private key"):
        works.public_pem(pair.private_pem)


def test_what_is_no_rsa_key_of_2048_bits_is_refused(works: KeyWorks) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    pkcs1 = small.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1).decode()
    wrapped = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"

    for text, why in (
        ("", "SPKI"),
        (pkcs1, "SPKI"),
        (wrapped, "cannot be read"),
        (spki(curve), "RSA"),
        (spki(small), "2048"),
        ("x" * 20_000, "longer"),
    ):
        with pytest.raises(ValueError, match=why):
            works.public_pem(text)
