"""How a stage says no.

There is one exception, because there is one thing a caller can do with it: read its code. The code decides the status,
whose fault it is and whether a retry can help (`behest_protocol.errors.KINDS`); the message is for people, names the
thing, the limit and the next step, and never holds a secret or content.
"""

from __future__ import annotations

from typing import Any

from behest_protocol.errors import KINDS


class GatewayError(Exception):
    """A request is refused or has failed; rendered once, in `http.render`.

    Args:
        code: One of `behest_protocol.errors.KINDS`.
        message: A sentence for people.
        param: The field of the request that is at fault.
        details: Facts for programs; JSON values only.
        retry_after: Whole seconds after which a retry may help.
        retryable: Overrides the code's own answer.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = KINDS[code]
        self.code = code
        self.message = message
        self.param = param
        self.details = details
        self.retry_after = retry_after
        self.retryable = self.kind.retryable if retryable is None else retryable

    @property
    def status(self) -> int:
        """The HTTP status that answers it."""
        return self.kind.status


def invalid(message: str, param: str | None = None, details: dict[str, Any] | None = None) -> GatewayError:
    """The caller sent something malformed."""
    return GatewayError("validation_error", message, param=param, details=details)
