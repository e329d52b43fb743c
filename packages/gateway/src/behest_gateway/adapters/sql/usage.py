"""Reading what was used. Queries run in a thread, each on a connection of its own.

Whole hours of a project and whole days of a user are read from their sums, the ragged ends of a span from the ledger,
all in one statement and so as of one moment. The answer is the same as the ledger's alone, to the nano-dollar.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.queries import load
from behest_gateway.adapters.sql.rollups import DAY, HOUR
from behest_gateway.control.usage import ModelUsage, Span, UsageSum

_SQL = load("usage")


class SqlUsage:
    """Implements `control.usage.UsageReader`."""

    def __init__(self, database: Database, user_ref: Callable[[str, str], int | None]) -> None:
        self._database = database
        self._user_ref = user_ref

    async def totals(self, span: Span) -> UsageSum:
        rows = await self._query("totals", span)
        return UsageSum(*rows[0])

    async def by_time(self, span: Span, step_us: int) -> list[tuple[int, UsageSum]]:
        rows = await self._query("by_time", span, step_us)
        return [(at, UsageSum(*rest)) for at, *rest in rows]

    async def by_model(self, span: Span) -> list[ModelUsage]:
        rows = await self._query("by_model", span)
        return [ModelUsage(bool(byok), model, UsageSum(*rest)) for byok, model, *rest in rows]

    async def _query(self, name: str, span: Span, step_us: int = DAY) -> list[tuple[Any, ...]]:
        user = None
        if span.user_id is not None:
            user = self._user_ref(span.project_id, span.user_id) or -1
        whole_from, whole_to = whole_part(span.starts_at, span.ends_at, HOUR if user is None else DAY, step_us)
        statement = _SQL[name].replace("$rows", _SQL["rows_of_project" if user is None else "rows_of_user"])
        values = {
            "project": span.project_id,
            "user": user,
            "from": span.starts_at,
            "to": span.ends_at,
            "whole_from": whole_from,
            "whole_to": whole_to,
            "step": step_us,
        }

        def run() -> list[tuple[Any, ...]]:
            connection = self._database.reader()
            try:
                return list(connection.execute(statement, values))
            finally:
                connection.close()

        return await asyncio.to_thread(run)


def whole_part(starts_at: int, ends_at: int, unit: int, step_us: int) -> tuple[int, int]:
    """The part of a span that is made of whole units, or nothing at its end when the steps are finer than a unit.

    >>> whole_part(5, 35, 10, 20), whole_part(5, 9, 10, 10), whole_part(0, 40, 10, 5)
    ((10, 30), (9, 9), (40, 40))
    """
    first, last = -(-starts_at // unit) * unit, ends_at // unit * unit
    if step_us % unit or first >= last:
        return ends_at, ends_at
    return first, last
