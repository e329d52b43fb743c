"""A stub gateway for each test, keys for all of them, and an environment that holds no settings."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from behest import AsyncBehest, Behest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .both import AnyBehest, done
from .stub_gateway import API_KEY, PROJECT, TENANT, StubGateway


@pytest.fixture(scope="session")
def rsa_keys() -> list[rsa.RSAPrivateKey]:
    return [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]


@pytest.fixture(scope="session")
def pem(rsa_keys: list[rsa.RSAPrivateKey]) -> str:
    """A tenant's private key, PKCS#8."""
    return (
        rsa_keys[2]
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("BEHEST_", "OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def gateway(rsa_keys: list[rsa.RSAPrivateKey]) -> Iterator[StubGateway]:
    stub = StubGateway(*rsa_keys[:2])
    stub.tenant_keys["sk_tenant"] = rsa_keys[2].public_key()
    stub.start()
    yield stub
    stub.stop()


@pytest.fixture(params=[Behest, AsyncBehest], ids=["sync", "async"])
async def make(request: pytest.FixtureRequest, gateway: StubGateway) -> AsyncIterator[Callable[..., Any]]:
    """Makes clients of one kind; a test that uses it runs for both kinds."""
    made: list[AnyBehest] = []

    def build(**options: Any) -> AnyBehest:
        client: AnyBehest = request.param(**{"key": API_KEY, "base_url": gateway.base_url, **options})
        made.append(client)
        return client

    yield build
    for client in made:
        await done(client.close())


@pytest.fixture
def client(make: Callable[..., Any]) -> Any:
    """A client with an API key."""
    return make()


@pytest.fixture
def signing(pem: str) -> dict[str, str]:
    """The options of a client that signs its tokens."""
    return {"key": pem, "kid": "sk_tenant", "tenant_id": TENANT, "project_id": PROJECT}
