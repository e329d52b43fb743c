"""What can be wrong with a credential, and what is said of it, to whom.

The caller of a route sees a status and a `code`; the log gets the `reason`, a word that stays the same, and a detail.
None of them holds a credential.

    AuthError
      MissingCredentialError  401  nothing to verify
      InvalidCredentialError  401  forged, expired, for somebody else, of the wrong kind
      ForbiddenError          403  genuine, and still not for this
      BadRequestError         400  what was sent beside it has the wrong form
      UnavailableError        503  the identity provider cannot be asked now; the credential may be good
      MintError     429, 502, 503  the identity is good, and the gateway gave no token

`ConfigError` is apart: it is raised while the app starts, never by a request.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

Reason = Literal[
    "algorithm",
    "anonymous_user",
    "audience",
    "authorized_party",
    "bad_claim",
    "bad_header",
    "bad_signature",
    "bad_thread",
    "bound_token",
    "content_type",
    "expired",
    "gateway_unavailable",
    "impersonated",
    "issuer",
    "keys_unavailable",
    "machine",
    "malformed",
    "method",
    "mint_refused",
    "no_credential",
    "not_allowed",
    "not_yet_valid",
    "origin",
    "pending_session",
    "provider_unavailable",
    "rate_limited",
    "reserved_user_id",
    "role",
    "session_ended",
    "several_credentials",
    "third_party_client",
    "token_kind",
    "too_large",
    "unknown_key",
]
"""Why a credential was refused, for logs and metrics; a word is never renamed."""

REASONS: tuple[str, ...] = get_args(Reason)


class ConfigError(ValueError):
    """A verifier or an exchange was set up wrongly; the message names the argument or the variable, and what to do."""


class AuthError(Exception):
    """Nobody was signed in by this credential, or nothing could be minted for them.

    Attributes:
        status: The HTTP status that a route answers.
        code: What the caller of a route is told.
        message: A sentence for the caller, the same for every reason.
        reason: What the log is told.
        detail: More for the log: a claim's name or value, never a credential.

    >>> problem = InvalidCredentialError("expired", "30 s ago")
    >>> problem.status, problem.code, problem.reason, str(problem)
    (401, 'invalid_token', 'expired', 'expired: 30 s ago')
    """

    status: int = 401
    code: str = "invalid_token"
    message: ClassVar[str] = "The credential is not good here; sign in again."

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason
        self.detail = detail


class MissingCredentialError(AuthError):
    """There is nothing to verify: no bearer token, and no cookie that this app takes.

    >>> MissingCredentialError("no_credential").code
    'missing_credential'
    """

    code = "missing_credential"
    message = "Sign in first: send an Authorization header with a Bearer token."


class InvalidCredentialError(AuthError):
    """It was forged, has expired, or was made for somebody or something else.

    >>> InvalidCredentialError("bad_signature").status
    401
    """


class ForbiddenError(AuthError):
    """It is genuine, and may still not do this: an anonymous user, a machine, a page of another origin.

    >>> ForbiddenError("anonymous_user").status
    403
    """

    status = 403
    code = "forbidden"
    message = "This is not allowed with this credential, or from this page."


class BadRequestError(AuthError):
    """What was sent beside the credential has the wrong form.

    >>> BadRequestError("bad_thread").status
    400
    """

    status = 400
    code = "validation_error"
    message = "thread must be 1 to 64 letters, digits, _ or -."


class UnavailableError(AuthError):
    """The identity provider cannot be asked now, so that nobody can say whether the credential is good.

    >>> UnavailableError("keys_unavailable").status
    503
    """

    status = 503
    code = "identity_provider_unavailable"
    message = "Sign-ins cannot be checked at the moment; try again soon."


class MintError(AuthError):
    """The user is known and the gateway gave no token: it is down (503), too busy (429) or refuses the app's key (502).

    >>> MintError("gateway_unavailable", "timed out").status
    503
    """

    status = 503
    code = "gateway_unavailable"
    message = "No token could be made at the moment; try again soon."

    def __init__(self, reason: Reason, detail: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(reason, detail)
        self.retry_after = retry_after
        if reason == "rate_limited":
            self.status, self.code = 429, "rate_limited"
        elif reason == "mint_refused":
            self.status, self.code = 502, "mint_refused"
