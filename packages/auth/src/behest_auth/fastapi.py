"""FastAPI: a token route, and dependencies that say who is signed in.

auth = BehestAuth(Supabase.from_env(), AsyncBehest())
app.include_router(auth.router())
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ._frameworks import needs
from .errors import AuthError, MissingCredentialError
from .exchange import TokenExchange, tell
from .identity import Credential, Identity
from .rules.requests import TOKEN_PATH, Incoming, Reply, credential_of, cross_origin, preflight, refusal

with needs("fastapi"):
    from fastapi import APIRouter, HTTPException, Query, Request, Response, Security
    from fastapi.responses import JSONResponse
    from fastapi.security import HTTPBearer
    from pydantic import BaseModel, Field

_LABEL: Any = Query(None, description="A conversation of your own: 1 to 64 letters, digits, _ or -")


class TokenBundle(BaseModel):
    """What a page gets."""

    token: str = Field(description="The Behest JWT, the OpenAI SDK's apiKey")
    sessionId: str = Field(description="The session that the token belongs to")  # noqa: N815  (the wire's name)
    ttl: int = Field(description="Seconds that the token lives")
    expiresAt: int = Field(description="When it ends, in seconds since 1970")  # noqa: N815  (the wire's name)


class Problem(BaseModel):
    """What is wrong, in a word to compare."""

    code: str = Field(description="missing_credential, invalid_token, forbidden ...")
    message: str


class Refusal(BaseModel):
    """Why there is no token."""

    error: Problem


class BehestAuth(TokenExchange):
    """A token exchange for FastAPI; its arguments are those of `TokenExchange`.

    Attributes:
        user: A dependency: the `Identity` of whoever is signed in, or 401.
        optional_user: A dependency: the same, or None when no credential was sent. A bad one is still 401.
        client: A dependency: an `AsyncBehestUser` (of a blocking client, a `BehestUser`) that speaks for that user.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        bearer = HTTPBearer(
            auto_error=False, scheme_name=self.verifier.name, description=f"An access token of {self.verifier.name}"
        )

        # Made here, because the padlock is this verifier's own. FastAPI calls each once for a request.
        padlock: Any = Security(bearer)

        async def user(request: Request, _: Any = padlock) -> Identity:
            return await self._identity(request)

        async def optional_user(request: Request, _: Any = padlock) -> Identity | None:
            try:
                return await self._identity(request)
            except HTTPException as problem:
                if isinstance(problem.__cause__, MissingCredentialError):
                    return None
                raise

        signed_in: Any = Security(user)

        async def client(identity: Identity = signed_in) -> Any:
            try:
                return self.client_of(self.caller_of(identity))
            except AuthError as problem:
                tell(problem, None)
                raise _http_problem(problem) from problem

        self.user: Callable[..., Awaitable[Identity]] = user
        self.optional_user: Callable[..., Awaitable[Identity | None]] = optional_user
        self.client: Callable[..., Awaitable[Any]] = client
        self._padlock = padlock

    def router(self, path: str = TOKEN_PATH) -> APIRouter:
        """The route that hands a token to a page: `POST /api/behest/token`.

        It takes no body. `?thread=` may name a conversation of the page's own, which gets a session of its own.
        """
        routes = APIRouter(tags=["behest"])
        padlock, label = self._padlock, _LABEL

        async def behest_token(
            request: Request,
            thread: str | None = label,
            _: Any = padlock,
        ) -> Response:
            incoming = _incoming(request)
            headers = cross_origin(incoming, self.origins)
            credential: Credential | None = None
            try:
                credential = credential_of(incoming, cookie=self.verifier.cookie, origins=self.origins, mints=True)
                exchanged = await self.aexchange(credential, thread=thread)
            except AuthError as problem:
                if credential is None:
                    tell(problem, None)
                return _json(refusal(problem), headers)
            return JSONResponse(exchanged.bundle, headers={"Cache-Control": "no-store", **headers})

        async def behest_token_preflight(request: Request) -> Response:
            return Response(status_code=204, headers=preflight(_incoming(request), self.origins))

        described: dict[int | str, dict[str, Any]] = {
            status: {"model": Refusal, "description": said}
            for status, said in (
                (400, "The thread has the wrong form"),
                (401, "Nobody is signed in by this credential"),
                (403, "It is good, and may not have a token here"),
                (502, "The gateway refuses this app"),
                (503, "The identity provider or the gateway cannot be asked now"),
            )
        }
        routes.add_api_route(
            path,
            behest_token,
            methods=["POST"],
            response_model=TokenBundle,
            responses=described,
            summary="Get a Behest token for whoever is signed in",
        )
        routes.add_api_route(path, behest_token_preflight, methods=["OPTIONS"], include_in_schema=False)
        return routes

    async def _identity(self, request: Request) -> Identity:
        credential: Credential | None = None
        try:
            incoming = _incoming(request)
            credential = credential_of(incoming, cookie=self.verifier.cookie, origins=self.origins, mints=False)
            return await self.verifier.averify(credential)
        except AuthError as problem:
            tell(problem, credential)
            raise _http_problem(problem) from problem


def _incoming(request: Request) -> Incoming:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    return Incoming(method=request.method, headers=headers)


def _http_problem(problem: AuthError) -> HTTPException:
    """For FastAPI to answer, or for the app's own handler; its `detail` is the code and the sentence."""
    reply = refusal(problem)
    return HTTPException(reply.status, reply.body["error"], reply.headers)


def _json(reply: Reply, headers: dict[str, str]) -> Response:
    return JSONResponse(reply.body, reply.status, {**reply.headers, **headers})
