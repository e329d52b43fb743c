"""What the claims of every provider's token must say, by name, type and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..errors import ForbiddenError, InvalidCredentialError, Reason

MAX_LEEWAY = 60
"""Seconds by which clocks may differ, at most."""

MAX_SUBJECT = 1_024
_LAST_SECOND = 253_402_300_799  # the end of the year 9999

Claims = Mapping[str, Any]


def check_times(claims: Claims, *, now: int, leeway: int) -> int:
    """Check when a token begins and ends; times are whole seconds since 1970. Returns when it ends.

    Raises:
        InvalidCredentialError: `bad_claim`, `expired` or `not_yet_valid`.

    >>> check_times({"iat": 100, "exp": 160}, now=120, leeway=15)
    160
    """
    expires, issued = _second(claims, "exp"), _second(claims, "iat")
    begins = _second(claims, "nbf") if "nbf" in claims else issued
    if now >= expires + leeway:
        raise InvalidCredentialError("expired", f"{now - expires} s ago")
    if max(issued, begins) > now + leeway:
        raise InvalidCredentialError("not_yet_valid", f"for another {max(issued, begins) - now} s")
    return expires


def check_types(claims: Claims) -> None:
    """Check the types of what no rule asks for and other libraries refuse: `jti` (RFC 7519, section 4.1.7).

    Raises:
        InvalidCredentialError: `bad_claim`.
    """
    if "jti" in claims and not isinstance(claims["jti"], str):
        raise InvalidCredentialError("bad_claim", "jti must be text")


def check_issuer(claims: Claims, issuer: str) -> str:
    """Check who signed it, letter by letter.

    Raises:
        InvalidCredentialError: `issuer`.
    """
    if claims.get("iss") != issuer:
        raise InvalidCredentialError("issuer", repr(claims.get("iss"))[:120])
    return issuer


def check_audience(claims: Claims, audience: str | None) -> None:
    """Check whom it is for: our audience alone, or ours among others. Without an audience of ours it must have none.

    Raises:
        InvalidCredentialError: `audience`.

    >>> check_audience({"aud": ["https://api.acme.com", "https://acme.auth0.com/userinfo"]}, "https://api.acme.com")
    """
    named = cast("object", claims.get("aud"))
    said = str(named)[:120]
    if audience is None:
        if named is not None:
            raise InvalidCredentialError("audience", said)
        return
    listed = cast("list[object]", named) if isinstance(named, list) else [named]
    if not all(isinstance(entry, str) for entry in listed) or audience not in listed:
        raise InvalidCredentialError("audience", said)


def subject_of(claims: Claims, name: str = "sub") -> str:
    """The user's id: text that is not empty and not endless.

    Raises:
        InvalidCredentialError: `bad_claim`.
    """
    subject = claims.get(name)
    if not isinstance(subject, str) or not subject.strip() or len(subject) > MAX_SUBJECT:
        raise InvalidCredentialError("bad_claim", f"{name} must be the user's id")
    return subject


def text_of(claims: Claims, name: str | None) -> str | None:
    """A claim that is text and not empty, or None when it is missing, null or empty.

    Raises:
        InvalidCredentialError: `bad_claim`, when it is there and no text.
    """
    value = claims.get(name) if name else None
    if value is not None and not isinstance(value, str):
        raise InvalidCredentialError("bad_claim", f"{name} must be text")
    return value or None


def session_of_login(claims: Claims, name: str | None) -> str | None:
    """The login that a token belongs to, or None when it does not say.

    Raises:
        InvalidCredentialError: `bad_claim`, when it says so and no login can be told from it.
    """
    session = text_of(claims, name)
    if name is not None and claims.get(name) == "":
        raise InvalidCredentialError("bad_claim", f"{name} is empty")
    return session


def refuse_bound(claims: Claims) -> None:
    """Refuse a token that is bound to a key of the client's (RFC 9449, RFC 8705): a bearer need not hold that key.

    Raises:
        InvalidCredentialError: `bound_token`.
    """
    if "cnf" in claims:
        raise InvalidCredentialError("bound_token", "it has cnf and came as Bearer")


def refuse_machine(claims: Claims) -> None:
    """Refuse a token that a program got for itself (client credentials): no user has signed in.

    Raises:
        ForbiddenError: `machine`.

    >>> refuse_machine({"sub": "auth0|42", "azp": "spa"})
    """
    subject = str(claims.get("sub"))
    clients = [claims[name] for name in ("azp", "client_id") if isinstance(claims.get(name), str)]
    if claims.get("gty") == "client-credentials" or subject.endswith("@clients") or subject in clients:
        raise ForbiddenError("machine", "client credentials")


def forbid(condition: bool, reason: Reason, detail: str = "") -> None:
    """Refuse what is genuine and still not for this.

    Raises:
        ForbiddenError: The condition holds.
    """
    if condition:
        raise ForbiddenError(reason, detail)


def _second(claims: Claims, name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= _LAST_SECOND:
        raise InvalidCredentialError("bad_claim", f"{name} must be a whole number of seconds")
    return value
