"""`behest budget`: hard limits in dollars, for a project, for one user, or for each user by themselves."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from behest_cli import render
from behest_cli.connection import Json, Project, managed
from behest_cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Budgets: hard limits in dollars, never exceeded.", no_args_is_help=True)


class Window(StrEnum):
    """How long a budget lasts before it begins anew."""

    DAY = "day"
    MONTH = "month"


@app.command("set")
@managed
def set_(
    gateway: Management,
    usd: Annotated[str, typer.Option("--usd", help="The limit in US dollars, like 5 or 0.25.")],
    window: Annotated[Window, typer.Option("--window", help="When it begins anew.")],
    project: Project = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="A budget for this user only.")] = None,
    each_user: Annotated[bool, typer.Option("--each-user", help="A budget for every user by themselves.")] = False,
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="Where the day begins, like Europe/Berlin; UTC when absent.")
    ] = None,
    json: Json = False,
) -> None:
    """Set a budget: for the whole project, or with --user or --each-user. One that is there gets the new limit."""
    if user is not None and each_user:
        raise UsageError("--user and --each-user exclude each other.")
    scope = "user" if user is not None else "each_user" if each_user else "project"
    limit = amount(usd)
    path = gateway.project_path(project, "/budgets")
    wanted = {"scope": scope, "user_id": user, "window": window.value}
    same = [entry for entry in gateway.get(path).rows if {field: entry.get(field) for field in wanted} == wanted]
    if timezone is not None and same and same[0]["timezone"] != timezone:
        raise CliError(
            f"This budget counts in {same[0]['timezone']}, and a budget keeps its time zone.",
            hint=f"Remove it with `behest budget remove {same[0]['id']}` and set it anew.",
        )
    if same:
        answer = gateway.patch(f"{path}/{quote(str(same[0]['id']), safe='')}", {"limit_usd": limit})
    else:
        answer = gateway.post(path, {**wanted, "limit_usd": limit, "timezone": timezone})
    if json:
        render.line(answer.text)
        return
    show([answer.data])


@app.command("list")
@managed
def list_(gateway: Management, project: Project = None, json: Json = False) -> None:
    """List a project's budgets, with what is spent of each."""
    answer = gateway.get(gateway.project_path(project, "/budgets"))
    if json:
        render.line(answer.text)
        return
    show(answer.rows)


@app.command("remove")
@managed
def remove(
    gateway: Management,
    budget_id: Annotated[str, typer.Argument(help="The budget's id, as `behest budget list` shows it.")],
    project: Project = None,
) -> None:
    """Remove a budget: from now on it limits nothing."""
    gateway.delete(gateway.project_path(project, f"/budgets/{quote(budget_id, safe='')}"))
    render.line(f"Removed {budget_id}.")


def amount(text: str) -> str:
    """Check an amount of dollars and give its exact text back.

    Raises:
        UsageError: It is not a positive number.

    >>> amount("$0.25")
    '0.25'
    """
    plain = text.strip().removeprefix("$").replace("_", "")
    try:
        dollars = Decimal(plain)
    except InvalidOperation:
        dollars = Decimal(-1)
    if not dollars.is_finite() or dollars < 0:
        raise UsageError(f"Not an amount in US dollars: {text!r}.", hint="Write it like --usd 5 or --usd 0.25.")
    return format(dollars, "f")


def show(budgets: list[dict[str, Any]]) -> None:
    """Print budgets as a table."""
    columns = {
        "id": "Id", "for": "For", "window": "Window", "limit": "Limit", "spent": "Spent", "held": "Held",
        "resets_at": "Resets",
    }  # fmt: skip
    rows = [
        {
            "id": budget.get("id"),
            "for": {"project": "the project", "each_user": "each user"}.get(
                str(budget["scope"]), budget.get("user_id")
            ),
            "window": budget.get("window"),
            "limit": render.usd(budget["limit_usd"]),
            "spent": None if budget.get("spent_usd") is None else render.usd(budget["spent_usd"]),
            "held": None if budget.get("held_usd") is None else render.usd(budget["held_usd"]),
            "resets_at": budget.get("resets_at"),
        }
        for budget in budgets
    ]
    render.table(rows, columns, empty="There is no budget. Set one with `behest budget set --usd 5 --window day`.")
