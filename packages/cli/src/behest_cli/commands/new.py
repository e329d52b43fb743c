"""`behest new`: an app from a template."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from behest_cli import render
from behest_cli.errors import UsageError


def new(
    dest: Annotated[
        Path | None, typer.Argument(help="The folder to make; asked for when absent.", show_default=False)
    ] = None,
    template: Annotated[str, typer.Option("--template", help="What to start from.")] = "fastapi",
    data: Annotated[
        list[str] | None, typer.Option("--data", "-d", metavar="KEY=VALUE", help="Answer a question beforehand.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", help="A Behest checkout or a git address; the checkout of this command when absent."),
    ] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
) -> None:
    """Scaffold an app: signed-in users who chat with a budget each, in a folder of its own."""
    from behest_cli.scaffold import scaffold

    interactive = sys.stdin.isatty() and not defaults
    if dest is None:
        if not interactive:
            raise UsageError("Where to?", hint="Give a folder: `behest new my-app`.")
        dest = Path(typer.prompt("Folder", default="my-app"))
    answers = dict(pair(text) for text in data or [])
    written = scaffold(dest, source=source, answers={"template": template, **answers}, ask=interactive, overwrite=force)
    render.line(f"The app is in {dest} ({written} files). Its README.md says how to start it.")


def pair(text: str) -> tuple[str, str]:
    """Split an answer.

    Raises:
        UsageError: There is no equals sign.

    >>> pair("auth=dev")
    ('auth', 'dev')
    """
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UsageError(f"Not KEY=VALUE: {text!r}.", hint="Write it like -d auth=dev.")
    return name, value
