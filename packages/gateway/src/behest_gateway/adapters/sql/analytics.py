"""Reading the sums by hour and by day. Queries run in a thread, each on a connection of its own."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
from typing import Any

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.queries import load
from behest_gateway.control.analytics import Period, Used

_SQL = load("analytics")


class SqlAnalytics:
    """Implements `control.analytics.AnalyticsReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def summary(self, period: Period, step_us: int) -> list[tuple[int, Used]]:
        return [(at, Used(*rest)) for at, *rest in await self._query("summary", period, step=step_us)]

    async def users(self, period: Period, limit: int) -> list[tuple[str | None, Used]]:
        return [(uid, Used(*rest)) for uid, *rest in await self._query("users", period, limit=limit)]

    async def sessions(self, period: Period, limit: int) -> list[tuple[str, str | None, Used]]:
        found = await self._query("sessions", period, limit=limit)
        return [(session, uid, Used(*rest)) for session, uid, *rest in found]

    async def threads(self, period: Period, limit: int) -> list[tuple[str, str | None, Used]]:
        found = await self._query("threads", period, limit=limit)
        return [(thread, uid, Used(*rest)) for thread, uid, *rest in found]

    async def models(self, period: Period, limit: int) -> list[tuple[str, bool, Used]]:
        found = await self._query("models", period, limit=limit)
        return [(model, bool(byok), Used(*rest)) for model, byok, *rest in found]

    async def tiers(self, period: Period, limit: int) -> list[tuple[str | None, Used]]:
        return [(tier or None, Used(*rest)) for tier, *rest in await self._query("tiers", period, limit=limit)]

    async def _query(self, name: str, period: Period, **more: int) -> list[tuple[Any, ...]]:
        values = {"project": period.project_id, "from": period.starts_at, "to": period.ends_at, **more}

        def run() -> list[tuple[Any, ...]]:
            connection = self._database.reader()
            try:
                return list(connection.execute(_SQL[name], values))
            finally:
                connection.close()

        return await asyncio.to_thread(run)
