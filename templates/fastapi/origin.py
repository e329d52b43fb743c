"""Requests that change something are taken from the app's own pages only, because a session is a cookie."""

from __future__ import annotations

from fastapi import HTTPException, Request

from settings import Settings


def same_origin(request: Request) -> None:
    """Answer 403 unless the browser says that the request comes from the app's own origin.

    Browsers add `Origin` to every POST, and `Sec-Fetch-Site` where they leave `Origin` out; a page can write neither.
    """
    settings: Settings = request.app.state.settings
    own = settings.origin or f"{request.url.scheme}://{request.url.netloc}"
    origin = request.headers.get("origin")
    if origin == own or (origin is None and request.headers.get("sec-fetch-site") == "same-origin"):
        return
    raise HTTPException(
        403,
        f"This route answers the app's own pages only: {own}, not {origin or 'a request without an Origin'}. "
        "If that is the app's address behind a proxy, set APP_ORIGIN to it.",
    )
