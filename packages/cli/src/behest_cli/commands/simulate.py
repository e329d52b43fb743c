"""`behest simulate`: the ledger of a data directory under other prices, models or caps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from behest_cli import render
from behest_cli.commands.ledger import DataDir
from behest_cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from behest_gateway.control.simulating import Refusals, Replayed

MOST_SHOWN = 20


def simulate(
    data_dir: DataDir = Path(".behest/gateway"),
    since: Annotated[str | None, typer.Option("--from", help="The first day or moment; the first of all.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="The last day or moment; the last of all.")] = None,
    project: Annotated[str | None, typer.Option("--project", "-p", help="One project, by its id or slug.")] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="Other prices, in a file like BEHEST_GATEWAY_PRICE_OVERRIDES.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Price one model as another: FROM=TO. May be repeated.")
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", help="A cap: SCOPE:WINDOW:UNIT:LIMIT, like each_user:day:usd:0.50. May be repeated."),
    ] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option("--tier", help="Caps of each user of a tier, like free:tokens_per_day=50000. May be repeated."),
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Whose days and months the caps go by.")] = "UTC",
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON; money in nano-dollars.")] = False,
) -> None:
    """Replay what was used under other prices, models or caps: what it would have cost, and who would be refused.

    It only reads, so the gateway may run meanwhile.
    """
    import msgspec
    from behest_gateway import books

    what_if = books.WhatIf(
        since=since,
        until=until,
        project=project,
        prices=prices,
        models=tuple(model or ()),
        budgets=tuple(budget or ()),
        tiers=tuple(tier or ()),
        timezone=timezone,
    )
    try:
        replayed = books.simulate(data_dir, what_if)
    except books.WhatIfError as problem:
        raise UsageError(_sentence(problem), hint="`behest simulate --help` shows how each is written.") from None
    except books.BooksError as problem:
        raise CliError(_sentence(problem)) from None
    if json:
        render.line(msgspec.json.encode(replayed).decode())
    else:
        show(replayed)


def _sentence(problem: Exception) -> str:
    text = str(problem)
    return f"{text[:1].upper()}{text[1:]}".removesuffix(".") + "."


def show(replayed: Replayed) -> None:
    """Print what a replay came to: sums, models, who would have been refused."""
    from behest_gateway.core.clock import iso
    from behest_protocol.money import usd_text

    if replayed.first_at is None or replayed.last_at is None:
        render.note("The ledger has nothing of that time.")
        return
    kept: dict[str, str] = {}
    if replayed.kept:
        kept["kept as charged"] = f"{replayed.kept:,}, ${usd_text(replayed.kept_nano)}: nobody said what they used"
    if replayed.unpriced:
        kept["price not kept"] = f"{replayed.unpriced:,}, left as charged"
    render.fields(
        {
            "from": iso(replayed.first_at),
            "to": iso(replayed.last_at),
            "calls": f"{replayed.calls:,}",
            "refused": f"{replayed.refused:,}, besides {replayed.refused_before:,} that were refused when they came",
            "cost": f"${usd_text(replayed.before_nano)} in the ledger",
            "repriced": f"${usd_text(replayed.repriced_nano)} at these prices",
            "after": f"${usd_text(replayed.after_nano)} without what is refused",
            **kept,
        }
    )
    render.line("")
    render.table(
        [
            {
                "model": each.model,
                "priced_as": each.priced_as if each.priced_as != each.model else None,
                "calls": f"{each.calls:,}",
                "refused": f"{each.refused:,}",
                "before": f"${usd_text(each.before_nano)}",
                "after": f"${usd_text(each.after_nano)}",
            }
            for each in replayed.models
        ],
        {
            "model": "Model",
            "priced_as": "Priced as",
            "calls": "Calls",
            "refused": "Refused",
            "before": "Cost",
            "after": "Would cost",
        },
        empty="",
    )
    for heading, listed in (("user", replayed.users), ("session", replayed.sessions)):
        if listed:
            render.line("")
            _show_refusals(heading, listed)


def _show_refusals(heading: str, listed: list[Refusals]) -> None:
    from behest_gateway.core.clock import iso
    from behest_protocol.money import usd_text

    columns = {"who": f"Refused {heading}", "user": "Of user", "project": "Project"}
    if heading == "user":
        del columns["user"]
    render.table(
        [
            {
                "who": each.user_id if heading == "user" else each.session_id,
                "user": each.user_id,
                "project": each.project,
                "times": f"{each.times:,}",
                "first": iso(each.first_at),
                "spared": f"${usd_text(each.spared_nano)}",
                "caps": ", ".join(each.caps),
            }
            for each in listed[:MOST_SHOWN]
        ],
        {**columns, "times": "Times", "first": "First", "spared": "Spared", "caps": "By"},
        empty="",
    )
    if len(listed) > MOST_SHOWN:
        render.note(f"… and {len(listed) - MOST_SHOWN:,} more {heading}s; --json has them all.")
