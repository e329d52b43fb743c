"""`behest`: the commands put together, and the one place where an error becomes a message and an exit code.

Exit codes: 0 done, 1 the gateway or the machine refused, 2 the command was given wrongly.
"""

from __future__ import annotations

import sys

import typer

from behest_cli.commands import (
    budget,
    chat,
    dev,
    events,
    gateway,
    key,
    kill,
    ledger,
    new,
    origin,
    profile,
    project,
    signing_key,
    simulate,
    tenant,
    tiers,
    token,
    usage,
    version,
    webhooks,
)
from behest_cli.errors import CliError

app = typer.Typer(
    name="behest",
    help="Per-user tokens, hard budgets and attribution in front of any LLM provider.",
    epilog="New here? `behest dev` starts everything on this machine; `behest new my-app` scaffolds an app for it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

START, WALK, MONEY, HELP = "Start", "From tenant to chat", "Money", "This command"

app.command("dev", rich_help_panel=START)(dev.dev)
app.command("gateway", rich_help_panel=START)(gateway.gateway)
app.command("new", rich_help_panel=START)(new.new)
app.add_typer(tenant.app, name="tenant", rich_help_panel=WALK)
app.add_typer(project.app, name="project", rich_help_panel=WALK)
app.add_typer(key.app, name="key", rich_help_panel=WALK)
app.add_typer(signing_key.app, name="signing-key", rich_help_panel=WALK)
app.add_typer(origin.app, name="origin", rich_help_panel=WALK)
app.add_typer(token.app, name="token", rich_help_panel=WALK)
app.command("chat", rich_help_panel=WALK)(chat.chat)
app.add_typer(budget.app, name="budget", rich_help_panel=MONEY)
app.add_typer(ledger.app, name="ledger", rich_help_panel=MONEY)
app.add_typer(tiers.app, name="tiers", rich_help_panel=MONEY)
app.add_typer(kill.app, name="kill", rich_help_panel=MONEY)
app.command("simulate", rich_help_panel=MONEY)(simulate.simulate)
app.add_typer(usage.app, name="usage", rich_help_panel=MONEY)
app.command("events", rich_help_panel=MONEY)(events.events)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=MONEY)
app.add_typer(profile.app, name="profile", rich_help_panel=HELP)
app.command("version", rich_help_panel=HELP)(version.version)


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app(prog_name="behest")
    except CliError as error:
        show(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has seen enough, as in `behest usage | head -1`.
        sys.stderr.close()
        sys.exit(1)


def show(error: CliError) -> None:
    """Print an error and its next step on stderr."""
    from behest_cli.render import console

    screen = console(stderr=True)
    screen.print("Error: ", style="bold red", end="")
    screen.print(error.message, markup=False, soft_wrap=True)
    if error.hint:
        screen.print(error.hint, markup=False, soft_wrap=True)
