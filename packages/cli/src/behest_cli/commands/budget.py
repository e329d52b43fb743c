"""`behest budget`: hard limits in dollars, tokens or requests, for everybody together or for each by themselves."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from behest_cli import budgets, render
from behest_cli.connection import Json, Project, managed
from behest_cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Budgets: hard limits, never exceeded.", no_args_is_help=True)

COLUMNS = {
    "id": "Id", "for": "For", "window": "Window", "limit": "Limit", "spent": "Spent", "held": "Held",
    "refused": "Refused", "resets_at": "Resets", "mode": "Mode",
}  # fmt: skip

BudgetId = Annotated[str, typer.Argument(help="The budget's id, as `behest budget list` shows it.")]
OfTenant = Annotated[
    str | None, typer.Option("--tenant", "-t", help="A whole tenant's (id or name) instead of a project's.")
]
Usd = Annotated[str | None, typer.Option("--usd", help="US dollars, like 5 or 0.25.")]
Tokens = Annotated[int | None, typer.Option("--tokens", min=0, help="Tokens, in and out.")]
Requests = Annotated[int | None, typer.Option("--requests", min=0, help="Calls.")]


class Window(StrEnum):
    """How long a budget lasts before it begins anew."""

    DAY = "day"
    MONTH = "month"
    LIFETIME = "lifetime"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where budgets are kept: in a project, or with a tenant, whom an operator has to name."""

    base: str
    tenant_id: str | None = None

    def path(self, rest: str = "") -> str:
        """The path of the budgets, or of something below them."""
        query = f"?tenant_id={quote(self.tenant_id, safe='')}" if self.tenant_id else ""
        return f"{self.base}{rest}{query}"

    def path_of(self, budget_id: str, rest: str = "") -> str:
        """The path of one budget."""
        return self.path(f"/{quote(budget_id, safe='')}{rest}")


@app.command("set")
@managed
def set_(
    gateway: Management,
    usd: Usd = None,
    tokens: Tokens = None,
    requests: Requests = None,
    window: Annotated[
        Window | None,
        typer.Option("--window", help="When it begins anew; a lifetime never does, and can be topped up."),
    ] = None,
    hours: Annotated[
        int | None, typer.Option("--hours", min=1, help="Instead of --window: whatever the last so many hours saw.")
    ] = None,
    project: Project = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="A budget for this user only.")] = None,
    each_user: Annotated[bool, typer.Option("--each-user", help="A budget for every user by themselves.")] = False,
    each_session: Annotated[bool, typer.Option("--each-session", help="One for every session of a user.")] = False,
    each_thread: Annotated[bool, typer.Option("--each-thread", help="One for every thread of a user.")] = False,
    key: Annotated[str | None, typer.Option("--key", help="A budget for the API key of this id.")] = None,
    each_key: Annotated[bool, typer.Option("--each-key", help="One for every API key.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="A budget for this model.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", help="A budget for all projects of this tenant (id or name).")
    ] = None,
    enforce: Annotated[
        bool | None,
        typer.Option("--enforce/--shadow", help="Refuse what does not fit, or only count what would be refused."),
    ] = None,
    threshold: Annotated[
        list[int] | None,
        typer.Option("--threshold", min=1, max=100, help="Percent at which it speaks up; may be repeated."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="Where the day begins, like Europe/Berlin; UTC when absent.")
    ] = None,
    json: Json = False,
) -> None:
    """Set a budget: for the whole project, or for whom an option says. One that is there gets the new limit."""
    wanted = {
        **_scope(
            {"user": user, "key": key, "model": model, "tenant": tenant},
            {"each_user": each_user, "each_session": each_session, "each_thread": each_thread, "each_key": each_key},
        ),
        **_window(window, hours),
    }
    unit, limit = _amount(usd, tokens, requests)
    changed = {
        f"limit_{unit}": limit,
        "mode": None if enforce is None else "enforce" if enforce else "shadow",
        "thresholds": threshold or None,
    }
    place = _place(gateway, project, tenant)
    same = [entry for entry in _listed(gateway, place) if _is_the_same(entry, wanted, unit)]
    there = next((entry for entry in same if entry["timezone"] == timezone), same[0] if same else None)
    if there is None:
        answer = gateway.post(place.path(), {**wanted, **changed, "timezone": timezone})
    elif timezone is not None and there["timezone"] != timezone:
        raise CliError(
            f"This budget counts in {there['timezone']}, and a budget keeps its time zone.",
            hint=f"Remove it with `behest budget remove {there['id']}` and set it anew.",
        )
    else:
        known = {name: value for name, value in changed.items() if value is not None}
        answer = gateway.patch(place.path_of(str(there["id"])), known)
    if json:
        render.line(answer.text)
        return
    show([answer.data])


@app.command("list")
@managed
def list_(gateway: Management, project: Project = None, tenant: OfTenant = None, json: Json = False) -> None:
    """List budgets, with what is spent, held and refused of each."""
    place = _place(gateway, project, tenant)
    answer = gateway.get(place.base, tenant_id=place.tenant_id)
    if json:
        render.line(answer.text)
        return
    show(answer.rows)


@app.command("remove")
@managed
def remove(gateway: Management, budget_id: BudgetId, project: Project = None, tenant: OfTenant = None) -> None:
    """Remove a budget: from now on it limits nothing."""
    place = _place(gateway, project, tenant)
    with _next_steps():
        gateway.delete(place.path_of(budget_id))
    render.line(f"Removed {budget_id}.")


@app.command("top-up")
@managed
def top_up(
    gateway: Management,
    budget_id: BudgetId,
    usd: Usd = None,
    tokens: Tokens = None,
    requests: Requests = None,
    note: Annotated[str | None, typer.Option("--note", help="What for, for the record.")] = None,
    top_up_id: Annotated[
        str | None, typer.Option("--id", help="Your own id, such as a payment's; a second time it adds nothing.")
    ] = None,
    project: Project = None,
    tenant: OfTenant = None,
    json: Json = False,
) -> None:
    """Add to a prepaid budget: one of --window lifetime."""
    unit, added = _amount(usd, tokens, requests)
    place = _place(gateway, project, tenant)
    with _next_steps():
        answer = gateway.post(
            place.path_of(budget_id, "/top-ups"), {"id": top_up_id, f"amount_{unit}": added, "note": note}
        )
    if json:
        render.line(answer.text)
        return
    show([answer.data["budget"]])


@app.command("top-ups")
@managed
def top_ups(
    gateway: Management, budget_id: BudgetId, project: Project = None, tenant: OfTenant = None, json: Json = False
) -> None:
    """List what was added to a budget, oldest first."""
    place = _place(gateway, project, tenant)
    with _next_steps():
        answer = gateway.get(f"{place.base}/{quote(budget_id, safe='')}/top-ups", tenant_id=place.tenant_id)
    if json:
        render.line(answer.text)
        return
    rows = [
        {**entry, "amount": budgets.limit(unit, entry[f"amount_{unit}"])}
        for entry in answer.rows
        for unit in budgets.UNITS
        if entry.get(f"amount_{unit}") is not None
    ]
    columns = {"id": "Id", "amount": "Added", "note": "Note", "added_by": "By", "added_at": "At"}
    render.table(rows, columns, empty=f"Nothing was added yet. Add with `behest budget top-up {budget_id} --usd 5`.")


def _scope(named: dict[str, str | None], each: dict[str, bool]) -> dict[str, str | None]:
    given = [name for name, value in {**named, **each}.items() if value not in (None, False)]
    if len(given) > 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{options} exclude each other.", hint="Set a budget for each of them in turn.")
    scope = given[0] if given else "project"
    return {"scope": scope, "user_id": named["user"], "key_id": named["key"], "model": named["model"]}


def _window(window: Window | None, hours: int | None) -> dict[str, str | int | None]:
    if (window is None) == (hours is None):
        raise UsageError(
            "Over which window?" if window is None else "--window and --hours exclude each other.",
            hint="Write --window day, month or lifetime, or --hours 5 for whatever the last 5 hours saw.",
        )
    return {"window": "rolling" if window is None else window.value, "hours": hours}


def _amount(usd: str | None, tokens: int | None, requests: int | None) -> tuple[str, str | int]:
    given = {"usd": usd, "tokens": tokens, "requests": requests}
    known = [(unit, value) for unit, value in given.items() if value is not None]
    if len(known) != 1:
        raise UsageError("Exactly one of --usd, --tokens and --requests is needed.", hint="Write it like --usd 5.")
    [(unit, value)] = known
    return unit, amount(value) if isinstance(value, str) else value


def _place(gateway: Management, project: str | None, tenant: str | None) -> Place:
    if tenant is None:
        return Place(base=gateway.project_path(project, "/budgets"))
    return Place(base="/v1/tenants/me/budgets", tenant_id=gateway.tenant_id(tenant))


def _listed(gateway: Management, place: Place) -> list[dict[str, Any]]:
    return gateway.get(place.base, tenant_id=place.tenant_id).rows


def _is_the_same(entry: dict[str, Any], wanted: dict[str, Any], unit: str) -> bool:
    return budgets.unit_of(entry) == unit and {field: entry.get(field) for field in wanted} == wanted


@contextmanager
def _next_steps() -> Generator[None]:
    """Say what to do about a budget that is not there, or cannot be topped up so."""
    from behest_cli.management import RefusedError

    hints = {
        404: "`behest budget list` shows the ids; a tenant's budgets are found with --tenant.",
        409: "A prepaid budget is made with `behest budget set --window lifetime`; each --id is for one top-up.",
    }
    try:
        yield
    except RefusedError as error:
        error.hint = error.hint or hints.get(error.status)
        raise


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


def show(listed: list[dict[str, Any]]) -> None:
    """Print budgets as a table."""
    render.table(
        [_row(budget) for budget in listed],
        COLUMNS,
        empty="There is no budget. Set one with `behest budget set --usd 5 --window day`.",
    )


def _row(budget: dict[str, Any]) -> dict[str, Any]:
    unit = budgets.unit_of(budget)
    return {
        "id": budget.get("id"),
        "for": budgets.whom(budget),
        "window": budgets.window(budget),
        "limit": budgets.limit(unit, budget[f"limit_{unit}"]),
        "spent": budgets.amount(unit, budget.get(f"spent_{unit}")),
        "held": budgets.amount(unit, budget.get(f"held_{unit}")),
        "refused": budget.get("refused"),
        "resets_at": budget.get("resets_at"),
        "mode": budget.get("mode"),
    }
