"""Named SQL: each file in `queries/` holds statements, each under a line `-- name: what it is for`."""

from __future__ import annotations

import re
from importlib import resources

_NAME = re.compile(r"^-- (\w+): ", re.MULTILINE)


def load(file: str) -> dict[str, str]:
    """Read `queries/<file>.sql` into statements by name."""
    text = resources.files("behest_gateway.adapters.sql").joinpath("queries", f"{file}.sql").read_text("utf-8")
    parts = _NAME.split(text)[1:]
    statements: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = [line for line in body.splitlines()[1:] if not line.startswith("--")]
        statements[name] = "\n".join(lines).strip()
    return statements
