"""Reading the ledger in parts, for files. Queries run in a thread, each on a connection of its own."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
from typing import Any

from behest_gateway.adapters.sql.booked import price_vectors, usage_of
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.queries import load
from behest_gateway.control.analytics import Period
from behest_gateway.control.exporting import AttemptRow, Place
from behest_gateway.control.focus import Charged, Charges, charges_of

_SQL = load("exports")


class SqlExports:
    """Implements `control.exporting.ExportReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attempts(self, period: Period, after: Place, limit: int) -> list[AttemptRow]:
        values = {**_span(period), "from": after.started_at, "after": after.attempt_id, "limit": limit}
        return await asyncio.to_thread(self._read, values, "attempts")

    async def next_start(self, period: Period) -> int | None:
        [(at,)] = await asyncio.to_thread(self._read, _span(period), "next_start")
        return at if at is None else int(at)

    async def charges(self, period: Period) -> list[Charges]:
        return await asyncio.to_thread(self._charges, period)

    def _charges(self, period: Period) -> list[Charges]:
        connection = self._database.reader()
        try:
            rows = map(_charged, connection.execute(_SQL["charged"], _span(period)))
            return charges_of(rows, price_vectors(connection), period.starts_at, period.ends_at)
        finally:
            connection.close()

    def _read(self, values: dict[str, Any], name: str) -> list[tuple[Any, ...]]:
        connection = self._database.reader()
        try:
            return list(connection.execute(_SQL[name], values))
        finally:
            connection.close()


def _span(period: Period) -> dict[str, Any]:
    return {"project": period.project_id, "from": period.starts_at, "to": period.ends_at}


def _charged(row: tuple[Any, ...]) -> Charged:
    (
        provider, model, user_ref, user_id, tier, api_key_id, byok, state, price_version, price_hash, *tokens,
        cost_nano,
    ) = row  # fmt: skip
    return Charged(
        provider=provider,
        model=model,
        user_ref=user_ref,
        user_id=user_id,
        tier=tier,
        api_key_id=api_key_id,
        byok=bool(byok),
        state=state,
        price_version=price_version,
        price_hash=price_hash,
        usage=usage_of(tokens),
        cost_nano=cost_nano,
    )
