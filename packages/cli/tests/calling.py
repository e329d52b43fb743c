"""The types of the fixtures: `behest` called in this process, and servers that answer whatever a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Stub = Callable[[int, str, dict[str, str]], str]
"""Starts a server that answers everything with a status, a body and headers; gives its address."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output, decoded."""
        return json.loads(self.out)


class Behest(Protocol):
    """Calls the command line."""

    def __call__(self, *arguments: str, code: int = 0, **env: str) -> Outcome: ...
