"""Gateways beside the shared one, each for one kind of bad luck."""

from __future__ import annotations

import socket
from collections.abc import Generator

import pytest

from ..support.gateway import Gateway, Tenant, running_gateway
from ..support.provider import Provider
from ..support.rough_provider import RoughProvider, running_rough_provider
from ..support.world import World
from .rough_answers import ROUGH_ANSWERS


@pytest.fixture(scope="session")
def impatient(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway that waits only half a second, for the provider's next byte and for a caller's body."""
    with running_gateway(
        tmp_path_factory.mktemp("impatient"),
        provider.openai_base_url,
        BEHEST_GATEWAY_UPSTREAM_IDLE_TIMEOUT="0.5",
        BEHEST_GATEWAY_BODY_TIMEOUT="0.5",
    ) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def hasty(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway that waits only half a second for the provider, and for its callers as long as any."""
    with running_gateway(
        tmp_path_factory.mktemp("hasty"), provider.openai_base_url, BEHEST_GATEWAY_UPSTREAM_IDLE_TIMEOUT="0.5"
    ) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def rough_provider() -> Generator[RoughProvider]:
    """A provider that breaks the protocol."""
    with running_rough_provider(ROUGH_ANSWERS) as provider:
        yield provider


@pytest.fixture(scope="session")
def rough(rough_provider: RoughProvider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway in front of `rough_provider`."""
    with running_gateway(tmp_path_factory.mktemp("rough"), rough_provider.openai_base_url) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway whose provider is not there: the port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with running_gateway(tmp_path_factory.mktemp("nowhere"), url) as gateway:
            yield gateway


@pytest.fixture(scope="session")
def tenants() -> dict[str, Tenant]:
    """One tenant for each gateway that was asked, by its address."""
    return {}


@pytest.fixture(scope="session")
def sibling(gateway: Gateway, provider: Provider, tenant: Tenant) -> World:
    """Another project of the tenant of every world."""
    return World(gateway, provider, tenant)


@pytest.fixture(scope="session")
def stranger(gateway: Gateway, provider: Provider) -> World:
    """A project of another tenant."""
    return World(gateway, provider, gateway.new_tenant("Initech"))
