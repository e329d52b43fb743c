"""Starlette: a token route, and a backend for its AuthenticationMiddleware.

routes = [token_route(exchange)]
middleware = [Middleware(AuthenticationMiddleware, backend=Backend(exchange), on_error=on_error)]
"""

from __future__ import annotations

from ._frameworks import needs
from .errors import AuthError, MissingCredentialError
from .exchange import TokenExchange, tell
from .identity import Credential, Identity
from .rules.requests import TOKEN_PATH, Incoming, credential_of, cross_origin, preflight, refusal

with needs("starlette"):
    from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, BaseUser
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route


class SignedIn(BaseUser):
    """`request.user` of somebody who is signed in.

    Attributes:
        identity_of_provider: What the provider's token says.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity_of_provider = identity

    @property
    def is_authenticated(self) -> bool:
        """Always true."""
        return True

    @property
    def display_name(self) -> str:
        """The provider's id of the user."""
        return self.identity_of_provider.subject

    @property
    def identity(self) -> str:
        """The provider's id of the user."""
        return self.identity_of_provider.subject


class RefusedError(AuthenticationError):
    """A credential was sent and is no good; `problem` says why."""

    def __init__(self, problem: AuthError) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Backend(AuthenticationBackend):
    """Says who is signed in: `request.user` is a `SignedIn`, with the scope `authenticated`."""

    def __init__(self, exchange: TokenExchange) -> None:
        self._exchange = exchange

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Verify the credential of a request; None when it has none.

        Raises:
            RefusedError: It is no good.
        """
        verifier = self._exchange.verifier
        credential: Credential | None = None
        try:
            incoming = _incoming(conn)
            credential = credential_of(incoming, cookie=verifier.cookie, origins=self._exchange.origins, mints=False)
            identity = await verifier.averify(credential)
        except MissingCredentialError:
            return None
        except AuthError as problem:
            tell(problem, credential)
            raise RefusedError(problem) from problem
        return AuthCredentials(["authenticated"]), SignedIn(identity)


def on_error(_: HTTPConnection, problem: AuthenticationError) -> Response:
    """The answer to a request that `Backend` refuses."""
    reply = refusal(problem.problem if isinstance(problem, RefusedError) else MissingCredentialError("no_credential"))
    return JSONResponse(reply.body, reply.status, reply.headers)


def token_route(exchange: TokenExchange, path: str = TOKEN_PATH) -> Route:
    """The route that hands a token to a page: `POST /api/behest/token`."""

    async def behest_token(request: Request) -> Response:
        incoming = _incoming(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=preflight(incoming, exchange.origins))
        headers = cross_origin(incoming, exchange.origins)
        credential: Credential | None = None
        try:
            verifier = exchange.verifier
            credential = credential_of(incoming, cookie=verifier.cookie, origins=exchange.origins, mints=True)
            exchanged = await exchange.aexchange(credential, thread=request.query_params.get("thread"))
        except AuthError as problem:
            if credential is None:
                tell(problem, None)
            reply = refusal(problem)
            return JSONResponse(reply.body, reply.status, {**reply.headers, **headers})
        return JSONResponse(exchanged.bundle, headers={"Cache-Control": "no-store", **headers})

    return Route(path, behest_token, methods=["POST", "OPTIONS"])


def _incoming(conn: HTTPConnection) -> Incoming:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in conn.headers.raw]
    return Incoming(method=str(conn.scope.get("method", "GET")), headers=headers)
