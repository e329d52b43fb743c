"""What a refusal looks like on the wire: one table of codes, two envelopes.

The data plane answers a hybrid that the OpenAI SDKs, the Behest SDKs and the older Behest clients all read; the
management plane answers a flat object. A code is stable: programs compare it, people read the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorKind:
    """What a code means to whoever catches it."""

    code: str
    status: int
    type: str
    retryable: bool
    meaning: str


def _table(*kinds: ErrorKind) -> dict[str, ErrorKind]:
    return {kind.code: kind for kind in kinds}


def _kind(code: str, status: int, type_: str, retryable: bool, meaning: str) -> ErrorKind:
    return ErrorKind(code=code, status=status, type=type_, retryable=retryable, meaning=meaning)


KINDS = _table(
    _kind(
        "validation_error",
        400,
        "invalid_request_error",
        False,
        "The request is malformed; the message names the field.",
    ),
    _kind(
        "invalid_token", 401, "authentication_error", False, "The credential is missing, expired, forged or revoked."
    ),
    _kind("quota_exceeded", 402, "insufficient_quota", False, "A user's quota or budget is used up until it resets."),
    _kind("budget_exceeded", 402, "insufficient_quota", False, "A project's budget is used up until it resets."),
    _kind("tier_limit", 402, "insufficient_quota", False, "The user's tier does not allow this."),
    _kind("forbidden", 403, "permission_error", False, "The credential is good, but not for this."),
    _kind("not_found", 404, "invalid_request_error", False, "There is nothing at this address."),
    _kind("method_not_allowed", 405, "invalid_request_error", False, "The address is right, the method is not."),
    _kind("request_timeout", 408, "invalid_request_error", True, "The request did not arrive in time."),
    _kind("conflict", 409, "invalid_request_error", False, "The state does not allow this now."),
    _kind("payload_too_large", 413, "invalid_request_error", False, "The body is larger than the gateway accepts."),
    _kind("rate_limited", 429, "rate_limit_error", True, "Too many requests; wait for Retry-After seconds."),
    _kind("pii_blocked", 451, "content_policy_error", False, "The text holds personal data that must not be sent."),
    _kind("content_blocked", 451, "content_policy_error", False, "The text was refused by a guardrail."),
    _kind("server_error", 500, "server_error", True, "The gateway failed; the trace id finds the reason."),
    _kind("upstream_error", 502, "upstream_error", True, "The provider failed or answered nonsense."),
    _kind("unavailable", 503, "server_error", True, "The gateway cannot serve this now."),
    _kind("upstream_timeout", 504, "upstream_error", True, "The provider did not answer in time."),
)
"""Every code that the data plane sends."""


def envelope(
    code: str,
    message: str,
    *,
    trace_id: str = "",
    param: str | None = None,
    details: dict[str, Any] | None = None,
    retryable: bool | None = None,
) -> dict[str, Any]:
    """Build the data plane's error body.

    >>> envelope("rate_limited", "Wait.")["error"]["type"]
    'rate_limit_error'
    """
    kind = KINDS[code]
    return {
        "error": {"code": code, "message": message, "type": kind.type, "param": param, "details": details or {}},
        "code": code,
        "message": message,
        "retryable": kind.retryable if retryable is None else retryable,
        "trace_id": trace_id,
    }


def flat_envelope(code: str, message: str, *, retryable: bool = False, trace_id: str = "") -> dict[str, Any]:
    """Build the management plane's error body.

    >>> flat_envelope("not_found", "No such project.")["code"]
    'NOT_FOUND'
    """
    return {
        "error": message,
        "message": message,
        "code": code.upper(),
        "retryable": retryable,
        "trace_id": trace_id,
    }
