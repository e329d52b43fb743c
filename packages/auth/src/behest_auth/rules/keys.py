"""Public keys: which of those that a provider publishes may verify, and how they are found."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from ..errors import ConfigError
from ..ports import Answer, Ask
from .addresses import is_safe_address

MAX_KEYS = 32
"""Keys of one set that are read, at most."""

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
MIN_RSA_BITS = 2048
_READERS: dict[str, Callable[[Any], object]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
ALGORITHMS = _RSA | frozenset(_CURVES.values()) | {"EdDSA"}
"""Every algorithm that a provider may be set up with: signatures that only the holder of a private key can make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A public key and the algorithms it may be used with."""

    algorithms: frozenset[str]
    key: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where an issuer's keys are: at a known address, or where its discovery document says.

    Attributes:
        url: The key set, or the discovery document.
        issuer: Whose document it must be; None when `url` is the key set itself.
    """

    url: str
    issuer: str | None = None
    allow_http: bool = False


class KeySetError(Exception):
    """What was fetched holds no keys that can be used."""


def find_keys(source: KeySource) -> Generator[Ask, Answer, dict[str, VerificationKey]]:
    """Fetch what has to be fetched: yields pages to get, takes their answers, and returns keys by their ids.

    Raises:
        KeySetError: An answer is not what it should be.
    """
    url = source.url
    if source.issuer is not None:
        answer = yield Ask(url=url)
        url = _key_set_of(_document(answer), source)
    return read_keys(_document((yield Ask(url=url))))


def read_keys(document: dict[str, Any]) -> dict[str, VerificationKey]:
    """Read a key set (RFC 7517): public keys for signatures, each with an id; whatever else is in it is left out.

    Raises:
        KeySetError: No key is left.
    """
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise KeySetError("it has no list of keys")
    found: dict[str, VerificationKey] = {}
    for entry in cast("list[object]", listed)[:MAX_KEYS]:
        fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        key_id = fields.get("kid")
        key = _read_key(fields)
        if isinstance(key_id, str) and key_id and key is not None:
            found.setdefault(key_id, key)
    if not found:
        raise KeySetError("it has no key that can verify")
    return found


def read_pem(text: str) -> VerificationKey:
    r"""Read a public key in PEM, its line ends as they are, as `\n`, or missing.

    Raises:
        ConfigError: It is none.
    """
    body = text.replace("\\n", "\n").strip().strip('"').strip()
    head, foot = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
    if not body.startswith(head) or not body.endswith(foot):
        raise ConfigError(f"a public key in PEM is expected, from {head} to {foot}.")
    inner = "".join(body[len(head) : -len(foot)].split())
    try:
        key = _with_algorithms(load_pem_public_key(f"{head}\n{inner}\n{foot}\n".encode()))
    except (ValueError, UnicodeError):
        key = None
    if key is None:
        raise ConfigError("this PEM holds no public key for signatures (RSA of 2048 bits or more, EC, or Ed25519).")
    return key


def _document(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        raise KeySetError(f"the answer was HTTP {answer.status}")
    try:
        document: object = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise KeySetError("the answer is not JSON") from None
    if not isinstance(document, dict):
        raise KeySetError("the answer is not a JSON object")
    return cast("dict[str, Any]", document)


def _key_set_of(document: dict[str, Any], source: KeySource) -> str:
    """The key set's address, of a discovery document that must be the issuer's own (OpenID Discovery, section 4.3)."""
    if document.get("issuer") != source.issuer:
        raise KeySetError("the discovery document is another issuer's")
    url = document.get("jwks_uri")
    if not isinstance(url, str) or not is_safe_address(url, allow_http=source.allow_http):
        raise KeySetError("the discovery document names no safe jwks_uri")
    return url


def _read_key(fields: dict[str, Any]) -> VerificationKey | None:
    """A key for verifying, or None. One that comes with its private half is compromised and not used."""
    operations: object = fields.get("key_ops", ["verify"])
    usable = isinstance(operations, list) and "verify" in cast("list[object]", operations)
    if "d" in fields or fields.get("use", "sig") != "sig" or not usable:
        return None
    reader = _READERS.get(str(fields.get("kty")))
    if reader is None:
        return None
    try:
        key = _with_algorithms(reader(fields))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    stated = fields.get("alg")
    if key is None or stated is None:
        return key
    return VerificationKey(algorithms=key.algorithms & {stated}, key=key.key) if isinstance(stated, str) else None


def _with_algorithms(key: object) -> VerificationKey | None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return VerificationKey(algorithms=_RSA, key=key)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return VerificationKey(algorithms=frozenset({_CURVES[key.curve.name]}), key=key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return VerificationKey(algorithms=frozenset({"EdDSA"}), key=key)
    return None
