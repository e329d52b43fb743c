"""What callers of the token plane see: the mint in two envelopes, and the JWKS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from behest_protocol.errors import envelope, flat_envelope

from behest_gateway.core.errors import GatewayError
from behest_gateway.core.snapshot import Directory, ProjectSnapshot
from behest_gateway.mint import rules
from behest_gateway.mint.actions import Minter

PATHS = ("/v1/auth/mint", "/auth/v1/auth/mint")
"""Both take POST. The second answers errors in the flat envelope of the management plane."""

FLAT_PATH = PATHS[1]
JWKS_PATH = "/.well-known/jwks.json"


class Answer(NamedTuple):
    """A whole HTTP answer, without the headers that every answer gets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


async def mint(
    minter: Minter,
    *,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    host_project: ProjectSnapshot | None = None,
    trace_id: str = "",
) -> Answer:
    """Answer a POST to one of `PATHS`.

    Args:
        path: The request's path; it decides the envelope of an error.
        headers: The request's headers, with names in lower case.
        body: The request's body.
        host_project: The project whose slug the request's host is, if any.
        trace_id: Named in an error.
    """
    try:
        reply = await minter.mint(_bearer(headers.get("authorization")), host_project, body)
    except GatewayError as error:
        return refusal(error, flat=path == FLAT_PATH, trace_id=trace_id)
    return _json(200, reply.to_json())


def refusal(error: GatewayError, *, flat: bool, trace_id: str = "") -> Answer:
    """Write an error in the envelope of a mint path."""
    if flat:
        content = flat_envelope(error.code, error.message, retryable=error.retryable, trace_id=trace_id)
    else:
        content = envelope(
            error.code,
            error.message,
            trace_id=trace_id,
            param=error.param,
            details=error.details,
            retryable=error.retryable,
        )
    extra = (("www-authenticate", "Bearer"),) if error.status == 401 else ()
    return _json(error.status, content, extra)


def jwks(directory: Directory) -> bytes:
    """Write the JWKS of every key in force."""
    return rules.jwks(directory.verification_keys())


def jwks_answer(directory: Directory) -> Answer:
    """Answer a GET of `JWKS_PATH`."""
    headers = (("content-type", "application/json"), ("cache-control", "public, max-age=300"))
    return Answer(200, headers, jwks(directory))


def _json(status: int, content: dict[str, Any], extra: tuple[tuple[str, str], ...] = ()) -> Answer:
    headers = (("content-type", "application/json"), ("cache-control", "no-store"), *extra)
    return Answer(status, headers, msgspec.json.encode(content))


def _bearer(authorization: str | None) -> str | None:
    scheme, _, credential = (authorization or "").strip().partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None
