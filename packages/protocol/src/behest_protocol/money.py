"""Money is an integer number of nano-dollars (1 USD = 1,000,000,000), everywhere but inside a price calculation.

Floats never enter a sum. JSON shows dollars as a number for people and charts; the ledger keeps the integer.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""

MAX_LIMIT_NANO = 9_000_000 * NANO
"""The largest hard budget per window. A Redis counter is a double and exact only to 2^53."""


def nano_from_usd(usd: int | float | str | Decimal) -> int:
    """Turn dollars into nano-dollars, rounded up.

    A float is read by its shortest decimal text, so that `0.1` means ten cents.

    Args:
        usd: An amount in dollars.

    Raises:
        ValueError: The amount is not a finite, non-negative number.

    >>> nano_from_usd("0.25")
    250000000
    >>> nano_from_usd(0.1)
    100000000
    """
    if isinstance(usd, bool):
        raise ValueError("an amount in USD is a number, not a boolean")
    try:
        amount = Decimal(str(usd))
    except InvalidOperation:
        raise ValueError(f"not an amount in USD: {usd!r}") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"an amount in USD is finite and not negative: {usd!r}")
    return int((amount * NANO).to_integral_value(rounding=ROUND_CEILING))


def usd_from_nano(nano: int) -> float:
    """Show nano-dollars as a JSON number of dollars.

    >>> usd_from_nano(1_500_000)
    0.0015
    """
    return nano / NANO


def usd_text(nano: int) -> str:
    """Write nano-dollars as an exact decimal text without an exponent, as headers carry it.

    >>> usd_text(1_500)
    '0.0000015'
    >>> usd_text(2_000_000_000)
    '2'
    """
    sign = "-" if nano < 0 else ""
    whole, part = divmod(abs(nano), NANO)
    return f"{sign}{whole}.{part:09d}".rstrip("0").rstrip(".")
