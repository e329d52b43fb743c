"""`behest key`: the secrets with which an app's server mints tokens for its users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from behest_cli import render
from behest_cli.connection import Json, Project, managed

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="API keys: with one, an app's server mints tokens for its users.", no_args_is_help=True)

COLUMNS = {"id": "Id", "name": "Name", "role": "Role", "last4": "Ends with", "created_at": "Created"}


@app.command("create")
@managed
def create(
    gateway: Management,
    project: Project = None,
    name: Annotated[str | None, typer.Option("--name", help="What the key is for.")] = None,
    role: Annotated[str | None, typer.Option("--role", help="The role of the tokens it mints: user or admin.")] = None,
    json: Json = False,
) -> None:
    """Create an API key and show it, this once."""
    answer = gateway.post(gateway.project_path(project, "/keys"), {"name": name, "role": role})
    if json:
        render.line(answer.text)
        return
    shown = {heading: answer.data.get(field) for field, heading in COLUMNS.items() if field != "last4"}
    render.fields(shown)
    render.line(answer.data["key"])
    render.note("The key is shown only now. Keep it on your server, as BEHEST_KEY; never in a browser or a repository.")


@app.command("list")
@managed
def list_(gateway: Management, project: Project = None, json: Json = False) -> None:
    """List a project's API keys, without the keys themselves."""
    answer = gateway.get(gateway.project_path(project, "/keys"))
    if json:
        render.line(answer.text)
        return
    render.table(answer.rows, COLUMNS, empty="The project has no key yet. Create one with `behest key create`.")


@app.command("revoke")
@managed
def revoke(
    gateway: Management,
    key_id: Annotated[str, typer.Argument(help="The key's id, as `behest key list` shows it.")],
    project: Project = None,
) -> None:
    """Revoke an API key: it mints no more, and tokens minted before live until they expire."""
    gateway.delete(gateway.project_path(project, f"/keys/{quote(key_id, safe='')}"))
    render.line(f"Revoked {key_id}.")
