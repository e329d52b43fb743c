"""An identity provider on loopback, and apps that sign tokens with a tenant's own key, so that no gateway is needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ..support.issuer import Issuer
from ..support.sign_ins import KINDS, Kind, rerouted
from .apps import APPS, App


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("BEHEST_", "SUPABASE_", "CLERK_", "AUTH0_", "OIDC_", "APP_ENV", "NEXT_PUBLIC_")
    for name in os.environ:
        if name.startswith(ours) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def signing() -> dict[str, Any]:
    """The options of an SDK client that signs tokens itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "key": pem,
        "kid": "sk_tests",
        "tenant_id": "1c0a2f6e-0000-4000-8000-000000000001",
        "project_id": "1c0a2f6e-0000-4000-8000-000000000002",
        "base_url": "http://127.0.0.1:9",
    }


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def shared_issuer() -> Iterator[Issuer]:
    """One issuer for many tests that change nothing about it."""
    issuer = Issuer()
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
async def make_app(signing: dict[str, Any]) -> AsyncIterator[Callable[..., App]]:
    """Makes an app: `make_app("flask", verifier, tier=...)`."""
    made: list[App] = []

    def make(framework: str, verifier: Any, *, behest_options: dict[str, Any] | None = None, **options: Any) -> App:
        made.append(APPS[framework](verifier, behest_options or signing, **options))
        return made[-1]

    yield make
    for app in made:
        await app.close()


@pytest.fixture(scope="module")
def kept_apps() -> Iterator[dict[tuple[str, str], App]]:
    """Apps by framework and provider: reading a tenant's key for each test anew would take most of the time."""
    kept: dict[tuple[str, str], App] = {}
    yield kept
    for app in kept.values():
        asyncio.run(app.close())


@pytest.fixture(params=sorted(APPS))
def app(
    request: pytest.FixtureRequest,
    kind: Kind,
    shared_issuer: Issuer,
    signing: dict[str, Any],
    kept_apps: dict[tuple[str, str], App],
) -> App:
    """An app for each provider and framework."""
    name = (request.param, kind.name)
    if name not in kept_apps:
        kept_apps[name] = APPS[request.param](kind.make(shared_issuer, rerouted(shared_issuer)), signing)
    return kept_apps[name]
