"""What the repository has, by name: sessions, commands, variables, routes and files that a document may speak of."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from functools import cache
from typing import Any

import typer
from behest_cli.main import app as behest_app
from behest_gateway.settings import Settings, variable_of

from .blocks import ROOT, read, tracked

_VARIABLE = re.compile(
    r"\b(?:APP|AUTH0|BEHEST|CLERK|OIDC|OPENAI|SESSION|SUPABASE)_[A-Z0-9_]+\b|\bPROVIDER_ENCRYPTION_KEY\b"
)


@cache
def sessions() -> dict[str, str]:
    """The sessions of the noxfile, and what each says of itself."""
    tree = ast.parse(read("noxfile.py"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        function.name: ast.get_docstring(function) or ""
        for function in functions
        if any("nox.session" in ast.unparse(decorator) for decorator in function.decorator_list)
    }


@cache
def settings() -> dict[str, Any]:
    """The gateway's settings by their variables: the fields of `Settings`."""
    return {variable_of(option.name): option for option in fields(Settings)}


@cache
def variables() -> frozenset[str]:
    """Every environment variable that some program of the repository speaks of."""
    code = [
        name for name in tracked() if name.endswith((".py", ".jinja", ".js")) and not name.startswith("tests/docs/")
    ]
    return frozenset(found for name in code for found in _VARIABLE.findall(read(name))) | set(settings())


def variables_in(text: str) -> set[str]:
    """The environment variables that a text speaks of."""
    return {name for name in _VARIABLE.findall(text) if not name.endswith("_")}


def command_problem(words: list[str]) -> str | None:
    """Say what is wrong with the words after `behest`, or None when there is such a command with such options.

    >>> command_problem(["budget", "set", "--usd", "5"]) is None
    True
    >>> command_problem(["budget", "sat"])
    "there is no 'sat' in 'behest budget'"
    >>> command_problem(["usage", "--user", "ada"]), command_problem(["usage", "--usr", "ada"])
    (None, 'behest usage has no option --usr')
    """
    command: Any = typer.main.get_command(behest_app)
    path = "behest"
    rest = list(words)
    while rest and hasattr(command, "commands"):
        if rest[0].startswith("-") and command.invoke_without_command:
            break  # A group that does something by itself, as `behest usage` does.
        word = rest.pop(0)
        if word.startswith("-"):
            return f"{path} takes no option before its command"
        if word not in command.commands:
            return f"there is no {word!r} in {path!r}"
        command, path = command.commands[word], f"{path} {word}"
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word.split("=")[0] not in known]
    return f"{path} has no option {', '.join(unknown)}" if unknown else None


@cache
def folders() -> frozenset[str]:
    """Every folder that holds a tracked file, from the root."""
    found: set[str] = set()
    for name in tracked():
        parts = name.split("/")[:-1]
        found |= {"/".join(parts[: count + 1]) for count in range(len(parts))}
    return frozenset(found)


def is_a_file_of_ours(name: str, near: str) -> bool:
    """Whether the repository has a file or folder of this name, from its root, near a document, or deep inside."""
    wanted = name.rstrip("/")
    if (ROOT / near).parent.joinpath(wanted).exists():
        return True
    return any(path == wanted or path.endswith(f"/{wanted}") for path in (*tracked(), *folders()))
