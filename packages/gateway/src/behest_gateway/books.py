"""The books of a data directory, checked without a gateway: what `behest ledger` calls."""

from __future__ import annotations

from pathlib import Path

from behest_gateway.adapters.sql.database import DatabaseError
from behest_gateway.adapters.sql.verify import verify
from behest_gateway.control.auditing import Audit


class BooksError(Exception):
    """The books cannot be read; the message says why."""


def check(data_dir: Path) -> Audit:
    """Price every row again and add every counter up again; nothing is written, and a gateway may run meanwhile.

    Raises:
        BooksError: There is no ledger, or it cannot be read.
    """
    try:
        return verify(data_dir)
    except DatabaseError as problem:
        raise BooksError(str(problem)) from None
