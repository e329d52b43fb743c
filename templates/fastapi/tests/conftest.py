"""The app as the tests meet it: signing its tokens by itself, so that no gateway and no network is needed."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi.testclient import TestClient

SIGNING_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
BEHEST_KEY = base64.b64encode(PEM).decode()

# Before `app` is imported: it reads the environment then.
os.environ.update(
    BEHEST_BASE_URL="http://gateway.test",
    BEHEST_KEY=BEHEST_KEY,
    BEHEST_KID=f"sk_{'0' * 32}",
    BEHEST_TENANT_ID="tenant-1",
    BEHEST_PROJECT_ID="project-1",
    SESSION_SECRET="s" * 40,
    APP_ENV="development",
)

from behest import AsyncBehest  # noqa: E402

from app import create_app  # noqa: E402
from settings import Settings  # noqa: E402

ORIGIN = "http://app.test"


@pytest.fixture
def settings() -> Settings:
    return Settings.from_env()


@pytest.fixture
def public_key() -> RSAPublicKey:
    """What the gateway would verify a token with."""
    return SIGNING_KEY.public_key()


@pytest.fixture
def browser(settings: Settings) -> Iterator[TestClient]:
    """A browser on one of the app's own pages, signed out."""
    with TestClient(create_app(settings, AsyncBehest()), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


@pytest.fixture
def browser_in_production(settings: Settings) -> Iterator[TestClient]:
    """The same, where the app runs for real users."""
    app = create_app(replace(settings, is_development=False), AsyncBehest())
    with TestClient(app, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client
