"""What every reader of the whole ledger reads alike: the price vectors, and a row's tokens."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec
from behest_protocol.usage import Usage

from behest_gateway.adapters.sql.queries import load
from behest_gateway.core.prices import Band, PriceVector

_SQL = load("booked")
_bands = msgspec.json.Decoder(tuple[Band, ...])


def price_vectors(connection: apsw.Connection) -> dict[str, PriceVector]:
    """Every price vector that was ever charged by, by the hash that it is kept under."""
    return {
        price_hash: PriceVector(
            provider=provider, model=model, bands=_bands.decode(vector), version=version, hash=price_hash
        )
        for price_hash, version, provider, model, vector in connection.execute(_SQL["prices"])
    }


def usage_of(columns: Sequence[int]) -> Usage:
    """A row's tokens, from its columns in the order of `Usage`."""
    into, out, cached_read, cache_write, reasoning, audio_in, audio_out = columns
    return Usage(
        input=into,
        output=out,
        cached_read=cached_read,
        cache_write=cache_write,
        reasoning=reasoning,
        audio_input=audio_in,
        audio_output=audio_out,
    )
