"""The cells of a CSV file: texts that no spreadsheet takes for a formula, and rows as bytes. No I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = frozenset("=+-@\t\r\n'\uff1d\uff0b\uff0d\uff20")
"""A cell that begins with one of these may be run by a spreadsheet; the last four are the wide forms. The apostrophe is
among them so that what `safe` adds can always be told from what was there."""


def safe(text: str) -> str:
    """Put an apostrophe before a text that could start a formula; taking one away gives the text back.

    >>> safe("=1+1"), safe("u_42"), safe("'tis")
    ("'=1+1", 'u_42', "''tis")
    """
    return f"'{text}" if text[:1] in _FORMULA else text


def csv_bytes(rows: Iterable[Sequence[str]]) -> bytes:
    """Write rows as lines of CSV (RFC 4180), in UTF-8."""
    page = io.StringIO(newline="")
    csv.writer(page).writerows(rows)
    return page.getvalue().encode()
