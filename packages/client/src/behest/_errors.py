"""Everything that can go wrong, as one tree.

    BehestError                  anything; also 404, 409, 451 and a stream that cannot be read
      BehestConfigError          the client was built wrongly: fix the environment or the arguments
      BehestBadRequestError      400, 422, or refused before it was sent: fix the request
      BehestAuthError            401 sign in again; 403 not allowed
      BehestQuotaError           402 a budget or quota is used up: do not retry, tell the user (`details` says which)
      BehestRateLimitError       429 too fast: wait `retry_after` seconds
      BehestServerError          5xx, or the gateway could not be reached (`code == "network_error"`)

No error carries a key or a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from behest_protocol import headers as names
from behest_protocol.errors import KINDS


class BehestError(Exception):
    """Anything that went wrong between this program and the gateway.

    Attributes:
        status: The HTTP status, or None when nothing was answered.
        code: A stable word to compare, such as `"quota_exceeded"`.
        trace_id: What to give to whoever runs the gateway, so that they find this request.
        raw: The answer's decoded JSON, or its text, or None.
        retry_after: Seconds to wait, when the gateway said so.

    >>> error = BehestError("No such thread.", status=404, code="not_found", trace_id="tr_1")
    >>> str(error), error.status, error.code
    ('No such thread.', 404, 'not_found')
    """

    _usual: ClassVar[tuple[str, int | None, str | None]] = ("The call failed.", None, None)
    """The message, the status and the code of this kind of error, unless it is told others."""

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        trace_id: str | None = None,
        raw: Any = None,
        retry_after: int | None = None,
    ) -> None:
        usual_message, usual_status, usual_code = self._usual
        super().__init__(message or usual_message)
        self.status = status or usual_status
        self.code = code or usual_code
        self.trace_id = trace_id
        self.raw = raw
        self.retry_after = retry_after

    @property
    def details(self) -> dict[str, Any]:
        """What the gateway said beside the message: for a budget its scope, limit, spent amount and reset time.

        >>> BehestError("Stop.", raw={"error": {"details": {"limit_usd": 5}}}).details
        {'limit_usd': 5}
        >>> BehestError("Stop.").details
        {}
        """
        return _object(_object(_object(self.raw).get("error")).get("details"))

    def __repr__(self) -> str:
        known = {"status": self.status, "code": self.code, "trace_id": self.trace_id, "retry_after": self.retry_after}
        told = "".join(f", {name}={value!r}" for name, value in known.items() if value is not None)
        return f"{type(self).__name__}({str(self)!r}{told})"


class BehestConfigError(BehestError):
    """The client was built wrongly; `code` is `missing_env`, `bad_key_format` or `invalid_option`.

    >>> try:
    ...     detect_mode("hunter2")
    ... except BehestConfigError as error:
    ...     error.code
    'bad_key_format'
    """

    _usual = ("The client is not set up.", None, "bad_key_format")


class BehestAuthError(BehestError):
    """The credential was refused (401), or is not good for this (403).

    >>> classify_http_error(403).code
    'forbidden'
    """

    _usual = ("Authentication failed.", 401, "invalid_token")


class BehestQuotaError(BehestError):
    """A budget or quota is used up until it resets; a retry cannot help.

    >>> body = {"error": {"code": "quota_exceeded", "message": "Used up.", "details": {"limit_usd": 5}}}
    >>> error = classify_http_error(402, body=body)
    >>> type(error).__name__, error.details["limit_usd"]
    ('BehestQuotaError', 5)
    """

    _usual = ("The budget or quota is used up until it resets.", 402, "quota_exceeded")


class BehestRateLimitError(BehestError):
    """Too many requests; wait `retry_after` seconds.

    >>> classify_http_error(429, headers={"Retry-After": "12"}).retry_after
    12
    """

    _usual = ("Too many requests.", 429, "rate_limited")


class BehestServerError(BehestError):
    """The gateway or its provider failed, or could not be reached (`code == "network_error"`).

    >>> classify_http_error(502, body={"error": {"code": "upstream_error"}}).code
    'upstream_error'
    """

    _usual = ("The gateway failed.", 500, "server_error")


class BehestBadRequestError(BehestError):
    """The request is malformed; the message names the field.

    It is also raised before anything is sent, for a user id that is empty or reserved and for a ttl out of range, with
    the status and the code that the gateway would answer (400, `validation_error`).

    >>> classify_http_error(422).code
    'validation_error'
    """

    _usual = ("The request is malformed.", 400, "validation_error")


def classify_http_error(status: int, *, headers: Mapping[str, str] | None = None, body: Any = None) -> BehestError:
    """Turn a refusal into the error that says what to do about it.

    Both envelopes are understood: `{"error": {"code", "message"}}` and the flat `{"error": "text", "code": "UPPER"}`.

    Args:
        status: The HTTP status.
        headers: The answer's headers, in any letter case.
        body: The decoded JSON, or the text, or None.

    Returns:
        The error, for the caller to raise.

    >>> error = classify_http_error(429, headers={"retry-after": "7", "X-Trace-Id": "tr_1"})
    >>> error
    BehestRateLimitError('Too many requests.', status=429, code='rate_limited', trace_id='tr_1', retry_after=7)
    """
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    envelope = _object(body)
    nested = _object(envelope.get("error"))
    code = _text(nested.get("code")) or _text(envelope.get("code"))
    message = _text(nested.get("message")) or _text(envelope.get("message")) or _text(envelope.get("error"))
    return _class_for(status)(
        message or _usual_message(status, code),
        status=status,
        code=code or ("forbidden" if status == 403 else None),
        trace_id=sent.get(names.TRACE_ID.lower()) or _text(envelope.get("trace_id")),
        raw=body,
        retry_after=_whole_seconds(sent.get(names.RETRY_AFTER.lower())),
    )


def _class_for(status: int) -> type[BehestError]:
    if status in (401, 403):
        return BehestAuthError
    if status == 402:
        return BehestQuotaError
    if status == 429:
        return BehestRateLimitError
    if status in (400, 422):
        return BehestBadRequestError
    return BehestServerError if status >= 500 else BehestError


def _usual_message(status: int, code: str | None) -> str | None:
    """What to say when the gateway said nothing; None leaves it to the error's class."""
    if 300 <= status < 400:
        return f"The gateway redirects elsewhere (HTTP {status}); set BEHEST_BASE_URL to the final address."
    if status == 429 or (status < 500 and _class_for(status) is not BehestError and code is None):
        return None
    kinds = [kind for kind in KINDS.values() if kind.code == code or (code is None and kind.status == status)]
    return kinds[0].meaning if kinds else f"The gateway answered HTTP {status}."


def _whole_seconds(value: str | None) -> int | None:
    digits = (value or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
