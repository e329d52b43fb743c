"""The books of a data directory, checked without a gateway: what `behest ledger` calls."""

from __future__ import annotations

from pathlib import Path

from behest_gateway.adapters.sql.database import DatabaseError
from behest_gateway.adapters.sql.verify import rebuild, verify
from behest_gateway.control.auditing import Audit


class BooksError(Exception):
    """The books cannot be read; the message says why."""


def check(data_dir: Path) -> Audit:
    """Price every row again and add every counter and rollup up again. It only reads, so a gateway may run meanwhile.

    Raises:
        BooksError: There is no ledger, or it cannot be read.
    """
    try:
        return verify(data_dir)
    except DatabaseError as problem:
        raise BooksError(str(problem)) from None


def rebuild_rollups(data_dir: Path) -> int:
    """Make the sums by hour and by day again from the ledger; returns how many there are. No gateway may run.

    Raises:
        BooksError: There is no ledger, or a gateway is using it.
    """
    try:
        return rebuild(data_dir)
    except DatabaseError as problem:
        raise BooksError(str(problem)) from None
