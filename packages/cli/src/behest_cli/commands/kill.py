"""`behest kill`: turn a tenant, a project, a user, a model or the whole gateway off at once, and on again."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlencode

import typer

from behest_cli import render
from behest_cli.connection import Json, Project, managed
from behest_cli.errors import UsageError

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Kill switches: stop what costs money, at once.", no_args_is_help=True)

PATH = "/v1/admin/kill-switches"
COLUMNS = {"scope": "Scope", "target": "Target", "reason": "Reason", "set_by": "By", "set_at": "Since"}


class Scope(StrEnum):
    """What a switch stops."""

    GLOBAL = "global"
    TENANT = "tenant"
    PROJECT = "project"
    USER = "user"
    MODEL = "model"


ScopeArgument = Annotated[Scope, typer.Argument(help="What is stopped.")]
Target = Annotated[
    str | None,
    typer.Argument(help="Which tenant, project (id or slug), user or model; nothing for global."),
]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="Why, for the record.")]


@app.command("on")
@managed
def on(
    gateway: Management,
    scope: ScopeArgument,
    target: Target = None,
    reason: Reason = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Refuse new calls, and end those under way. A user is one of --project."""
    answer = gateway.put(path_of(gateway, scope, target, project), {"reason": reason})
    if json:
        render.line(answer.text)
        return
    render.table([answer.data], COLUMNS, empty="")


@app.command("off")
@managed
def off(
    gateway: Management,
    scope: ScopeArgument,
    target: Target = None,
    reason: Reason = None,
    project: Project = None,
) -> None:
    """Serve it again."""
    path = path_of(gateway, scope, target, project)
    gateway.delete(path if reason is None else f"{path}?{urlencode({'reason': reason})}")
    render.line(f"The kill switch for {scope.value}{f' {target}' if target else ''} is off.")


@app.command("list")
@managed
def list_(gateway: Management, json: Json = False) -> None:
    """List the kill switches that are on."""
    answer = gateway.get(PATH)
    if json:
        render.line(answer.text)
        return
    render.table(answer.rows, COLUMNS, empty="No kill switch is on. Turn one on with `behest kill on SCOPE TARGET`.")


@app.command("log")
@managed
def log(gateway: Management, json: Json = False) -> None:
    """Show who turned what on and off, and why, newest first."""
    answer = gateway.get("/v1/admin/kill-switch-changes")
    if json:
        render.line(answer.text)
        return
    columns = {
        "turned": "Turned", "scope": "Scope", "target": "Target", "reason": "Reason", "changed_by": "By",
        "changed_at": "At",
    }  # fmt: skip
    render.table(answer.rows, columns, empty="No kill switch was ever turned on.")


def path_of(gateway: Management, scope: Scope, target: str | None, project: str | None) -> str:
    """The address of a switch, after names and slugs became ids.

    Raises:
        UsageError: A target is missing, or there is none of this name.
    """
    if scope is Scope.GLOBAL:
        if target is not None:
            raise UsageError("global has no target: it stops everything.")
        return f"{PATH}/global"
    if not target:
        raise UsageError(f"Which {scope.value}?", hint=f"Write it like `behest kill on {scope.value} TARGET`.")
    if scope is Scope.TENANT:
        return f"{PATH}/tenant/{_quoted(gateway.tenant_id(target) or target)}"
    if scope is Scope.PROJECT:
        return f"{PATH}/project/{_quoted(gateway.project_id(target))}"
    if scope is Scope.USER:
        return f"{PATH}/user/{_quoted(gateway.project_id(project))}/{_quoted(target)}"
    return f"{PATH}/model/{_quoted(target)}"


def _quoted(text: str) -> str:
    return quote(text, safe="")
