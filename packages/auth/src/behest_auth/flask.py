"""Flask: a blueprint with the token route, a decorator, and who is signed in.

auth = BehestAuth(Supabase.from_env(), Behest())
auth.init_app(app)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from ._frameworks import needs
from .errors import AuthError
from .exchange import TokenExchange, tell
from .identity import Credential, Identity
from .rules.requests import TOKEN_PATH, Incoming, credential_of, cross_origin, preflight, refusal

with needs("flask"):
    from flask import Blueprint, Flask, Response, g, jsonify, request
    from werkzeug.local import LocalProxy

P = ParamSpec("P")
R = TypeVar("R")

_KEPT = "_behest_identity"


class BehestAuth(TokenExchange):
    """A token exchange for Flask; its arguments are those of `TokenExchange`, and `behest` is a `Behest`.

    Raises:
        ConfigError: `behest` is an `AsyncBehest`, or an argument is wrong.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.require_blocking()

    def init_app(self, app: Flask, path: str = TOKEN_PATH) -> None:
        """Add the token route to an app."""
        app.register_blueprint(self.blueprint(path))

    def blueprint(self, path: str = TOKEN_PATH) -> Blueprint:
        """The route that hands a token to a page: `POST /api/behest/token`."""
        routes = Blueprint("behest", __name__)
        routes.add_url_rule(path, "token", self._token, methods=["POST", "OPTIONS"], provide_automatic_options=False)
        return routes

    def required(self, view: Callable[P, R]) -> Callable[P, R | Response]:
        """Let a view be called only for somebody who is signed in; `current_identity` says who."""

        @wraps(view)
        def wrapped(*arguments: P.args, **options: P.kwargs) -> R | Response:
            credential: Credential | None = None
            try:
                incoming = _incoming()
                credential = credential_of(incoming, cookie=self.verifier.cookie, origins=self.origins, mints=False)
                setattr(g, _KEPT, self.verifier.verify(credential))
            except AuthError as problem:
                tell(problem, credential)
                return _refused(problem, {})
            return view(*arguments, **options)

        return wrapped

    def client(self) -> Any:
        """The SDK's client that speaks for whoever is signed in, within a view that is `required`."""
        return self.client_of(self.caller_of(_current()))

    def _token(self) -> Response:
        incoming = _incoming()
        if request.method == "OPTIONS":
            return Response(status=204, headers=preflight(incoming, self.origins))
        headers = cross_origin(incoming, self.origins)
        credential: Credential | None = None
        try:
            credential = credential_of(incoming, cookie=self.verifier.cookie, origins=self.origins, mints=True)
            exchanged = self.exchange(credential, thread=request.args.get("thread"))
        except AuthError as problem:
            if credential is None:
                tell(problem, None)
            return _refused(problem, headers)
        response = jsonify(exchanged.bundle)
        response.headers.update({"Cache-Control": "no-store", **headers})
        return response


def _current() -> Identity:
    found = getattr(g, _KEPT, None)
    if found is None:
        raise RuntimeError("nobody is signed in here: put @auth.required on the view.")
    return cast("Identity", found)


current_identity = LocalProxy(_current)
"""The `Identity` of whoever is signed in, within a view that is `required`."""


def _incoming() -> Incoming:
    return Incoming(method=request.method, headers=[(name, value) for name, value in request.headers])


def _refused(problem: AuthError, headers: dict[str, str]) -> Response:
    reply = refusal(problem)
    response = jsonify(reply.body)
    response.status_code = reply.status
    response.headers.update({**reply.headers, **headers})
    return response
