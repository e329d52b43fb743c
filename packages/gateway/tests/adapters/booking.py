"""Calls as the ledger gets them, and a clock that a test moves."""

from __future__ import annotations

from typing import Any

from behest_gateway.core.budgets import Amounts
from behest_gateway.core.exchange import Entry, Outcome
from behest_gateway.core.ids import new_id
from behest_gateway.core.prices import Band, PriceVector, Rates
from behest_gateway.stages.admit.ports import Ask
from behest_protocol.usage import Usage

DAY = 86_400_000_000
HOUR = DAY // 24
RATES = Rates(input=1, output=1, cached_read=1, cache_write=1, audio_input=1, audio_output=1)
PRICE = PriceVector(provider="openai", model="m", bands=(Band(above=0, rates=RATES),), version="v", hash="h")


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.us = 1_795_000_000_000_000

    def now_us(self) -> int:
        return self.us


def entry_of(user: str = "u", time: Time | None = None, **more: Any) -> Entry:
    """An attempt of a user of project `p`."""
    values: dict[str, Any] = {
        "attempt_id": new_id(), "request_id": "r", "attempt": 1, "operation": "chat",
        "started_at": (time or Time()).us, "tenant_id": "t", "project_id": "p", "user_id": user, "api_key_id": None,
        "session_id": "s", "thread_id": None, "tier": "free", "provider": "openai", "model_asked": "", "model": "m",
        "stream": False, "price_version": "v", "price_hash": "h",
    }  # fmt: skip
    return Entry(**{**values, **more})


def ask_of(nano: int, tokens: int = 0) -> Ask:
    """An ask for so much input, and tokens of output at a nano-dollar each."""
    return Ask(
        fixed_femto=nano * 1_000_000,
        token_femto=1_000_000 if tokens else 0,
        input_tokens=nano,
        choices=1,
        max_tokens=tokens or 1,
        min_tokens=1,
        seconds=60,
        price=PRICE,
    )


def outcome_of(cost: int, state: str = "settled", **more: Any) -> Outcome:
    """An attempt that cost so much, and used five tokens."""
    values: dict[str, Any] = {
        "state": state, "charged": Amounts(cost, 5 if cost else 0, int(state != "released")),
        "usage": Usage(input=3, output=2), "status": 200, "error_code": None, "finish_reason": "stop", "latency_us": 5,
        "first_byte_us": None,
    }  # fmt: skip
    return Outcome(**{**values, **more})
