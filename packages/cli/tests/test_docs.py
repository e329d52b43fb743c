"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import behest_cli
import pytest

MODULES = sorted(
    found.name for found in pkgutil.walk_packages(behest_cli.__path__, "behest_cli.") if "__main__" not in found.name
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0
