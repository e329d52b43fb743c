"""Ledgers made for tests: rows of every kind, charged as the gateway charges them, written straight into the file."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import apsw
import msgspec
from behest_gateway.core.prices import Band, PriceVector, Rates, cost_nano, vector_hash
from behest_protocol.usage import Usage

APRIL = 1_775_001_600_000_000
"""2026-04-01T00:00:00Z."""

HOUR = 3_600_000_000
DAY = 24 * HOUR


def rates(input: int, output: int, **more: int) -> Rates:
    """Rates in pico-dollars per token, that is micro-dollars per million; what is not named costs what text does."""
    others = {"cached_read": input, "cache_write": input, "audio_input": input, "audio_output": output} | more
    return Rates(input=input * 1000, output=output * 1000, **{name: rate * 1000 for name, rate in others.items()})


def vector(model: str, *bands: tuple[int, Rates]) -> PriceVector:
    """A price of a model at OpenAI's."""
    made = tuple(Band(above=above, rates=each) for above, each in bands)
    return PriceVector(
        provider="openai", model=model, bands=made, version="table 1", hash=vector_hash("openai", model, made)
    )


PLAIN = vector("plain", (0, rates(150_001, 600_007, cached_read=75_003)))
BANDED = vector(
    "banded",
    (0, rates(1_250_000, 10_000_000, cached_read=125_000, cache_write=1_562_503, audio_input=32_000_000, per_call=7)),
    (200, rates(2_500_000, 15_000_000, cached_read=250_000, audio_output=64_000_000, per_call=11)),
)
FREE = vector("free", (0, rates(0, 0)))
PRICES = (PLAIN, BANDED, FREE)

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the ledger. A charge that is not given is what its state and price say."""

    price: PriceVector = PLAIN
    usage: Usage = Usage(input=10, output=2)
    state: str = "settled"
    attempt: int = 1
    started_at: int = APRIL
    tenant_id: str = "t"
    project_id: str = "p"
    user: str = "ada"
    api_key_id: str | None = None
    session_id: str | None = None
    thread_id: str | None = None
    tier: str | None = None
    byok: bool = False
    cost_nano: int | None = None

    @property
    def charged(self) -> int:
        """What it is charged, nano-dollars."""
        if self.cost_nano is not None:
            return self.cost_nano
        if self.state == "settled":
            return cost_nano(self.usage, self.price)
        return 0 if self.state in ("refused", "released") else 12_345

    @property
    def charged_tokens(self) -> int:
        """What it counts as in a budget of tokens."""
        if self.state in ("refused", "released"):
            return 0
        return self.usage.input + self.usage.output if self.state == "settled" else 99


def plant(connection: apsw.Connection, rows: Iterable[Row]) -> None:
    """Write rows, with their users and prices."""
    with connection:
        for price in PRICES:
            text = msgspec.json.encode(price.bands).decode()
            connection.execute(
                "insert or ignore into prices values (?, ?, ?, ?, ?, 0)",
                (price.hash, price.version, price.provider, price.model, text),
            )
        users: dict[tuple[str, str], int] = {}
        for row in rows:
            who = (row.project_id, row.user)
            if who not in users:
                connection.execute("insert or ignore into users (project_id, uid, created_at) values (?, ?, 0)", who)
                (users[who],) = next(connection.execute("select id from users where project_id = ? and uid = ?", who))
            _insert(connection, _columns(row, users[who]))


def _insert(connection: apsw.Connection, columns: dict[str, Any]) -> None:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    connection.execute(f"insert into ledger ({names}) values ({marks})", tuple(columns.values()))


def _columns(row: Row, user_ref: int) -> dict[str, Any]:
    usage = row.usage
    number = f"{next(_numbers):012x}"  # Ids in the order of planting, also for rows of the same moment.
    return {
        "attempt_id": f"0a-{number}", "request_id": f"0r-{number}", "attempt": row.attempt, "operation": "chat",
        "started_at": row.started_at, "settled_at": row.started_at + 1_500_001, "tenant_id": row.tenant_id,
        "project_id": row.project_id, "user_ref": user_ref, "api_key_id": row.api_key_id,
        "session_id": row.session_id, "thread_id": row.thread_id, "tier": row.tier, "byok": int(row.byok),
        "provider": "openai", "model_asked": "default", "model": row.price.model, "stream": 0,
        "input_tokens": usage.input, "cached_read_tokens": usage.cached_read, "cache_write_tokens": usage.cache_write,
        "output_tokens": usage.output, "reasoning_tokens": usage.reasoning, "audio_input_tokens": usage.audio_input,
        "audio_output_tokens": usage.audio_output, "calls": 1, "hold_nano": 50_000, "hold_tokens": 500,
        "charged_tokens": row.charged_tokens, "cost_nano": row.charged,
        "price_version": row.price.version, "price_hash": row.price.hash, "state": row.state, "status": 200,
        "latency_us": 1_500_000,
    }  # fmt: skip
