"""What a `BEHEST_KEY` is: an API key to exchange for tokens, or a private key to sign them with.

A private key survives whatever an environment did to its line ends: `behest_pk_` in front or not, then the PEM itself,
its base64, its line ends written as a backslash and an n, or the lines run together. PKCS#8 and PKCS#1 are both taken.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal

from behest_protocol.claims import API_KEY_PREFIX, PRIVATE_KEY_PREFIX
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ._errors import BehestConfigError

Mode = Literal["apiKey", "sign"]
"""How tokens are made: exchanged for an API key, or signed here with a private key."""

MAX_KEY_CHARACTERS = 65_536
MIN_RSA_BITS = 2_048

_ESCAPED_LINE_END = re.compile(r"(?:\\+r)?\\+n")
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_EXPECTED = (
    "expected an API key (behest_sk_live_...) or an RSA private key "
    "(PEM or base64 of PEM, with or without behest_pk_ in front)"
)


def detect_mode(raw: str | None) -> tuple[Mode, str]:
    """Say what a key is for, and return it in its plain form.

    Args:
        raw: The key as it stands in the environment or in the code.

    Returns:
        `("apiKey", the API key)` or `("sign", the private key as PEM)`.

    Raises:
        BehestConfigError: There is no key (`missing_env`), or it is of neither kind (`bad_key_format`).

    >>> detect_mode(" behest_sk_live_0123456789abcdef0123456789abcdef ")
    ('apiKey', 'behest_sk_live_0123456789abcdef0123456789abcdef')
    """
    key = _unquoted((raw or "").strip())
    if not key:
        raise BehestConfigError(f"BEHEST_KEY is not set; {_EXPECTED}.", code="missing_env")
    if len(key) > MAX_KEY_CHARACTERS:
        raise BehestConfigError(f"BEHEST_KEY is longer than {MAX_KEY_CHARACTERS} characters; {_EXPECTED}.")
    if key.startswith(API_KEY_PREFIX):
        if not key.isascii() or not key.isprintable() or " " in key or len(key) == len(API_KEY_PREFIX):
            raise BehestConfigError("BEHEST_KEY starts as an API key but is empty or broken inside; copy it again.")
        return "apiKey", key
    return "sign", _pem(key.removeprefix(PRIVATE_KEY_PREFIX))


def load_signing_key(pem: str) -> RSAPrivateKey:
    """Read an RSA private key.

    Raises:
        BehestConfigError: It cannot be read, is not RSA, or is shorter than 2048 bits.
    """
    try:
        key = load_pem_private_key(pem.encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BehestConfigError("BEHEST_KEY looks like a private key but cannot be read; copy it again.") from None
    if not isinstance(key, RSAPrivateKey):
        raise BehestConfigError("BEHEST_KEY is a private key of another kind; tokens are signed with RSA (RS256).")
    if key.key_size < MIN_RSA_BITS:
        raise BehestConfigError(f"BEHEST_KEY has {key.key_size} bits; RS256 needs {MIN_RSA_BITS} or more.")
    return key


def _pem(text: str) -> str:
    if "-----BEGIN" not in text:
        text = _from_base64(text)
    found = _PEM.search(_ESCAPED_LINE_END.sub("\n", text))
    if found is None:
        raise BehestConfigError(f"BEHEST_KEY is not a key that can be used; {_EXPECTED}.")
    label, body = found.groups()
    if "ENCRYPTED" in label or "ENCRYPTED" in body:
        raise BehestConfigError("BEHEST_KEY is protected by a password; give the private key without one.")
    if label not in ("PRIVATE KEY", "RSA PRIVATE KEY"):
        raise BehestConfigError(f"BEHEST_KEY holds a {label.lower()}; an RSA private key is needed.")
    data = "".join(body.split())
    lines = [data[at : at + 64] for at in range(0, len(data), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _from_base64(text: str) -> str:
    packed = "".join(_ESCAPED_LINE_END.sub("", text).split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise BehestConfigError(f"BEHEST_KEY is not a key that can be used; {_EXPECTED}.") from None


def _unquoted(text: str) -> str:
    """Take off the quotation marks that some env-file readers leave on."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].strip()
    return text
