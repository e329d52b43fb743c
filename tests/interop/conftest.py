"""Published clients, each in a process of its own that its tests share."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from .client import Client
from .environments import python_with


@pytest.fixture(scope="session")
def openai_sdk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Client]:
    """The `openai` SDK, as it is published."""
    client = Client(python_with("openai"), "openai_sdk", tmp_path_factory.mktemp("openai") / "client.log")
    yield client
    client.stop()


@pytest.fixture(scope="session")
def behest_ai(tmp_path_factory: pytest.TempPathFactory) -> Generator[Client]:
    """The `behest-ai` SDK 1.5.0b1, as it is published; not the one of this repository."""
    client = Client(python_with("behest-ai"), "behest_ai", tmp_path_factory.mktemp("behest-ai") / "client.log")
    yield client
    client.stop()
