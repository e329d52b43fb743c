"""`behest tenant`: who owns projects and signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from behest_cli import render
from behest_cli.connection import Json, managed

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Tenants: who owns projects and signing keys.", no_args_is_help=True)

COLUMNS = {"id": "Id", "name": "Name", "plan": "Plan", "created_at": "Created"}


@app.command("create")
@managed
def create(
    gateway: Management,
    name: Annotated[str, typer.Argument(help="What the tenant is called.")],
    plan: Annotated[str | None, typer.Option("--plan", help="The plan it is on.")] = None,
    json: Json = False,
) -> None:
    """Create a tenant."""
    answer = gateway.post("/v1/tenants", {"name": name, "plan": plan})
    if json:
        render.line(answer.text)
        return
    render.fields({heading: answer.data.get(field) for field, heading in COLUMNS.items()})
    render.note(f"Next: behest project create NAME --tenant {answer.data['id']}")


@app.command("list")
@managed
def list_(gateway: Management, json: Json = False) -> None:
    """List the tenants of this gateway."""
    answer = gateway.get("/v1/tenants")
    if json:
        render.line(answer.text)
        return
    render.table(answer.rows, COLUMNS, empty="There is no tenant yet. Create one with `behest tenant create NAME`.")
