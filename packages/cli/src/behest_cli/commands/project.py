"""`behest project`: what an app talks to; it has keys, budgets, allowed origins and a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from behest_cli import render
from behest_cli.connection import Json, OnlyTenant, Tenant, managed

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Projects: what an app talks to.", no_args_is_help=True)

COLUMNS = {"id": "Id", "slug": "Slug", "name": "Name", "status": "Status", "host": "Host", "created_at": "Created"}


@app.command("create")
@managed
def create(
    gateway: Management,
    name: Annotated[str, typer.Argument(help="What the project is called.")],
    tenant: Tenant = None,
    slug: Annotated[str | None, typer.Option("--slug", help="Its name in host names; made up when absent.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model that answers when a call names none.")] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", help="A web page that may call it, like http://localhost:8000."),
    ] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=1, help="Requests per minute of the whole project.")] = None,
    user_rpm: Annotated[int | None, typer.Option("--user-rpm", min=1, help="Requests per minute of each user.")] = None,
    key_rpm: Annotated[
        int | None, typer.Option("--key-rpm", min=1, help="Requests per minute of what one API key minted.")
    ] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=1, help="Tokens per minute of the whole project.")] = None,
    user_tpm: Annotated[int | None, typer.Option("--user-tpm", min=1, help="Tokens per minute of each user.")] = None,
    key_tpm: Annotated[
        int | None, typer.Option("--key-tpm", min=1, help="Tokens per minute of what one API key minted.")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option("--max-concurrent", min=1, help="Calls under way at once, of the whole project.")
    ] = None,
    user_max_concurrent: Annotated[
        int | None, typer.Option("--user-max-concurrent", min=1, help="Calls under way at once, of each user.")
    ] = None,
    key_max_concurrent: Annotated[
        int | None,
        typer.Option("--key-max-concurrent", min=1, help="Calls under way at once, of what one API key minted."),
    ] = None,
    json: Json = False,
) -> None:
    """Create a project; its settings are deployed at once."""
    settings = {
        "provider_model": model,
        "allowed_origins": allow_origin or None,
        "rpm_limit": rpm,
        "user_rpm_limit": user_rpm,
        "key_rpm_limit": key_rpm,
        "tpm_limit": tpm,
        "user_tpm_limit": user_tpm,
        "key_tpm_limit": key_tpm,
        "max_concurrent": max_concurrent,
        "user_max_concurrent": user_max_concurrent,
        "key_max_concurrent": key_max_concurrent,
    }
    given = {field: value for field, value in settings.items() if value is not None}
    body = {"tenant_id": gateway.tenant_id(tenant), "name": name, "slug": slug, "settings": given or None}
    answer = gateway.post("/v1/projects", body)
    if json:
        render.line(answer.text)
        return
    show_project(answer.data)
    render.note(f"Next: behest key create --project {answer.data['slug']}")


@app.command("list")
@managed
def list_(gateway: Management, tenant: OnlyTenant = None, json: Json = False) -> None:
    """List projects, of all tenants or of one."""
    answer = gateway.get("/v1/projects", tenant_id=gateway.tenant_id(tenant) if tenant else None)
    if json:
        render.line(answer.text)
        return
    render.table(answer.rows, COLUMNS, empty="There is no project yet. Create one with `behest project create NAME`.")


@app.command("show")
@managed
def show(
    gateway: Management,
    project: Annotated[
        str | None, typer.Argument(envvar="BEHEST_PROJECT_ID", help="The project's id or slug.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show one project with its settings."""
    answer = gateway.get(gateway.project_path(project))
    if json:
        render.line(answer.text)
        return
    show_project(answer.data)


def show_project(project: dict[str, Any]) -> None:
    """Print a project, a field to a line, its settings included."""
    shown = {heading: project.get(field) for field, heading in COLUMNS.items()} | {"Tenant": project.get("tenant_id")}
    settings: dict[str, Any] = project.get("settings") or {}
    render.fields(shown | {field.replace("_", " "): value for field, value in settings.items()})
