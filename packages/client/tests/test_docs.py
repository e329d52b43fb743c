"""Every example in a docstring or in the README runs, and says what it prints."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import behest
import pytest
from behest import AsyncBehest, Behest
from behest._results import Record

from .both import done
from .stub_gateway import API_KEY, StubGateway

README = Path(__file__).parents[1] / "README.md"


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(behest.__path__, "behest."):
        yield importlib.import_module(found.name)


def _examples() -> Iterator[Any]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in _modules():
        for test in finder.find(module, module.__name__):
            if test.examples:
                yield pytest.param(test, id=test.name)


def _blocks() -> Iterator[Any]:
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)):
        yield pytest.param(block, id=f"README {number + 1}")


@pytest.fixture
async def space(gateway: StubGateway, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Any]]:
    """The names that an example sees, beside a gateway where u_42 has asked once, in the thread t_1."""
    monkeypatch.setenv("BEHEST_KEY", API_KEY)
    monkeypatch.setenv("BEHEST_BASE_URL", gateway.base_url)
    with Behest() as client:
        client.chat.completions.create(messages=[{"role": "user", "content": "Hello"}], user_id="u_42", thread_id="t_1")
    names: dict[str, Any] = {name: getattr(behest, name) for name in behest.__all__}
    yield names
    for value in list(names.values()):
        if isinstance(value, (Behest, AsyncBehest)):
            await done(value.close())


async def _run(source: str, space: dict[str, Any], mode: str) -> str:
    """Run code that may await at its top level; return what it prints."""
    code = compile(source, "<example>", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        outcome = eval(code, space)
        if inspect.iscoroutine(outcome):
            await outcome
    return printed.getvalue()


@pytest.mark.parametrize("test", [*_examples()])
async def test_the_examples_of_a_docstring_are_true(test: doctest.DocTest, space: dict[str, Any]) -> None:
    space.update({name: value for name, value in test.globs.items() if not name.startswith("__")})
    for example in test.examples:
        printed = await _run(example.source, space, "single")
        assert doctest.OutputChecker().check_output(example.want, printed, 0), (
            f"{example.source}printed {printed!r}, not {example.want!r}"
        )


@pytest.mark.parametrize("block", [*_blocks()])
async def test_the_examples_of_the_readme_run(block: str, space: dict[str, Any]) -> None:
    assert "Hello, u_42!" in await _run(block, space, "exec")


def test_the_readme_has_its_three_examples() -> None:
    assert len(list(_blocks())) == 3


def _public() -> Iterator[Any]:
    """Whatever users call: the public functions, and the public methods of the public classes."""
    for name in behest.__all__:
        value = getattr(behest, name)
        if inspect.isfunction(value):
            yield pytest.param(value, id=name)
        elif inspect.isclass(value) and not issubclass(value, (Record, BaseException)):
            for method_name, method in inspect.getmembers(value, inspect.isfunction):
                if not method_name.startswith("_"):
                    yield pytest.param(method, id=f"{name}.{method_name}")


INSIDE = {"open", "fetch", "token_request", "over", "close", "aclose"}
"""Methods that other modules of the client call, and the ones whose example is that of their class."""


@pytest.mark.parametrize("value", [*_public()])
def test_whatever_users_call_has_a_docstring_with_an_example(value: Any) -> None:
    assert value.__doc__
    assert value.__name__ in INSIDE or ">>>" in value.__doc__


@pytest.mark.parametrize("name", [name for name in behest.__all__ if not name.startswith("__")])
def test_every_public_name_has_a_docstring_of_its_own(name: str) -> None:
    value = getattr(behest, name)
    assert value.__doc__
    assert value.__doc__ != dict.__doc__
