"""What a module offers is what it says it offers, and says what it is."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from .modules import ROOT, Module, ours

PACKAGES = sorted(ROOT.glob("packages/*/src/*/__init__.py"))


def _exports(module: Module) -> list[str] | None:
    for node in module.tree().body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            value: list[str] = ast.literal_eval(node.value)
            return value
    return None


WITH_ALL = sorted(name for name, module in ours().items() if _exports(module) is not None)


def test_some_module_says_what_it_exports() -> None:
    assert {"behest", "behest_fakes"} <= set(WITH_ALL)


@pytest.mark.parametrize("name", WITH_ALL)
def test_all_is_sorted_real_and_described(name: str) -> None:
    module: Any = importlib.import_module(name)
    exported: list[str] = module.__all__

    assert exported == sorted(set(exported))
    assert [entry for entry in exported if not hasattr(module, entry)] == []
    described = [
        entry
        for entry in exported
        if inspect.isclass(getattr(module, entry)) or inspect.isfunction(getattr(module, entry))
    ]
    assert [entry for entry in described if not inspect.getdoc(getattr(module, entry))] == []


@pytest.mark.parametrize("name", WITH_ALL)
def test_a_package_shows_nothing_public_beside_all(name: str) -> None:
    names: dict[str, object] = vars(importlib.import_module(name))
    shown = {entry for entry, value in names.items() if not entry.startswith("_") and not inspect.ismodule(value)}

    assert shown - set(_exports(ours()[name]) or ()) <= {"annotations"}


@pytest.mark.parametrize("name", sorted(ours()))
def test_every_module_begins_by_saying_what_it_is(name: str) -> None:
    assert ast.get_docstring(ours()[name].tree())


def _undescribed(module: Module) -> list[str]:
    """Public classes and functions at the top of a module that have no docstring."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tops = [node for node in module.tree().body if isinstance(node, kinds) and not node.name.startswith("_")]
    return [f"{module.name}.{node.name}" for node in tops if not ast.get_docstring(node)]


def test_every_public_class_and_function_has_a_docstring() -> None:
    assert [name for module in ours().values() for name in _undescribed(module)] == []


@pytest.mark.parametrize("init", PACKAGES, ids=lambda path: path.parent.name)
def test_every_package_is_typed(init: Path) -> None:
    assert init.with_name("py.typed").is_file()
