"""Errors and JSON as bytes; the one place where an error becomes HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from behest_protocol.errors import envelope, flat_envelope

from behest_gateway.core.errors import GatewayError
from behest_gateway.http.exchange import Headers, Reply

JSON = (b"content-type", b"application/json")
_encoder = msgspec.json.Encoder()


def json_reply(value: Any, status: int = 200, headers: Headers | None = None) -> Reply:
    """A JSON answer."""
    return Reply(status=status, body=_encoder.encode(value), headers=[JSON, *(headers or [])])


def error_headers(error: GatewayError) -> Headers:
    """What tells a client whether and when to try again."""
    fields: Headers = [JSON]
    if error.retry_after is not None:
        fields.append((b"retry-after", str(error.retry_after).encode()))
    if error.status in (402, 429) or not error.retryable:
        fields.append((b"x-should-retry", b"true" if error.retryable else b"false"))
    if error.status == 401:
        fields.append((b"www-authenticate", b"Bearer"))
    return fields


def error_reply(error: GatewayError, request_id: str, *, flat: bool = False) -> Reply:
    """The answer to a refused or failed request, in the envelope of its plane."""
    if flat:
        body = flat_envelope(error.code, error.message, retryable=error.retryable, trace_id=request_id)
    else:
        body = envelope(
            error.code,
            error.message,
            trace_id=request_id,
            param=error.param,
            details=error.details,
            retryable=error.retryable,
        )
    return Reply(status=error.status, body=_encoder.encode(body), headers=error_headers(error))


def failure() -> GatewayError:
    """What a caller learns of a fault of the gateway's own: nothing but that it happened."""
    return GatewayError("server_error", "The gateway failed. Tell its operator the trace id.")
