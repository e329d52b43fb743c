"""What the providers' own libraries say of tokens: for each, whether it is accepted."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any


def clerk(config: dict[str, Any]) -> list[bool]:
    """`clerk-backend-api`, without a network: the instance's key in PEM."""
    from clerk_backend_api.security import VerifyTokenOptions, verify_token

    options = VerifyTokenOptions(jwt_key=config["pem"], authorized_parties=config["parties"])
    return [_accepts(lambda token=token: verify_token(token, options)) for token in config["tokens"]]


def supabase(config: dict[str, Any]) -> list[bool]:
    """`supabase-auth`, with the key set at hand; what it would ask Supabase about finds nobody there."""
    from supabase_auth import SyncGoTrueClient

    with_keys = SyncGoTrueClient(url="http://127.0.0.1:9/auth/v1", auto_refresh_token=False, persist_session=False)
    return [_accepts(lambda token=token: with_keys.get_claims(token, config["keys"])) for token in config["tokens"]]


def auth0(config: dict[str, Any]) -> list[bool]:
    """`auth0-api-python`, whose own option for fetching gives it the tenant's documents."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from auth0_api_python import ApiClient, ApiClientOptions

    async def fetch(url: str, *_: Any, **__: Any) -> Any:
        issuer = f"https://{config['domain']}/"
        if url.endswith("/openid-configuration"):
            return {"issuer": issuer, "jwks_uri": f"{issuer}.well-known/jwks.json"}
        return config["keys"]

    client = ApiClient(ApiClientOptions(domain=config["domain"], audience=config["audience"], custom_fetch=fetch))

    async def one(token: str) -> bool:
        try:
            await client.verify_access_token(token)
        except Exception:
            return False
        return True

    async def each() -> list[bool]:
        return [await one(token) for token in config["tokens"]]

    return asyncio.run(each())


def _accepts(check: Callable[[], Any]) -> bool:
    try:
        return check() is not None
    except Exception:
        return False
