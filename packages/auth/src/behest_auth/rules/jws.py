"""A signed token, opened: everything about its form is checked before anything in it is believed.

The order is size, shape, header, signature, claims. The algorithm comes from what the provider is known to use and
from the key, never from the header alone; keys that a header carries or points to (`jwk`, `jku`, `x5u`, `x5c`) are not
used and such a token is refused, as is one with an extension that must be understood (`crit`, RFC 7515 section 4.1.11).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import jwt

from ..errors import InvalidCredentialError
from .keys import VerificationKey

MAX_TOKEN = 16_384
"""Characters of a token, at most; servers accept hardly more in a header."""

MAX_HEADER = 2_048
"""Characters of its first part, at most."""

MAX_KEY_ID = 256

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_REFUSED = ("b64", "crit", "jku", "jwk", "x5c", "x5u", "zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A token whose form is right and whose signature is not checked yet; its claims are not to be believed."""

    algorithm: str
    key_id: str
    header: Mapping[str, Any]
    signed: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def open_token(token: str, algorithms: Collection[str], *, needs_key_id: bool = True) -> Opened:
    """Check the form of a compact JWS.

    Args:
        algorithms: What the provider signs with.
        needs_key_id: Whether the header must name a key.

    Raises:
        InvalidCredentialError: `too_large`, `malformed`, `bad_header` or `algorithm`.

    >>> open_token("not-a-token", ["RS256"])
    Traceback (most recent call last):
    behest_auth.errors.InvalidCredentialError: malformed: three parts with dots between them are expected
    """
    if len(token) > MAX_TOKEN:
        raise InvalidCredentialError("too_large", f"{len(token)} characters")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise InvalidCredentialError("malformed", "three parts with dots between them are expected")
    if len(parts[1]) > MAX_HEADER:
        raise InvalidCredentialError("too_large", f"a header of {len(parts[1])} characters")
    header = _object(_decoded(parts[1]), "bad_header")
    refused = [name for name in _REFUSED if name in header]
    if refused:
        raise InvalidCredentialError("bad_header", f"{refused[0]} is not taken")
    if not isinstance(header.get("typ", ""), str):
        raise InvalidCredentialError("bad_header", "typ must be text")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidCredentialError("algorithm", repr(algorithm)[:40])
    key_id = header.get("kid", "" if not needs_key_id else None)
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID or (needs_key_id and not key_id):
        raise InvalidCredentialError("bad_header", "kid must name a key")
    return Opened(
        algorithm=algorithm,
        key_id=key_id,
        header=header,
        signed=token[: parts.end(2)].encode("ascii"),
        payload=_decoded(parts[2]),
        signature=_decoded(parts[3]),
    )


def check_signature(opened: Opened, key: VerificationKey) -> None:
    """Check that the holder of a key signed this.

    Raises:
        InvalidCredentialError: `algorithm` when the key is for another one, or `bad_signature`.
    """
    if opened.algorithm not in key.algorithms:
        raise InvalidCredentialError("algorithm", f"{opened.algorithm} does not go with this key")
    if not _verifies(opened.algorithm, opened.signed, key.key, opened.signature):
        raise InvalidCredentialError("bad_signature")


def read_claims(opened: Opened) -> dict[str, Any]:
    """Read the claims: an object, without names that come twice and without numbers that are none.

    Raises:
        InvalidCredentialError: `malformed`.
    """
    return _object(opened.payload, "malformed")


def _verifies(algorithm: str, signed: bytes, key: Any, signature: bytes) -> bool:
    try:
        return bool(_algorithm(algorithm).verify(signed, key, signature))
    except (jwt.PyJWTError, ValueError, TypeError):
        return False


@cache
def _algorithm(name: str) -> Any:
    return jwt.get_algorithm_by_name(name)


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise InvalidCredentialError("malformed", "a part is not base64url") from None


def _object(text: bytes, reason: Any) -> dict[str, Any]:
    try:
        value: object = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_number)
    # Deep nesting exhausts the stack of the decoder, and very long numbers have a limit of their own.
    except (ValueError, RecursionError) as problem:
        raise InvalidCredentialError(reason, f"not JSON: {type(problem).__name__}") from None
    if not isinstance(value, dict):
        raise InvalidCredentialError(reason, "not a JSON object")
    return cast("dict[str, Any]", value)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
