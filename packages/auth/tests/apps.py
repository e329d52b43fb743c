"""The same little app in each framework: the token route, and a page that says who is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from behest import AsyncBehest, Behest
from behest_auth import TokenExchange, Verifier
from behest_auth import fastapi as for_fastapi
from behest_auth import flask as for_flask
from behest_auth import starlette as for_starlette
from fastapi import Depends, FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

Headers = list[tuple[str, str]]
PATH = "/api/behest/token"


class App:
    """An app that is called in this process, with whatever headers."""

    def __init__(self, call: Callable[..., Any], close: Callable[[], Any]) -> None:
        self._call = call
        self.close = close

    async def ask(self, method: str, path: str, headers: Headers | None = None, content: bytes = b"") -> httpx.Response:
        """Send a request."""
        response: httpx.Response = await self._call(method, f"http://app{path}", headers=headers or [], content=content)
        return response

    async def mint(self, token: str) -> httpx.Response:
        """Ask for a token with a bearer token."""
        return await self.ask("POST", PATH, [("Authorization", f"Bearer {token}")])


def fastapi_app(verifier: Verifier, signing: dict[str, Any], **options: Any) -> App:
    """With FastAPI."""
    auth = for_fastapi.BehestAuth(verifier, AsyncBehest(**signing), **options)
    app = FastAPI()
    app.include_router(auth.router())

    @app.get("/schema")
    async def schema() -> dict[str, Any]:
        return app.openapi()

    user, optional_user, speaking = Depends(auth.user), Depends(auth.optional_user), Depends(auth.client)

    @app.get("/me")
    async def me(user: Any = user) -> dict[str, Any]:
        return {"subject": user.subject}

    @app.get("/maybe")
    async def maybe(user: Any = optional_user) -> dict[str, Any]:
        return {"subject": user and user.subject}

    @app.get("/caller")
    async def caller(client: Any = speaking) -> dict[str, Any]:
        return {"user_id": client.user_id}

    client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    return App(client.request, client.aclose)


def starlette_app(verifier: Verifier, signing: dict[str, Any], **options: Any) -> App:
    """With Starlette."""
    exchange = TokenExchange(verifier, AsyncBehest(**signing), **options)

    async def me(request: Request) -> JSONResponse:
        return JSONResponse({"subject": request.user.identity if request.user.is_authenticated else None})

    backend = for_starlette.Backend(exchange)
    app = Starlette(
        routes=[for_starlette.token_route(exchange)],
    )
    app.mount(
        "/with",
        Starlette(
            routes=[Route("/me", me)],
            middleware=[Middleware(AuthenticationMiddleware, backend=backend, on_error=for_starlette.on_error)],
        ),
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    return App(client.request, client.aclose)


def flask_app(verifier: Verifier, signing: dict[str, Any], **options: Any) -> App:
    """With Flask."""
    auth = for_flask.BehestAuth(verifier, Behest(**signing), **options)
    app = Flask("tests")
    auth.init_app(app)

    @app.get("/me")
    @auth.required
    def me() -> dict[str, Any]:
        return {"subject": for_flask.current_identity.subject, "user_id": auth.client().user_id}

    client = httpx.Client(transport=httpx.WSGITransport(app))

    async def call(*arguments: Any, **options: Any) -> httpx.Response:
        return client.request(*arguments, **options)

    async def close() -> None:
        client.close()

    return App(call, close)


APPS = {"fastapi": fastapi_app, "flask": flask_app, "starlette": starlette_app}
