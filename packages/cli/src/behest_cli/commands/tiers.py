"""`behest tiers`: what a project gives its users by the tier in their token."""

from __future__ import annotations

import json as codec
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from behest_cli import render
from behest_cli.connection import Json, Project, managed
from behest_cli.errors import UsageError

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Tiers: limits, model and prompt by the tier in a user's token.", no_args_is_help=True)

COLUMNS = {
    "number": "Number", "name": "Name", "rpm_limit": "Requests/min", "requests_per_day": "Requests/day",
    "tokens_per_day": "Tokens/day", "tokens_per_month": "Tokens/month", "overrides": "Overrides",
}  # fmt: skip

Tier = Annotated[str, typer.Argument(help="The tier's name, number or id.")]


@app.command("list")
@managed
def list_(gateway: Management, project: Project = None, json: Json = False) -> None:
    """List a project's tiers: the built-in ones, then its own."""
    answer = gateway.get(gateway.project_path(project, "/tiers"))
    if json:
        render.line(answer.text)
        return
    rows = [{**tier, **tier["limits"], "overrides": list(tier["overrides"])} for tier in answer.rows]
    render.table(rows, COLUMNS, empty="There is no tier.")


@app.command("show")
@managed
def show(gateway: Management, tier: Tier, project: Project = None, json: Json = False) -> None:
    """Show all that is in force for a tier's users."""
    answer = gateway.get(gateway.project_path(project, f"/tiers/{quote(tier, safe='')}/resolved"))
    if json:
        render.line(answer.text)
        return
    known: dict[str, Any] = answer.data
    values: dict[str, Any] = {**known["limits"], **known["settings"]}
    shown = {"Id": known["id"], "Number": known["number"], "Name": known["name"]}
    overridden = {"overridden": list(known["overrides"])}
    render.fields(shown | {name.replace("_", " "): value for name, value in values.items()} | overridden)


@app.command("set")
@managed
def set_(
    gateway: Management,
    tier: Tier,
    project: Project = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=1, help="A user's requests per minute.")] = None,
    requests_per_day: Annotated[
        int | None, typer.Option("--requests-per-day", min=1, help="A user's requests per day, in UTC.")
    ] = None,
    tokens_per_day: Annotated[
        int | None, typer.Option("--tokens-per-day", min=1, help="A user's tokens per day, in UTC.")
    ] = None,
    tokens_per_month: Annotated[
        int | None, typer.Option("--tokens-per-month", min=1, help="A user's tokens per month, in UTC.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model that answers when a call names none.")] = None,
    system_prompt: Annotated[
        str | None, typer.Option("--system-prompt", help="Put before a user's messages, in place of the project's.")
    ] = None,
    other: Annotated[
        list[str] | None, typer.Option("--override", "-o", help="Any override, as NAME=VALUE; the value may be JSON.")
    ] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", help="Take an override away, by its name.")] = None,
    json: Json = False,
) -> None:
    """Override what a tier says, for the next request. A name that is not there becomes a tier of the project's own."""
    named = {
        "rpm_limit": rpm,
        "requests_per_day": requests_per_day,
        "tokens_per_day": tokens_per_day,
        "tokens_per_month": tokens_per_month,
        "provider_model": model,
        "system_prompt": system_prompt,
    }
    overrides: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    overrides |= dict(map(override, other or ())) | dict.fromkeys(unset or ())
    path = gateway.project_path(project, "/tiers")
    wanted = tier.strip().lower()
    known = {str(row[name]).lower() for row in gateway.get(path).rows for name in ("id", "number", "name")}
    if wanted in known - {"none"}:
        answer = gateway.put(f"{path}/{quote(wanted, safe='')}", {"overrides": overrides})
    else:
        answer = gateway.post(path, {"name": tier, "overrides": overrides})
    if json:
        render.line(answer.text)
        return
    made: dict[str, Any] = answer.data
    render.table([{**made, **made["limits"], "overrides": list(made["overrides"])}], COLUMNS, empty="")


@app.command("remove")
@managed
def remove(gateway: Management, tier: Tier, project: Project = None) -> None:
    """Remove a tier of the project's own; take all overrides of a built-in one away."""
    gateway.delete(gateway.project_path(project, f"/tiers/{quote(tier, safe='')}"))
    render.line(f"Removed {tier}.")


def override(text: str) -> tuple[str, Any]:
    """Read `NAME=VALUE`; what is no JSON is text.

    Raises:
        UsageError: There is no `=`.

    >>> override("memory_window=20"), override("pii_mode=disabled")
    (('memory_window', 20), ('pii_mode', 'disabled'))
    """
    name, found, value = text.partition("=")
    if not found or not name:
        raise UsageError(f"Not an override: {text!r}.", hint="Write it like --override memory_window=20.")
    try:
        return name, codec.loads(value)
    except ValueError:
        return name, value
