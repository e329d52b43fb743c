"""Reading the ledger: what was used. Queries run in a thread, each on a connection of its own."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.queries import load
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

    async def _query(self, name: str, span: Span, *more: int) -> list[tuple[Any, ...]]:
        user = None
        if span.user_id is not None:
            user = self._user_ref(span.project_id, span.user_id) or -1

        def run() -> list[tuple[Any, ...]]:
            connection = self._database.reader()
            try:
                return list(
                    connection.execute(_SQL[name], (span.project_id, span.starts_at, span.ends_at, user, *more))
                )
            finally:
                connection.close()

        return await asyncio.to_thread(run)
