"""Every example in a docstring of a package is true."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import warnings
from types import ModuleType

import pytest

from ..architecture.modules import ROOT, ours
from . import known

THE_SDK = "packages/client/tests/test_docs.py"
"""The SDK's examples call a gateway, some of them with `await`; its own tests run them, beside one."""

WITH_EXAMPLES = [name for name, module in ours().items() if ">>>" in module.path.read_text(encoding="utf-8")]


def _guard() -> ModuleType:
    path = ROOT / "tests/architecture/egress/sitecustomize.py"
    spec = importlib.util.spec_from_file_location("egress_guard_examples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_are_found() -> None:
    assert {"behest_protocol.money", "behest_gateway.core.prices", "behest_cli.commands.budget"} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", [name for name in WITH_EXAMPLES if not name.startswith("behest.")])
def test_the_examples_are_true(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = doctest.testmod(importlib.import_module(name))

    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_the_examples_of_the_sdk_are_run_by_its_own_tests() -> None:
    text = (ROOT / THE_SDK).read_text(encoding="utf-8")

    assert "walk_packages(behest.__path__" in text
    assert "DocTestFinder" in text


def test_the_examples_of_these_tests_are_true() -> None:
    for module in (known, _guard()):
        outcome = doctest.testmod(module)
        assert outcome.attempted > 0
        assert outcome.failed == 0
