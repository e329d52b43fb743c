"""The app: two pages, the session, and the one route that turns a signed-in user into a Behest token.

The page talks straight to the gateway with that token; `BEHEST_KEY`, which can mint for anybody, never leaves here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from behest import AsyncBehest, BehestConfigError, BehestError
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException

import auth
from auth import User, require_user, signed_in, tier_of
from origin import same_origin
from settings import Settings, SettingsError

PAGES = Path(__file__).parent / "static"
TOKEN_SECONDS = 900
"""How long a token lives. Someone who signs out keeps the last one for so long at most."""

log = logging.getLogger("uvicorn.error")


def content_security_policy(settings: Settings) -> str:
    """Allow the page its own files and the gateway, and nothing else: no inline scripts, no frames, no other hosts."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            f"connect-src 'self' {settings.base_url}",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


def create_app(settings: Settings, behest: AsyncBehest) -> FastAPI:
    """Put the app together.

    Args:
        settings: What the environment says.
        behest: Mints the tokens; it is closed with the app.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with behest:
            yield

    app = FastAPI(title=settings.name, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings
    policy = content_security_policy(settings)

    @app.middleware("http")
    async def harden(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        # A user's answers must not be kept; files are asked for again, and answered 304 when they are the same.
        response.headers["Cache-Control"] = "no-store" if request.url.path.startswith("/api/") else "no-cache"
        return response

    @app.exception_handler(AnyHTTPException)
    async def in_plain_text(_: Request, problem: AnyHTTPException) -> Response:
        return PlainTextResponse(problem.detail, problem.status_code, headers=problem.headers)

    @app.get("/")
    async def chat_page(user: Annotated[User | None, Depends(signed_in)]) -> Response:
        return FileResponse(PAGES / "chat.html") if user else RedirectResponse("/sign-in", 303)

    @app.get("/sign-in")
    async def sign_in_page() -> Response:
        return FileResponse(PAGES / "sign-in.html")

    @app.get("/api/config")
    async def config() -> dict[str, str]:
        return {"baseUrl": settings.base_url, "name": settings.name}

    @app.post("/api/behest/token", dependencies=[Depends(same_origin)])
    async def token(user: Annotated[User, Depends(require_user)]) -> dict[str, Any]:
        """Mint a token for whoever is signed in. It takes no input: user and tier come from the server's own data."""
        try:
            minted = await behest.auth.mint(
                user_id=user.id, tier=tier_of(user), session_id=user.session_id, ttl=TOKEN_SECONDS
            )
        except BehestError as problem:
            log.error("No token for %s: %s (trace %s)", user.id, problem, problem.trace_id)
            raise HTTPException(502, "The gateway gave no token. The server's log says why.") from problem
        return minted.bundle()

    app.include_router(auth.router)
    app.mount("/static", StaticFiles(directory=PAGES), name="static")
    return app


try:
    app = create_app(Settings.from_env(), AsyncBehest())
except (SettingsError, BehestConfigError) as problem:
    raise SystemExit(f"The app cannot start: {problem}") from None
