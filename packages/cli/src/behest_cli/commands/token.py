"""`behest token`: a token for one user, as an app's server makes it."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from behest_cli import render
from behest_cli.connection import BaseUrl, Key, ProfileName, sdk

app = typer.Typer(help="Tokens: what a user's browser calls the gateway with.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make `mint` a command of its own: a Typer with one command is that command."""


@app.command("mint")
def mint(
    user: Annotated[str, typer.Option("--user", "-u", envvar="BEHEST_USER_ID", help="Whose token it is.")],
    key: Key = None,
    ttl: Annotated[int | None, typer.Option("--ttl", help="Seconds that it lives, 60 to 86400.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="The user's tier, as a number or a name.")] = None,
    role: Annotated[str | None, typer.Option("--role", help="user, or admin with a key of that role.")] = None,
    session: Annotated[str | None, typer.Option("--session", help="The session it belongs to.")] = None,
    base_url: BaseUrl = None,
    profile: ProfileName = "default",
    json: Annotated[bool, typer.Option("--json", help="Print the token with its session, ttl and end.")] = False,
) -> None:
    """Mint a token for a user and print it, ready for `$(behest token mint --user ada)`."""
    number_or_name = int(tier) if tier is not None and tier.isdecimal() else tier
    with sdk(base_url, key, profile) as behest:
        minted = behest.auth.mint(user_id=user, session_id=session, tier=number_or_name, ttl=ttl, role=role)
    render.line(json_module.dumps(minted) if json else minted.token)
