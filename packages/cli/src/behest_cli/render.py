"""What a command prints: tables for people, the gateway's own JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 200
"""Columns when the output is no terminal, so that nothing is cut for a program that reads it."""


def console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough for everything where there is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDE, highlight=False, soft_wrap=False)


def line(text: str) -> None:
    """Print one line as it is."""
    sys.stdout.write(text + "\n")


def flush() -> None:
    """Let whoever reads this see what was printed so far."""
    sys.stdout.flush()


def note(text: str) -> None:
    """Tell a person something beside the result, on stderr."""
    console(stderr=True).print(text, style="dim", markup=False, soft_wrap=True)


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """Print rows under headings.

    Args:
        rows: What the gateway answered.
        columns: The heading of each field that is shown, in order.
        empty: What to say when there are no rows, best with the next step.
    """
    from rich.table import Table

    listed = list(rows)
    if not listed:
        note(empty)
        return
    drawn = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(columns.values()):
        drawn.add_column(heading, no_wrap=number == 0, overflow="fold")
    for row in listed:
        drawn.add_row(*(plain(row.get(name)) for name in columns))
    console().print(drawn, markup=False)


def fields(values: Mapping[str, Any]) -> None:
    """Print one thing, a field to a line."""
    from rich.table import Table

    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in values.items():
        drawn.add_row(name, plain(value))
    console().print(drawn, markup=False)


def plain(value: Any) -> Any:
    """Write a JSON value as a person reads it; the answer is text without markup.

    >>> str(plain(True)), str(plain(None)), str(plain(["a", "b"]))
    ('yes', '–', 'a, b')
    """
    from rich.text import Text

    if value is None or value == [] or value == "":
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list):
        return Text(", ".join(str(item) for item in value))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return Text(str(value))


def usd(amount: float | None) -> str:
    """Write dollars with as many digits as a small amount needs.

    >>> usd(5), usd(0.25), usd(0.0000123), usd(None)
    ('$5.00', '$0.25', '$0.0000123', 'unknown')
    """
    if amount is None:
        return "unknown"
    if amount == 0 or abs(amount) >= 0.01:
        return f"${amount:,.2f}" if round(amount, 2) == round(amount, 6) else f"${amount:,.6f}".rstrip("0")
    return f"${amount:.9f}".rstrip("0")
