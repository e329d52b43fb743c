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


def _asgi(app: Any, behest: AsyncBehest) -> App:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app))

    async def close() -> None:
        await client.aclose()
        await behest.close()

    return App(client.request, close)


def fastapi_app(verifier: Verifier, signing: dict[str, Any], **options: Any) -> App:
    """With FastAPI."""
    behest = AsyncBehest(**signing)
    auth = for_fastapi.BehestAuth(verifier, behest, **options)
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

    return _asgi(app, behest)


def starlette_app(verifier: Verifier, signing: dict[str, Any], **options: Any) -> App:
    """With Starlette."""
    behest = AsyncBehest(**signing)
    exchange = TokenExchange(verifier, behest, **options)

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
    return _asgi(app, behest)


def flask_app(verifier: Verifier, signing: dict[str, Any], **options: Any) -> App:
    """With Flask."""
    behest = Behest(**signing)
    auth = for_flask.BehestAuth(verifier, behest, **options)
    app = Flask("tests.auth.apps", root_path=".")
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
        behest.close()

    return App(call, close)


APPS = {"fastapi": fastapi_app, "flask": flask_app, "starlette": starlette_app}
