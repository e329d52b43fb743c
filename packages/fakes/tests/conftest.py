from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from behest_fakes import FakeProvider


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def http(provider: FakeProvider) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=provider.base_url, timeout=10, verify=False, trust_env=False) as client:
        yield client
