"""`behest profile`: tell the command once what it would otherwise be told each time."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from typing import Annotated

import typer

from behest_cli import profiles, render
from behest_cli.connection import AdminToken, BaseUrl, Key, ProfileName, Project, Tenant

app = typer.Typer(help="Profiles: what to use when neither option nor environment says.", no_args_is_help=True)


@app.command("save")
def save(
    base_url: BaseUrl = None,
    admin_token: AdminToken = None,
    tenant: Tenant = None,
    project: Project = None,
    key: Key = None,
    profile: ProfileName = "default",
) -> None:
    """Save what is given, by option or environment; what was saved before and is not given now stays."""
    from behest_cli.errors import UsageError
    from behest_cli.management import check_base_url

    given = profiles.Profile(
        base_url=None if base_url is None else check_base_url(base_url.rstrip("/")),
        admin_token=admin_token,
        tenant=tenant,
        project=project,
        key=key,
    )
    if given == profiles.Profile():
        raise UsageError("There is nothing to save.", hint="Give --base-url, --admin-token, --project or --key.")
    file = profiles.save(profile, profiles.load(profile).merged(given))
    render.line(f"Saved the profile {profile!r} in {file}, readable by you only.")


@app.command("show")
def show(
    profile: ProfileName = "default",
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secrets in full.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the profile as JSON.")] = False,
) -> None:
    """Show a saved profile, its secrets by their last characters only."""
    saved = profiles.load(profile)
    shown = asdict(saved if reveal else saved.masked())
    if json:
        render.line(json_module.dumps(shown))
        return
    render.fields({field.replace("_", " "): value for field, value in shown.items()} | {"file": str(profiles.path())})
