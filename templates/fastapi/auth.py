"""Who is signed in. This is the sign-in for development: three made-up people, and no passwords.

Outside development (`APP_ENV=development`) nobody can sign in, and a session from development is worth nothing.
To use your own sign-in, keep `User`, `signed_in`, `require_user` and `tier_of`, and replace the rest:

* `signed_in` takes the user from what the *server* verified, never from what the page says;
* `User.session_id` stays the same for one sign-in, so that costs add up per session;
* `tier_of` asks your billing data, on the server.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Annotated

import jwt
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from origin import same_origin
from settings import Settings

COOKIE = "app_session"
SESSION_SECONDS = 8 * 3600
AUDIENCE = "dev-sign-in"
REFUSED = (
    "The development sign-in is switched off, because APP_ENV is not 'development'. "
    "Set APP_ENV=development on your own machine; for anybody else, put your real sign-in into auth.py."
)

NAMES = {"alice": "Alice", "bob": "Bob", "carol": "Carol"}
"""User id -> the name on the page."""
BILLING = {"alice": 1, "bob": 2, "carol": 3}
"""User id -> what the user pays for; a stand-in for your billing data."""
TIER_NAMES = {1: "Free", 2: "Pro", 3: "Max"}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A verified user, in one sign-in."""

    id: str
    """Goes into the token as its `uid`: budgets and costs are kept under it, so it must never change or be reused."""
    name: str
    session_id: str


class SignIn(BaseModel):
    """The body of `POST /api/sign-in`."""

    user: str


def tier_of(user: User) -> int | None:
    """Look up what the user pays for; asked anew for each token, so that an upgrade counts from the next one."""
    return BILLING.get(user.id)


def signed_in(request: Request) -> User | None:
    """Return who the session's cookie proves to be here, or None."""
    settings: Settings = request.app.state.settings
    if not settings.is_development:
        return None
    try:
        claims = jwt.decode(
            request.cookies.get(COOKIE, ""),
            settings.session_secret,
            algorithms=["HS256"],
            audience=AUDIENCE,
            options={"require": ["sub", "sid", "exp"]},
        )
    except jwt.InvalidTokenError:
        return None
    name = NAMES.get(claims["sub"])
    return User(id=claims["sub"], name=name, session_id=claims["sid"]) if name else None


def require_user(user: Annotated[User | None, Depends(signed_in)]) -> User:
    """Return the signed-in user, or answer 401."""
    if user is None:
        raise HTTPException(401)
    return user


def require_development(request: Request) -> None:
    """Answer 403 outside development."""
    if not request.app.state.settings.is_development:
        raise HTTPException(403, REFUSED)


router = APIRouter(prefix="/api")


@router.get("/people", dependencies=[Depends(require_development)])
async def people() -> list[dict[str, str]]:
    """List who can sign in, for the sign-in page."""
    return [{"id": id_, "name": name, "plan": TIER_NAMES[BILLING[id_]]} for id_, name in NAMES.items()]


@router.post("/sign-in", dependencies=[Depends(same_origin), Depends(require_development)])
async def sign_in(body: SignIn, request: Request) -> Response:
    """Begin a session as one of the made-up people."""
    if body.user not in NAMES:
        raise HTTPException(404, "There is nobody of that name here.")
    settings: Settings = request.app.state.settings
    claims = {"sub": body.user, "sid": str(uuid.uuid4()), "aud": AUDIENCE, "exp": int(time.time()) + SESSION_SECONDS}
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        jwt.encode(claims, settings.session_secret, algorithm="HS256"),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/sign-out", dependencies=[Depends(same_origin)])
async def sign_out() -> Response:
    """End the session in this browser."""
    response = PlainTextResponse("", status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


@router.get("/me")
async def me(user: Annotated[User, Depends(require_user)]) -> dict[str, str | None]:
    """Say who is signed in."""
    tier = tier_of(user)
    return {"id": user.id, "name": user.name, "plan": TIER_NAMES.get(tier) if tier else None}
