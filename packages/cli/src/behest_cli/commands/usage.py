"""`behest usage`: what was spent, and how much of each budget is left; and all of it as a file."""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from behest_cli import budgets, render
from behest_cli.connection import BaseUrl, Json, Key, ProfileName, Project, User, managed, sdk
from behest_cli.errors import CliError

if TYPE_CHECKING:
    from behest import UsageReport
    from rich.status import Status

    from behest_cli.management import Management

Granularity = Literal["minute", "hour", "day"]


Format = Literal["csv", "focus"]

SLOW_SECONDS = 2.0
"""After this long a person is told that it goes on."""

app = typer.Typer(invoke_without_command=True)


@app.callback()
def usage(
    context: typer.Context,
    user: User = "default",
    since: Annotated[str | None, typer.Option("--from", help="The first day or moment, like 2026-04-01.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="The last day or moment.")] = None,
    granularity: Annotated[Granularity, typer.Option("--granularity", help="The length of a step.")] = "day",
    key: Key = None,
    base_url: BaseUrl = None,
    profile: ProfileName = "default",
    json: Json = False,
) -> None:
    """Show what a user has spent, and how much of their budgets is left."""
    if context.invoked_subcommand is not None:
        return
    with sdk(base_url, key, profile) as behest:
        report = behest.for_user(user).usage.get(from_=since, to=until, granularity=granularity)
    if json:
        render.line(json_module.dumps(report))
        return
    show(user, report)


@app.command("export")
@managed
def export(
    gateway: Management,
    project: Project = None,
    form: Annotated[
        Format, typer.Option("--format", help="A line for each attempt, or FOCUS 1.4 by meter and day.")
    ] = "csv",
    since: Annotated[
        str | None, typer.Option("--from", help="The first day or moment; 30 days back if not given.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="The last day, or the moment it ends.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, whole or not at all.")
    ] = None,
) -> None:
    """Write what a project used as CSV: every attempt, or charges in the format FOCUS 1.4."""
    path = gateway.project_path(project, "/usage.csv")
    with gateway.download(path, format=form, **{"from": since, "to": until}) as parts:
        if output is None:
            for part in parts:
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
            return
        size = _save(parts, output)
    render.note(f"Wrote {_megabytes(size)} to {output}.")


def _save(parts: Iterator[bytes], output: Path) -> int:
    """Write a file beside its place and move it there when it is whole; returns its bytes."""
    unfinished = output.with_name(f"{output.name}.part")
    size, started = 0, time.monotonic()
    with ExitStack() as stack:
        try:
            stack.callback(unfinished.unlink, missing_ok=True)
            file = stack.enter_context(unfinished.open("wb"))
            status: Status | None = None
            for part in parts:
                file.write(part)
                size += len(part)
                if status is None and time.monotonic() - started > SLOW_SECONDS:
                    status = stack.enter_context(render.console(stderr=True).status(""))
                if status is not None:
                    status.update(f"{_megabytes(size)} so far …")
            file.close()
            unfinished.replace(output)
        except OSError as problem:
            raise CliError(
                f"{output} cannot be written: {problem.strerror}.", hint="Name another file with --output."
            ) from None
    return size


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"


def show(user: str, report: UsageReport) -> None:
    """Print a usage report: totals, days, budgets."""
    totals = report.totals
    render.fields(
        {
            "user": user,
            "requests": totals.requests,
            "tokens": f"{totals.tokens:,}",
            "cost": render.usd(totals.cost_usd),
        }
    )
    entries = [{**entry, "cost": render.usd(entry.cost_usd)} for entry in report.breakdown]
    if entries:
        render.line("")
        columns = {"timestamp": "From", "requests": "Requests", "tokens": "Tokens", "cost": "Cost"}
        render.table(entries, columns, empty="")
    for budget in report.budgets or []:
        render.line("")
        render.line(left(budget))


def left(budget: Mapping[str, Any]) -> str:
    """Say in one line how much of a budget is left.

    >>> left({"scope": "each_user", "window": "day", "limit_usd": 5, "spent_usd": 1, "held_usd": 0, "resets_at": "T"})
    '$4.00 of $5.00 left (each user, by day, resets T)'
    >>> left({"scope": "user", "window": "lifetime", "limit_tokens": 500, "spent_tokens": 200, "held_tokens": 0})
    '300 of 500 tokens left (this user, by lifetime)'
    """
    unit = budgets.unit_of(budget)
    limit = budget[f"limit_{unit}"]
    rest = max(0, limit - budget[f"spent_{unit}"] - budget[f"held_{unit}"])
    about = [budgets.whom(budget), f"by {budgets.window(budget)}"]
    if budget.get("resets_at") is not None:
        about.append(f"resets {budget['resets_at']}")
    if budget.get("mode") == "shadow":
        about.append("refuses nothing")
    return f"{budgets.amount(unit, rest)} of {budgets.limit(unit, limit)} left ({', '.join(about)})"
