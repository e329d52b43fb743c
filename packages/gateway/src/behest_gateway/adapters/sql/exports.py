"""Reading the ledger in parts, for files. Queries run in a thread, each on a connection of its own."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.queries import load
from behest_gateway.control.analytics import Period
from behest_gateway.control.exporting import AttemptRow, Place
from behest_gateway.control.focus import Charges, Quantities
from behest_gateway.core.prices import Band, Rates

_SQL = load("exports")
_bands = msgspec.json.Decoder(tuple[Band, ...])


class SqlExports:
    """Implements `control.exporting.ExportReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attempts(self, period: Period, after: Place, limit: int) -> list[AttemptRow]:
        values = {**_span(period), "from": after.started_at, "after": after.attempt_id, "limit": limit}
        (rows,) = await asyncio.to_thread(self._read, values, "attempts")
        return rows

    async def next_start(self, period: Period) -> int | None:
        ((row,),) = await asyncio.to_thread(self._read, _span(period), "next_start")
        at: int | None = row[0]
        return at

    async def charges(self, period: Period) -> list[Charges]:
        return await asyncio.to_thread(self._charges, period)

    def _charges(self, period: Period) -> list[Charges]:
        rows, vectors = self._read(_span(period), "charges", "prices")
        named = {row[8] for row in rows}
        rates = {
            (price_hash, band.above): band.rates
            for price_hash, vector in vectors
            if price_hash in named
            for band in _bands.decode(vector)
        }
        return [_charged(period, row, rates) for row in rows]

    def _read(self, values: dict[str, Any], *names: str) -> list[list[tuple[Any, ...]]]:
        connection = self._database.reader()
        try:
            return [list(connection.execute(_SQL[name], values)) for name in names]
        finally:
            connection.close()


def _span(period: Period) -> dict[str, Any]:
    return {"project": period.project_id, "from": period.starts_at, "to": period.ends_at}


def _charged(period: Period, row: tuple[Any, ...], rates: dict[tuple[str, int], Rates]) -> Charges:
    (
        provider, model, user_id, tier, api_key_id, byok, state, price_version, price_hash, above, text_input,
        cached_read, cache_write, audio_input,
        cached_audio, written_audio, text_output, audio_output, requests, cost_nano,
    ) = row  # fmt: skip
    return Charges(
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        provider=provider,
        model=model,
        user_id=user_id,
        tier=tier,
        api_key_id=api_key_id,
        byok=bool(byok),
        state=state,
        price_version=price_version,
        price_hash=price_hash,
        above=above,
        rates=rates.get((price_hash, above)),
        used=Quantities(
            text_input=text_input,
            cached_read=cached_read,
            cache_write=cache_write,
            audio_input=audio_input,
            cached_audio=cached_audio,
            written_audio=written_audio,
            text_output=text_output,
            audio_output=audio_output,
            requests=requests,
        ),
        cost_nano=cost_nano,
    )
