"""What holding and settling costs by itself, without HTTP: `python -m benchmarks.holding SECONDS`.

Thirty-two tasks take a hold in the budget of one of a thousand users, and settle it, against the ledger in SQLite; and
then in five nested budgets, of a tenant, a project, a user, a session and a model.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.core.budgets import Amounts, Budget
from behest_gateway.core.clock import SystemClock
from behest_gateway.core.exchange import Entry, Hold, Outcome
from behest_gateway.core.ids import new_id
from behest_gateway.core.prices import Band, PriceVector, Rates
from behest_gateway.stages.admit.ports import Ask
from behest_protocol.usage import Usage

TASKS = 32
_USERS = 1000
_RATES = Rates(
    input=150_000_000, output=600_000_000, cached_read=75_000_000, cache_write=150_000_000, audio_input=150_000_000,
    audio_output=600_000_000,
)  # fmt: skip
_PRICE = PriceVector(
    provider="openai", model="gpt-4o-mini", bands=(Band(above=0, rates=_RATES),), version="bench", hash="0" * 64
)
_ASK = Ask(
    fixed_femto=1800 * 150_000_000,
    token_femto=600_000_000,
    input_tokens=1800,
    choices=1,
    max_tokens=256,
    min_tokens=16,
    seconds=600,
    price=_PRICE,
)
_PROJECT = new_id()
_BUDGET = Budget(id=new_id(), project_id=_PROJECT, scope="each_user", window="day", limit=10**13)
_TENANT = new_id()
_NESTED = (
    Budget(id=new_id(), project_id=None, scope="tenant", unit="tokens", window="month", limit=10**13),
    Budget(id=new_id(), project_id=_PROJECT, scope="project", window="month", limit=10**13),
    _BUDGET,
    Budget(id=new_id(), project_id=_PROJECT, scope="each_session", window="rolling", hours=5, limit=10**13),
    Budget(id=new_id(), project_id=_PROJECT, scope="model", subject="gpt-4o-mini", window="lifetime", limit=10**13),
)


async def _pairs(
    ledger: SqlLedger, clock: SystemClock, seconds: float, budgets: tuple[Budget, ...]
) -> tuple[int, float]:
    end = time.perf_counter() + seconds
    made = 0

    async def one_after_another(first: int) -> None:
        nonlocal made
        user = first
        while time.perf_counter() < end:
            user = (user + TASKS) % _USERS
            entry = Entry(
                attempt_id=new_id(),
                request_id=new_id(),
                attempt=1,
                operation="chat",
                started_at=clock.now_us(),
                tenant_id=_TENANT,
                project_id=_PROJECT,
                user_id=f"user_{user:04d}",
                api_key_id=None,
                session_id=f"s_{user:04d}" if len(budgets) > 1 else None,
                thread_id=None,
                tier=None,
                provider="openai",
                model_asked="gpt-4o-mini",
                model="gpt-4o-mini",
                stream=False,
                price_version="bench",
                price_hash=_PRICE.hash,
            )
            hold = await ledger.reserve(entry, _ASK, budgets)
            if not isinstance(hold, Hold):
                raise RuntimeError("a large budget is exhausted")
            outcome = Outcome(
                state="settled", charged=Amounts(79_500, 440, 1), usage=Usage(input=410, output=30), status=200,
                error_code=None,                finish_reason="stop", latency_us=1000, first_byte_us=900,
            )  # fmt: skip
            await ledger.settle(entry, hold, outcome)
            made += 1

    before = time.process_time()
    await asyncio.gather(*(one_after_another(number) for number in range(TASKS)))
    return made, time.process_time() - before


async def _measure(seconds: float) -> dict[str, float]:
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder))
        try:
            ledger = SqlLedger(database, clock)
            await _pairs(ledger, clock, min(0.5, seconds), (_BUDGET,))
            made, cpu = await _pairs(ledger, clock, seconds, (_BUDGET,))
            nested, cpu_nested = await _pairs(ledger, clock, seconds, _NESTED)
            ledger.close()
        finally:
            database.close()
    return {"pairs": made, "microseconds": cpu / made * 1e6, "microseconds_nested": cpu_nested / nested * 1e6}


def main() -> int:
    """Print how many pairs were made, and the CPU time of each."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    print(json.dumps(uvloop.run(_measure(seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
