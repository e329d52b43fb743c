"""A plant for each test; its processes end with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plant import Plant


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Both processes, at an even pace of a token each 5 ms."""
    plant = Plant(tmp_path, token_delay_ms=5)
    try:
        plant.start_provider()
        plant.start_gateway()
        yield plant
    finally:
        plant.stop()
