"""How a budget is put into words: whom it limits, over which window, and its amounts in its unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from behest_cli import render

UNITS = ("usd", "tokens", "requests")

_EACH = {
    "project": "the project",
    "tenant": "the tenant",
    "each_user": "each user",
    "each_session": "each session",
    "each_thread": "each thread",
    "each_key": "each key",
}
_NAMED = {"user": "user_id", "key": "key_id", "model": "model"}


def unit_of(budget: Mapping[str, Any]) -> str:
    """The unit that a budget counts in, as the gateway shows it anywhere.

    >>> unit_of({"limit_usd": None, "limit_tokens": 50_000})
    'tokens'
    """
    return next((unit for unit in UNITS if budget.get(f"limit_{unit}") is not None), "usd")


def amount(unit: str, value: float | None) -> str | None:
    """An amount for people, without the name of its unit.

    >>> amount("usd", 5), amount("tokens", 50_000), amount("requests", None)
    ('$5.00', '50,000', None)
    """
    if value is None:
        return None
    return render.usd(value) if unit == "usd" else f"{value:,.0f}"


def limit(unit: str, value: float) -> str:
    """A limit for people, with its unit.

    >>> limit("usd", 5), limit("tokens", 50_000), limit("requests", 1)
    ('$5.00', '50,000 tokens', '1 request')
    """
    if unit == "usd":
        return render.usd(value)
    return f"{value:,.0f} {unit if value != 1 else unit.removesuffix('s')}"


def whom(budget: Mapping[str, Any]) -> str:
    """Whom a budget limits.

    >>> whom({"scope": "each_session"}), whom({"scope": "model", "model": "gpt-4o"}), whom({"scope": "user"})
    ('each session', 'model gpt-4o', 'this user')
    """
    scope = str(budget["scope"])
    if scope not in _NAMED:
        return _EACH.get(scope, scope)
    named = budget.get(_NAMED[scope])
    return f"{scope} {named}" if named else f"this {scope}"


def window(budget: Mapping[str, Any]) -> str:
    """The window of a budget.

    >>> window({"window": "day"}), window({"window": "rolling", "hours": 5})
    ('day', '5 h')
    """
    return f"{budget['hours']} h" if budget["window"] == "rolling" else str(budget["window"])
