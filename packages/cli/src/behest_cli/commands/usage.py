"""`behest usage`: what was spent, and how much of each budget is left."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from behest_cli import render
from behest_cli.connection import BaseUrl, Json, Key, ProfileName, User, sdk

if TYPE_CHECKING:
    from behest import UsageReport

Granularity = Literal["minute", "hour", "day"]


def usage(
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
    with sdk(base_url, key, profile) as behest:
        report = behest.for_user(user).usage.get(from_=since, to=until, granularity=granularity)
    if json:
        render.line(json_module.dumps(report))
        return
    show(user, report)


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
    """
    rest = max(0.0, budget["limit_usd"] - budget["spent_usd"] - budget["held_usd"])
    scope = {"project": "the project", "each_user": "each user", "user": "this user"}.get(budget["scope"], "budget")
    limit = render.usd(budget["limit_usd"])
    return f"{render.usd(rest)} of {limit} left ({scope}, by {budget['window']}, resets {budget['resets_at']})"
