"""A request to an app: where its credential is, and whether the page that sent it may use it.

A bearer token is put there by a page's own code, so it needs no further proof of where it comes from. A cookie is added
by the browser to whatever any page sends, so a cookie counts only when the browser says, in headers that no page can
write, that the request comes from one of the app's own origins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..errors import AuthError, ForbiddenError, InvalidCredentialError, MintError, MissingCredentialError
from ..identity import Credential

TOKEN_PATH = "/api/behest/token"  # noqa: S105  (a path)
MAX_COOKIES = 64
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What of a request matters here.

    Attributes:
        method: In capitals.
        headers: In their order, each as often as it was sent.
    """

    method: str
    headers: Sequence[tuple[str, str]] = field(repr=False)

    def all(self, name: str) -> list[str]:
        """Every value of a header; its name in small letters."""
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name: str) -> str | None:
        """A header's value; None when it is missing or was sent more than once."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a route answers: a status, headers, and a body for JSON."""

    status: int
    headers: dict[str, str]
    body: dict[str, object]


def credential_of(incoming: Incoming, *, cookie: str | None, origins: Sequence[str], mints: bool) -> Credential:
    """Find the credential of a request.

    A bearer token that is there counts, and a bad one is never passed over for a cookie.

    Args:
        cookie: The cookie that may hold it, or None.
        origins: Of the app's pages, exactly.
        mints: Whether a token is handed out for it, which a cookie allows by POST only.

    Raises:
        MissingCredentialError: There is none.
        InvalidCredentialError: There are several, or it is bound to a key.
        ForbiddenError: It is a cookie that the page may not use: `method`, `origin` or `content_type`.
    """
    given = incoming.all("authorization")
    if len(given) > 1:
        raise InvalidCredentialError("several_credentials", "more than one Authorization header")
    scheme, _, value = given[0].strip().partition(" ") if given else ("", "", "")
    if scheme.lower() == "bearer" and value.strip():
        return Credential(value.strip())
    if scheme.lower() == "dpop":
        raise InvalidCredentialError("bound_token", "the scheme is DPoP")
    if cookie is None:
        raise MissingCredentialError("no_credential")
    held = read_cookies(incoming.all("cookie"), cookie)
    if not held:
        raise MissingCredentialError("no_credential")
    if len(held) > 1:
        raise InvalidCredentialError("several_credentials", f"{len(held)} cookies named {cookie}")
    check_page(incoming, origins, mints=mints)
    return Credential(held[0], "cookie")


def check_page(incoming: Incoming, origins: Sequence[str], *, mints: bool) -> None:
    """Check that a request with a cookie was sent by one of the app's own pages.

    Raises:
        ForbiddenError: `method`, `origin` or `content_type`.
    """
    if mints and incoming.method != "POST":
        raise ForbiddenError("method", incoming.method)
    if incoming.method in _SAFE:
        return
    sent = incoming.all("origin")
    if sent and (len(sent) > 1 or sent[0] not in origins):
        raise ForbiddenError("origin", repr(sent)[:120])
    if not sent and incoming.one("sec-fetch-site") != "same-origin":
        raise ForbiddenError("origin", "no Origin")
    kind = (incoming.one("content-type") or "").partition(";")[0].strip().lower()
    if mints and (len(incoming.all("content-type")) > 1 or kind not in ("", "application/json")):
        raise ForbiddenError("content_type", kind[:40])


def read_cookies(headers: Iterable[str], name: str) -> list[str]:
    """Every value that a cookie of exactly this name has; other cookies may look as they like.

    Raises:
        InvalidCredentialError: There are more than `MAX_COOKIES` cookies.

    >>> read_cookies(['prefs={"a":1}; __session=one; __session_x=two', "__session=three"], "__session")
    ['one', 'three']
    """
    pairs = [pair for header in headers for pair in header.split(";", MAX_COOKIES)]
    if len(pairs) > MAX_COOKIES:
        raise InvalidCredentialError("too_large", f"more than {MAX_COOKIES} cookies")
    named = [(key.strip(), value.strip()) for key, _, value in (pair.partition("=") for pair in pairs)]
    return [value for key, value in named if key == name and value]


def cross_origin(incoming: Incoming, origins: Sequence[str]) -> dict[str, str]:
    """The headers that let a page of another origin read an answer: for the origins that are listed, and no other."""
    if not origins:
        return {}
    origin = incoming.one("origin")
    if origin not in origins or origin is None:
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}


def preflight(incoming: Incoming, origins: Sequence[str]) -> dict[str, str]:
    """The headers of an answer to OPTIONS."""
    allowed = cross_origin(incoming, origins)
    if "Access-Control-Allow-Origin" in allowed:
        allowed["Access-Control-Allow-Methods"] = "POST"
        allowed["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        allowed["Access-Control-Max-Age"] = "600"
    return {**allowed, "Cache-Control": "no-store"}


def refusal(problem: AuthError) -> Reply:
    """The answer to a request that was refused: its code and a sentence, and never the reason."""
    headers = {"Cache-Control": "no-store"}
    if problem.status == 401:
        # RFC 6750, section 3.1: no error code when there was no credential at all.
        missing = isinstance(problem, MissingCredentialError)
        headers["WWW-Authenticate"] = "Bearer" if missing else 'Bearer error="invalid_token"'
    if isinstance(problem, MintError) and problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    elif problem.status == 503:
        headers["Retry-After"] = "5"
    return Reply(
        status=problem.status, headers=headers, body={"error": {"code": problem.code, "message": problem.message}}
    )
