"""`behest origin`: which web pages may call a project from a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from behest_cli import render
from behest_cli.connection import Json, Project, managed
from behest_cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Allowed origins: which web pages may call a project.", no_args_is_help=True)

Origin = Annotated[str, typer.Argument(help="Scheme, host and port of the page, like http://localhost:8000.")]


@app.command("add")
@managed
def add(gateway: Management, origin: Origin, project: Project = None, json: Json = False) -> None:
    """Let a web page call the project, at once."""
    origin = check(origin)

    def with_it(origins: list[str]) -> list[str]:
        return origins if origin in origins else [*origins, origin]

    change(gateway, project, with_it, json=json)


@app.command("list")
@managed
def list_(gateway: Management, project: Project = None, json: Json = False) -> None:
    """List the web pages that may call the project."""
    answer = gateway.get(gateway.project_path(project, "/settings"))
    if json:
        render.line(answer.text)
        return
    show(answer.data["deployed"]["allowed_origins"])


@app.command("remove")
@managed
def remove(gateway: Management, origin: Origin, project: Project = None, json: Json = False) -> None:
    """Let a web page call the project no longer, at once."""

    def without(origins: list[str]) -> list[str]:
        if origin not in origins:
            raise CliError(f"{origin} is not allowed anyway.", hint="`behest origin list` shows who is.")
        return [kept for kept in origins if kept != origin]

    change(gateway, project, without, json=json)


def change(gateway: Management, project: str | None, edit: Callable[[list[str]], list[str]], *, json: bool) -> None:
    """Edit a project's allowed origins and deploy it, unless a draft of somebody else's would be deployed with it.

    Raises:
        CliError: A draft lies there undeployed.
    """
    settings = gateway.project_path(project, "/settings")
    current: dict[str, Any] = gateway.get(settings).data
    if current.get("has_draft"):
        raise CliError(
            "The project has a draft of its settings that is not deployed, and this would deploy it.",
            hint="Deploy or discard the draft first.",
        )
    deployed: dict[str, Any] = current["deployed"]
    origins: list[str] = edit(deployed["allowed_origins"])
    if origins != deployed["allowed_origins"]:
        gateway.put(settings, {**deployed, "allowed_origins": origins})
        gateway.post(settings.removesuffix("/settings") + "/deploy")
    answer = gateway.get(settings)
    if json:
        render.line(answer.text)
        return
    show(answer.data["deployed"]["allowed_origins"])


def check(origin: str) -> str:
    """Give an origin back as browsers write it.

    Raises:
        UsageError: It is none.

    >>> check("http://localhost:8000/")
    'http://localhost:8000'
    """
    parts = urlsplit(origin.rstrip("/"))
    if origin == "*" or (parts.scheme in ("http", "https") and parts.netloc and not parts.path and not parts.query):
        return origin.rstrip("/")
    raise UsageError(f"Not an origin: {origin!r}.", hint="Give scheme, host and port only, like http://localhost:8000.")


def show(origins: list[str]) -> None:
    """Print origins, one to a line."""
    for origin in origins:
        render.line(origin)
    if not origins:
        render.note("No web page may call this project. Allow one with `behest origin add URL`.")
