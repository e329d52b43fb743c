"""What the tests of the SQL adapters share."""

from __future__ import annotations

import pytest

from .booking import Time


@pytest.fixture
def time() -> Time:
    """A clock that a test moves."""
    return Time()
