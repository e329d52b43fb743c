"""What the fake provider charges: its own table, kept apart from any price library so that the two can disagree.

A price is USD per million tokens. It is stored as an integer of 10^-18 USD per token, so that a bill is a sum of
integers and is rounded once, up, to a nano-dollar per call.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from msgspec import Struct

_ATTO_PER_NANO = 1_000_000_000
_ATTO_PER_TOKEN_OF_USD_PER_MILLION = 1_000_000_000_000

DEFAULT_MODEL = "default"
"""The row that prices every model without a row of its own."""


class PriceError(ValueError):
    """A price is not a finite, non-negative amount of USD with at most 12 decimals."""


class Price(Struct, frozen=True, kw_only=True):
    """What one model costs, in 10^-18 USD per token."""

    input: int
    cached_input: int
    output: int

    @classmethod
    def from_usd(cls, *, input_mtok: str, cached_input_mtok: str | None = None, output_mtok: str) -> Price:
        """Read prices in USD per million tokens.

        Args:
            input_mtok: For prompt tokens.
            cached_input_mtok: For the cached part of the prompt; `input_mtok` when None.
            output_mtok: For completion tokens, reasoning among them.

        Raises:
            PriceError: A price is no amount of USD.

        >>> Price.from_usd(input_mtok="0.15", output_mtok="0.60").cost(prompt=9, completion=2)
        2550
        """
        return cls(
            input=_atto(input_mtok),
            cached_input=_atto(input_mtok if cached_input_mtok is None else cached_input_mtok),
            output=_atto(output_mtok),
        )

    def cost(self, *, prompt: int, completion: int, cached: int = 0) -> int:
        """Price one call in nano-USD, rounded up. `cached` is a part of `prompt`."""
        atto = (prompt - cached) * self.input + cached * self.cached_input + completion * self.output
        return -(-atto // _ATTO_PER_NANO)

    def to_usd(self) -> dict[str, str]:
        """Write the prices as USD per million tokens, the shape that `from_usd` reads."""
        return {
            "input_mtok": _usd(self.input),
            "cached_input_mtok": _usd(self.cached_input),
            "output_mtok": _usd(self.output),
        }


def _atto(usd_per_million: Any) -> int:
    try:
        amount = Decimal(str(usd_per_million)) * _ATTO_PER_TOKEN_OF_USD_PER_MILLION
    except InvalidOperation:
        raise PriceError(f"not a price in USD per million tokens: {usd_per_million!r}") from None
    if not amount.is_finite() or amount < 0 or amount != int(amount):
        raise PriceError(
            f"a price is a finite, non-negative number with at most 12 decimals, not {usd_per_million!r}"
        ) from None
    return int(amount)


def _usd(atto: int) -> str:
    return f"{Decimal(atto) / _ATTO_PER_TOKEN_OF_USD_PER_MILLION:f}"


def price_from_json(raw: object) -> Price:
    """Read `{"input_mtok": "0.15", "cached_input_mtok": "0.075", "output_mtok": "0.60"}`.

    Raises:
        PriceError: A field is missing, unknown, or no price.
    """
    if not isinstance(raw, Mapping):
        raise PriceError("a price is an object with input_mtok, output_mtok and, if cheaper, cached_input_mtok")
    fields = cast(Mapping[str, Any], raw)
    unknown = sorted(set(fields) - {"input_mtok", "cached_input_mtok", "output_mtok"})
    if unknown or "input_mtok" not in fields or "output_mtok" not in fields:
        raise PriceError("a price has the fields input_mtok, output_mtok and, if cheaper, cached_input_mtok; no others")
    return Price.from_usd(
        input_mtok=fields["input_mtok"],
        cached_input_mtok=fields.get("cached_input_mtok"),
        output_mtok=fields["output_mtok"],
    )


def default_prices() -> dict[str, Price]:
    """The table at start-up: model name to price."""
    mini = Price.from_usd(input_mtok="0.15", cached_input_mtok="0.075", output_mtok="0.60")
    return {
        "gpt-4o-mini": mini,
        "gpt-4o": Price.from_usd(input_mtok="2.50", cached_input_mtok="1.25", output_mtok="10"),
        "gpt-4.1-mini": Price.from_usd(input_mtok="0.40", cached_input_mtok="0.10", output_mtok="1.60"),
        DEFAULT_MODEL: mini,
    }
