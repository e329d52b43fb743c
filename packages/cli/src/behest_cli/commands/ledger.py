"""`behest ledger`: the books of a data directory, read without asking the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from behest_cli import render
from behest_cli.errors import CliError

app = typer.Typer(help="The ledger in a data directory.", no_args_is_help=True)

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar="BEHEST_GATEWAY_DATA_DIR", help="The gateway's data directory."),
]


@app.callback()
def ledger() -> None:
    """The ledger in a data directory."""


@app.command("verify")
def verify(
    data_dir: DataDir = Path(".behest/gateway"),
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="First make the sums by hour and day again; no gateway may run.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was checked, and what differs, as JSON.")] = False,
) -> None:
    """Price every row again, add every sum up again, and say what differs by a nano-dollar; exit 1 if any does.

    It only reads, so the gateway may run meanwhile, unless --rebuild is given.
    """
    import msgspec
    from behest_gateway import books
    from behest_protocol.money import usd_text

    try:
        if rebuild:
            render.note(f"Made {books.rebuild_rollups(data_dir):,} sums by hour and by day from the ledger.")
        audit = books.check(data_dir)
    except books.BooksError as problem:
        raise CliError(f"{str(problem)[:1].upper()}{str(problem)[1:]}.") from None
    if json:
        render.line(msgspec.json.encode({"is_right": audit.is_right, **msgspec.structs.asdict(audit)}).decode())
    else:
        render.fields(
            {
                "rows": f"{audit.rows:,}, of which {audit.estimated:,} are estimates, held to their holds",
                "charged": f"${usd_text(audit.cost_nano)}",
                "prices": f"{audit.prices:,}",
                "counters": f"{audit.counters:,}",
                "rollups": f"{audit.rollups:,}",
                "result": "equal to the nano-dollar" if audit.is_right else f"{len(audit.differences):,} differ",
            }
        )
        if audit.differences:
            render.line("")
            columns = {"what": "What", "name": "Which", "expected": "Must be", "found": "Is"}
            render.table([msgspec.structs.asdict(each) for each in audit.differences[:100]], columns, empty="")
    if not audit.is_right:
        raise typer.Exit(1)
