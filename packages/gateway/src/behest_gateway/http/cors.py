"""Which pages may call: pure decisions over an origin and a project."""

from __future__ import annotations

from behest_protocol.headers import EXPOSED

from behest_gateway.core.snapshot import Directory, ProjectSnapshot
from behest_gateway.http.exchange import Headers

_EXPOSED = ", ".join(EXPOSED).encode()
_METHODS = b"GET, POST, DELETE, OPTIONS"
_MAX_AGE = b"600"
_VARY = (b"vary", b"Origin")
_ASKED = (b"access-control-request-method", b"access-control-request-headers")


def is_preflight(method: str, headers: dict[bytes, bytes]) -> bool:
    """A browser asks whether it may ask."""
    return method == "OPTIONS" and b"origin" in headers and _ASKED[0] in headers


def allows(directory: Directory, project: ProjectSnapshot | None, origin: bytes) -> bool:
    """A project allows an origin; while the project is not known yet, any project's does."""
    text = origin.decode("latin-1")
    return text in project.settings.allowed_origins if project is not None else directory.knows_origin(text)


def preflight_headers(allowed: bool, headers: dict[bytes, bytes]) -> Headers:
    """The answer to a preflight: it comes before authentication, since browsers send no token with it."""
    if not allowed:
        return [_VARY]
    fields: Headers = [
        (b"access-control-allow-origin", headers[b"origin"]),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-max-age", _MAX_AGE),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    ]
    asked = headers.get(_ASKED[1])
    if asked:
        fields.append((b"access-control-allow-headers", asked))
    return fields


def reply_headers(allowed: bool, origin: bytes) -> Headers:
    """What every other answer to a page carries, errors too: a page that may not read a 402 cannot explain it."""
    if not allowed:
        return [_VARY]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        _VARY,
    ]
