"""What a call costs: integer arithmetic over a price vector that was compiled once.

A rate is an integer of femto-dollars (1e-15 USD) per token, so that every published price is exact: 0.01875 USD per
million tokens is 18,750,000. A cost is summed in femto-dollars and rounded up to a nano-dollar once.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec
from behest_protocol.usage import Usage
from msgspec import UNSET, Struct, UnsetType

FEMTO_PER_NANO = 1_000_000


class Rates(Struct, frozen=True, kw_only=True):
    """Femto-dollars per token, by what the token is; `per_call` per call.

    Attributes:
        cached_audio: For audio that was read from the cache; left out where it costs what other cached tokens cost.
    """

    input: int
    output: int
    cached_read: int
    cache_write: int
    audio_input: int
    audio_output: int
    per_call: int = 0
    cached_audio: int | UnsetType = UNSET

    @property
    def cached_audio_read(self) -> int:
        """For audio that was read from the cache, whether or not it has a price of its own."""
        return self.cached_read if self.cached_audio is UNSET else self.cached_audio

    @property
    def cache_write_audio(self) -> int:
        """For audio that was written to the cache: no provider names it, so the dearer of the two."""
        return max(self.cache_write, self.audio_input)


class Band(Struct, frozen=True, kw_only=True):
    """Rates that hold for a call whose input is longer than `above` tokens; they then hold for all of its tokens."""

    above: int
    rates: Rates


class PriceVector(Struct, frozen=True, kw_only=True):
    """The price of one model at one time, and where it came from.

    Attributes:
        bands: In ascending order of `above`; the first is for 0.
        version: The price table, such as `genai-prices 0.2.3`.
        hash: SHA-256 over provider, model and bands, in hex.
        most: The dearest rates over all bands, of input, output and the call; worked out from them.
    """

    provider: str
    model: str
    bands: tuple[Band, ...]
    version: str
    hash: str
    most: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        rates = [band.rates for band in self.bands]
        into = max([max(each.input, each.cached_read, each.cache_write) for each in rates])
        most = (into, max([each.output for each in rates]), max([each.per_call for each in rates]))
        msgspec.structs.force_setattr(self, "most", most)

    def band_for(self, input_tokens: int) -> Band:
        """The band of a call with that many input tokens."""
        chosen = self.bands[0]
        for band in self.bands[1:]:
            if input_tokens <= band.above:
                break
            chosen = band
        return chosen

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of a call with that many input tokens."""
        return self.band_for(input_tokens).rates

    @property
    def dearest_input(self) -> int:
        """The most that a token of text can cost on its way in, femto-dollars."""
        return self.most[0]

    @property
    def dearest_output(self) -> int:
        """The most that a token of text can cost on its way out, femto-dollars."""
        return self.most[1]

    @property
    def dearest_call(self) -> int:
        """The most that the call itself can cost, femto-dollars."""
        return self.most[2]


def vector_hash(provider: str, model: str, bands: tuple[Band, ...]) -> str:
    """The hash that a price vector is kept under."""
    text = msgspec.json.encode([provider, model, [msgspec.structs.astuple(band) for band in bands]])
    return hashlib.sha256(text).hexdigest()


def nano_from_femto(femto: int) -> int:
    """Round femto-dollars up to nano-dollars.

    >>> nano_from_femto(1), nano_from_femto(2_000_000)
    (1, 2)
    """
    return -(-femto // FEMTO_PER_NANO)


class Parts(Struct, frozen=True, kw_only=True):
    """A call's tokens, each in exactly one part."""

    text: int
    cached_text: int
    cached_audio: int
    written_text: int
    written_audio: int
    audio: int
    text_out: int
    audio_out: int


def parts_of(usage: Usage) -> Parts:
    """Divide a call's tokens, so that none is counted twice.

    A provider says how many tokens were cached and how many were audio, and not how many were both: as few as its
    counts allow. That is never too cheap, since a cached token of audio saves at least what one of text does.
    """
    both = max(0, usage.cached_read + usage.cache_write + usage.audio_input - usage.input)
    cached_audio = min(both, usage.cached_read)
    written_audio = both - cached_audio
    return Parts(
        text=max(0, usage.input - usage.cached_read - usage.cache_write - usage.audio_input),
        cached_text=usage.cached_read - cached_audio,
        cached_audio=cached_audio,
        written_text=usage.cache_write - written_audio,
        written_audio=written_audio,
        audio=usage.audio_input - both,
        text_out=usage.output - usage.audio_output,
        audio_out=usage.audio_output,
    )


def cost_nano(usage: Usage, price: PriceVector) -> int:
    """Price a call's usage, in nano-dollars, rounded up once. Each token is billed once, at the rate of what it is."""
    rates, parts = price.rates_for(usage.input), parts_of(usage)
    femto = (
        parts.text * rates.input
        + parts.cached_text * rates.cached_read
        + parts.cached_audio * rates.cached_audio_read
        + parts.written_text * rates.cache_write
        + parts.written_audio * rates.cache_write_audio
        + parts.audio * rates.audio_input
        + parts.text_out * rates.output
        + parts.audio_out * rates.audio_output
        + rates.per_call
    )
    return nano_from_femto(femto)


class PriceBook(Protocol):
    """Where prices come from. A look-up does no I/O."""

    def price(self, provider: str, model: str) -> PriceVector | None:
        """The price of a model now, or None when none is known."""
        ...

    def models(self, provider: str) -> tuple[str, ...]:
        """Every model of a provider whose price is known."""
        ...
