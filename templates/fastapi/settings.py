"""What the app reads from its environment, once, at start. `.env.example` explains each name.

`BEHEST_KEY` is not here: the SDK reads it by itself, and nothing else in the app needs it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_SECRET_CHARACTERS = 32


class SettingsError(ValueError):
    """The environment lacks something, or holds something that cannot be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The app's settings."""

    base_url: str
    """The gateway, as the server and the browser both reach it; without `/v1`."""
    session_secret: str = field(repr=False)
    """Signs the session cookie. Whoever knows it can be anybody, so it is left out of the `repr`."""
    is_development: bool
    """Whether the sign-in without passwords may be used."""
    origin: str | None
    """The app's own address (`https://app.example.com`), where a proxy hides it from the app."""
    name: str
    """What the page calls itself."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read the environment.

        Raises:
            SettingsError: A name is missing or wrong; the message says which, and what to do about it.
        """
        base_url = env.get("BEHEST_BASE_URL", "").strip().rstrip("/").removesuffix("/v1")
        if not base_url:
            raise SettingsError(
                "BEHEST_BASE_URL is not set. Copy .env.example to .env, fill it in, and start with: "
                "uv run --env-file .env uvicorn app:app --port 8000"
            )
        is_development = env.get("APP_ENV", "").strip() == "development"
        secret = env.get("SESSION_SECRET", "").strip()
        if is_development and not secret:
            secret = secrets.token_urlsafe(MIN_SECRET_CHARACTERS)  # Made anew at each start, which signs everybody out.
        if len(secret) < MIN_SECRET_CHARACTERS:
            raise SettingsError(
                f"SESSION_SECRET needs at least {MIN_SECRET_CHARACTERS} characters. Make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        return cls(
            base_url=base_url,
            session_secret=secret,
            is_development=is_development,
            origin=env.get("APP_ORIGIN", "").strip().rstrip("/") or None,
            name=env.get("APP_NAME", "").strip() or "Behest chat",
        )
