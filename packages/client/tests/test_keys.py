"""Every form in which a key comes out of an environment is understood, and no message repeats one."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from behest import BehestConfigError, detect_mode
from behest._keys import load_signing_key
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

API_KEY = "behest_sk_live_0123456789abcdef0123456789abcdef"


def _text(key: rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.fixture(params=[serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def any_pem(request: pytest.FixtureRequest, rsa_keys: list[rsa.RSAPrivateKey]) -> str:
    return _text(rsa_keys[0], request.param)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "behest_pk_ and raw PEM": lambda pem: f"behest_pk_{pem}",
    "behest_pk_ and base64": lambda pem: f"behest_pk_{_base64(pem)}",
    "base64": _base64,
    "raw PEM": lambda pem: pem,
    "behest_pk_ and escaped line ends": lambda pem: "behest_pk_" + pem.replace("\n", "\\n"),
    "escaped line ends": lambda pem: pem.replace("\n", "\\n"),
    "escaped CRLF": lambda pem: pem.replace("\n", "\\r\\n"),
    "doubly escaped line ends": lambda pem: pem.replace("\n", "\\\\n"),
    "base64 of escaped line ends": lambda pem: _base64(pem.replace("\n", "\\n")),
    "url-safe base64 without padding": lambda pem: base64.urlsafe_b64encode(pem.encode()).decode().rstrip("="),
    "base64 in lines": lambda pem: base64.encodebytes(pem.encode()).decode(),
    "CRLF": lambda pem: pem.replace("\n", "\r\n"),
    "one line with spaces": lambda pem: pem.replace("\n", " "),
    "white space around": lambda pem: f" \n{pem}\n\t",
    "indented": lambda pem: pem.replace("\n", "\n    "),
    "quoted": lambda pem: f'"{pem}"',
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_a_private_key_is_understood_in_every_encoding(
    encode: Callable[[str], str], any_pem: str, rsa_keys: list[rsa.RSAPrivateKey]
) -> None:
    mode, pem = detect_mode(encode(any_pem))

    assert mode == "sign"
    assert load_signing_key(pem).private_numbers() == rsa_keys[0].private_numbers()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(["CRLF", "white space around", "escaped line ends", "quoted"]), unique=True))
def test_what_environments_do_to_a_key_may_be_combined(
    names: list[str], pem: str, rsa_keys: list[rsa.RSAPrivateKey]
) -> None:
    text = pem
    for name in names:
        text = ENCODINGS[name](text)

    assert load_signing_key(detect_mode(text)[1]).private_numbers() == rsa_keys[2].private_numbers()


@pytest.mark.parametrize("text", [API_KEY, f" {API_KEY}\n", f'"{API_KEY}"'])
def test_an_api_key_is_understood(text: str) -> None:
    assert detect_mode(text) == ("apiKey", API_KEY)


@pytest.mark.parametrize("text", ["", "  \n", '""', None])
def test_no_key_is_missing_env(text: str | None) -> None:
    with pytest.raises(BehestConfigError) as caught:
        detect_mode(text)

    assert caught.value.code == "missing_env"


@pytest.mark.parametrize(
    "text",
    [
        "hunter2hunter2",
        "bh_live_0123456789abcdef",
        "behest_sk_live_",
        "behest_sk_live_0123\n4567",
        "behest_sk_live_0123 4567",
        "behest_sk_live_ключ",
        "behest_pk_",
        "behest_pk_bm90IGEga2V5",
        base64.b64encode(b"just some text").decode(),
        base64.b64encode(b"\xff\xfe\x00").decode(),
        "-----BEGIN PRIVATE KEY-----\nMIIE",
        "-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n-----END RSA PRIVATE KEY-----",
        "x" * 70_000,
    ],
)
def test_what_is_no_key_is_bad_key_format_and_is_not_repeated(text: str) -> None:
    with pytest.raises(BehestConfigError) as caught:
        detect_mode(text)

    assert caught.value.code == "bad_key_format"
    secret = text.removeprefix("behest_sk_live_").removeprefix("behest_pk_")
    assert not secret or secret not in f"{caught.value!s} {caught.value!r}"


def test_a_key_that_cannot_be_read_is_bad_key_format() -> None:
    with pytest.raises(BehestConfigError, match="cannot be read"):
        load_signing_key("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize("other", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()])
def test_a_key_of_another_kind_is_refused(other: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    with pytest.raises(BehestConfigError, match="RSA"):
        load_signing_key(detect_mode(pem.decode())[1])


def test_a_short_rsa_key_is_refused() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)

    with pytest.raises(BehestConfigError, match="1024 bits"):
        load_signing_key(_text(short, serialization.PrivateFormat.PKCS8))
