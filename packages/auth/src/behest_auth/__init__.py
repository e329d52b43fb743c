"""Who is signed in to your app becomes a Behest token.

    from behest_auth import Credential, Supabase

    identity = Supabase("https://abc.supabase.co").verify(Credential(token))

`behest_auth.fastapi`, `behest_auth.flask` and `behest_auth.starlette` put it into an app.
"""

from __future__ import annotations

from .errors import (
    REASONS,
    AuthError,
    BadRequestError,
    ConfigError,
    ForbiddenError,
    InvalidCredentialError,
    MintError,
    MissingCredentialError,
    UnavailableError,
)
from .exchange import Bundle, Exchanged, TokenExchange
from .fetching import HttpFetcher as _HttpFetcher
from .identity import Credential, Identity, Verifier
from .providers.auth0 import Auth0
from .providers.clerk import Clerk
from .providers.dev import Dev
from .providers.oidc import OIDC
from .providers.supabase import Supabase
from .rules.callers import Caller
from .verifying import Surroundings

__all__ = [  # noqa: RUF022  (in the order of letters, as everywhere here)
    "Auth0",
    "AuthError",
    "BadRequestError",
    "Bundle",
    "Caller",
    "Clerk",
    "ConfigError",
    "Credential",
    "Dev",
    "Exchanged",
    "ForbiddenError",
    "Identity",
    "InvalidCredentialError",
    "MintError",
    "MissingCredentialError",
    "OIDC",
    "REASONS",
    "Supabase",
    "Surroundings",
    "TokenExchange",
    "UnavailableError",
    "Verifier",
]

Surroundings.share(Surroundings(_HttpFetcher()))
