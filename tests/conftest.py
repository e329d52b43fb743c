"""Servers that all tests of this folder may share; they start when the first test asks for them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from .support.gateway import Gateway, Tenant, running_gateway
from .support.processes import RUNNING, Server
from .support.provider import Provider, running_provider
from .support.world import World

NewWorld = Callable[..., World]


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Generator[Provider]:
    """A fake provider whose tokens take no time."""
    with running_provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture(scope="session")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway in front of `provider`."""
    with running_gateway(tmp_path_factory.mktemp("gateway"), provider.openai_base_url) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def tenant(gateway: Gateway) -> Tenant:
    """The tenant of every world."""
    return gateway.new_tenant("Acme")


@pytest.fixture
def new_world(gateway: Gateway, provider: Provider, tenant: Tenant) -> NewWorld:
    """Makes a project: `new_world(rpm_limit=3)`; arguments are settings."""

    def make(**settings: Any) -> World:
        return World(gateway, provider, tenant, settings)

    return make


@pytest.fixture
def world(new_world: NewWorld) -> World:
    """A fresh project without any budget."""
    return new_world()


_log_ends = pytest.StashKey[dict[Server, int]]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember where each server's log ends."""
    item.stash[_log_ends] = {server: server.log_end for server in RUNNING}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers logged during a test that failed."""
    report = yield
    if report.failed:
        ends = item.stash.get(_log_ends, {})
        for server in RUNNING:
            if said := server.logged(ends.get(server, 0)):
                report.sections.append((f"logged by {server.name}", said))
    return report
