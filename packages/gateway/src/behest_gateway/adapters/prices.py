"""Prices from the `genai-prices` table, compiled to integers, with an operator's own prices on top.

The library looks a price up in about 80 us, so a compiled vector is kept for the minute in which it was made: prices
that change with the hour or the day are then never more than a minute stale.
"""

from __future__ import annotations

import importlib.metadata
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from behest_gateway.core.clock import Clock
from behest_gateway.core.prices import Band, PriceVector, Rates, vector_hash

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

_FEMTO_PER_MTOK = 1_000_000_000
"""Femto-dollars per token for a price of 1 USD per million tokens."""

_KEYS = (
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "input_audio_mtok",
    "output_audio_mtok",
    "cache_audio_read_mtok",
    "requests_kcount",
)

_MINUTE_US = 60_000_000
_MAX_KEPT = 10_000


class PriceFileError(Exception):
    """The operator's price file cannot be used; the message says what is wrong with it."""


class _Own(msgspec.Struct, forbid_unknown_fields=True):
    input_mtok: Decimal
    output_mtok: Decimal
    cached_input_mtok: Decimal | None = None


def _femto(usd_per_mtok: Decimal) -> int:
    value = usd_per_mtok * _FEMTO_PER_MTOK
    whole = int(value)
    # A price finer than a femto-dollar per token does not exist; rounding up keeps the bound a bound all the same.
    return whole if whole == value else whole + 1


def _vector(provider: str, model: str, bands: tuple[Band, ...], version: str) -> PriceVector:
    return PriceVector(
        provider=provider, model=model, bands=bands, version=version, hash=vector_hash(provider, model, bands)
    )


def read_overrides(path: Path | None) -> dict[str, Rates]:
    """Read an operator's price file: a JSON object of models, each with USD per million tokens.

    Raises:
        PriceFileError: It is missing or malformed.
    """
    if path is None:
        return {}
    try:
        own = msgspec.json.decode(path.read_bytes(), type=dict[str, _Own], strict=False)
    except OSError as problem:
        raise PriceFileError(f"cannot read the price file {path}: {problem.strerror}") from None
    except msgspec.DecodeError as problem:
        raise PriceFileError(f"the price file {path} is malformed: {problem}") from None
    found: dict[str, Rates] = {}
    for model, price in own.items():
        amounts = (price.input_mtok, price.output_mtok, price.cached_input_mtok or Decimal(0))
        if not all(amount.is_finite() and amount >= 0 for amount in amounts):
            raise PriceFileError(f"the price file {path} has a price for {model!r} that is not a positive amount")
        into, out = _femto(price.input_mtok), _femto(price.output_mtok)
        cached = into if price.cached_input_mtok is None else _femto(price.cached_input_mtok)
        found[model] = Rates(
            input=into, output=out, cached_read=cached, cache_write=into, audio_input=into, audio_output=out
        )
    return found


def _at(price: Any, above: int) -> Decimal | None:
    """A price, plain or in tiers, for inputs longer than `above` tokens."""
    if price is None or isinstance(price, Decimal):
        return price
    chosen: Decimal = price.base
    for tier in price.tiers:
        if tier.start > above:
            break
        chosen = tier.price
    return chosen


def _cached_audio(at: dict[str, Decimal | None]) -> int | UnsetType:
    """What cached audio costs where that is not what other cached tokens cost: without any price for what is cached,
    it is audio as any other."""
    own = at["cache_audio_read_mtok"]
    if own is None and at["cache_read_mtok"] is None:
        own = at["input_audio_mtok"]
    return UNSET if own is None else _femto(own)


def bands_of(price: ModelPrice) -> tuple[Band, ...] | None:
    """Compile a price of the library, or None when it says nothing of input or output tokens.

    The library's tiers apply to the whole call once its input is longer than where they start, as providers bill.
    """
    named: dict[str, Any] = {key: getattr(price, key, None) for key in _KEYS}
    if named["input_mtok"] is None or named["output_mtok"] is None:
        return None
    starts = {0} | {tier.start for value in named.values() if hasattr(value, "tiers") for tier in value.tiers}
    bands: list[Band] = []
    for above in sorted(starts):
        at = {key: _at(value, above) for key, value in named.items()}
        into, out = at["input_mtok"] or Decimal(0), at["output_mtok"] or Decimal(0)

        def rate(key: str, otherwise: Decimal, at: dict[str, Decimal | None] = at) -> int:
            value = at[key]
            return _femto(otherwise if value is None else value)

        bands.append(
            Band(
                above=above,
                rates=Rates(
                    input=_femto(into),
                    output=_femto(out),
                    cached_read=rate("cache_read_mtok", into),
                    cache_write=rate("cache_write_mtok", into),
                    audio_input=rate("input_audio_mtok", into),
                    audio_output=rate("output_audio_mtok", out),
                    per_call=_femto((at["requests_kcount"] or Decimal(0)) * 1000),
                    cached_audio=_cached_audio(at),
                ),
            )
        )
    return tuple(bands)


class PriceTable:
    """Compiled prices; the library's data is loaded with the first look-up.

    Args:
        overrides: An operator's own prices by model; they come first.
    """

    def __init__(self, clock: Clock, overrides: dict[str, Rates]) -> None:
        self._clock = clock
        self._own = {model: (Band(above=0, rates=rates),) for model, rates in overrides.items()}
        self._kept: dict[tuple[str, str], tuple[int, PriceVector | None]] = {}
        self._version = f"genai-prices {importlib.metadata.version('genai-prices')}"

    def price(self, provider: str, model: str) -> PriceVector | None:
        minute = self._clock.now_us() // _MINUTE_US
        kept = self._kept.get((provider, model))
        if kept is not None and kept[0] == minute:
            return kept[1]
        found = self._look_up(provider, model, minute)
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        self._kept[provider, model] = (minute, found)
        return found

    def _look_up(self, provider: str, model: str, minute: int) -> PriceVector | None:
        own = self._own.get(model)
        if own is not None:
            return _vector(provider, model, own, "overrides")
        from genai_prices.data_snapshot import get_snapshot

        try:
            _, info = get_snapshot().find_provider_model(model, None, provider, None)
        except LookupError:
            return None
        bands = bands_of(info.get_prices(datetime.fromtimestamp(minute * 60, UTC)))
        return None if bands is None else _vector(provider, model, bands, self._version)

    def models(self, provider: str) -> tuple[str, ...]:
        from genai_prices.data_snapshot import get_snapshot

        known = [m.id for p in get_snapshot().providers if p.id == provider for m in p.models]
        return tuple(sorted({*self._own, *known}))
