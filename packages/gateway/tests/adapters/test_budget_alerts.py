"""A budget speaks up at its thresholds: once in a window, in the transaction of what made it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.core.budgets import Amounts, Budget
from behest_gateway.core.events import FIELDS
from behest_gateway.core.exchange import Hold
from behest_gateway.stages.admit.ports import Exhausted
from msgspec import json

from .booking import HOUR, Time, ask_of, entry_of, outcome_of


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database, time: Time) -> SqlLedger:
    return SqlLedger(database, time)


def _budget(**more: Any) -> Budget:
    return Budget(
        **{"id": "b", "tenant_id": "t", "project_id": "p", "scope": "project", "window": "day", "limit": 100, **more}
    )


async def _spend(
    ledger: SqlLedger, time: Time, nano: int, *budgets: Budget, user: str = "ada", session: str = "s"
) -> bool:
    """A call that costs so much; False when it was refused."""
    call = entry_of(user, time, session_id=session)
    hold = await ledger.reserve(call, ask_of(nano), budgets)
    if isinstance(hold, Exhausted):
        await asyncio.sleep(0)
        return False
    assert isinstance(hold, Hold)
    await ledger.settle(call, hold, outcome_of(nano, charged=Amounts(nano, nano + 1, 1)))
    return True


def _told(database: Database) -> list[dict[str, str]]:
    rows = database.connection.execute("select type, tenant_id, project_id, fields from events order by seq")
    return [
        {"type": kind, "of": f"{tenant}/{project}", **json.decode(fields)} for kind, tenant, project, fields in rows
    ]


def _short(database: Database) -> list[tuple[str, str, str]]:
    return [(event["type"], event["percent"], event["used"]) for event in _told(database)]


async def test_each_threshold_is_told_once_and_the_first_refusal_is_the_last_of_them(
    ledger: SqlLedger, database: Database, time: Time
) -> None:
    budget = _budget(limit=100, unit="tokens")
    for nano in (30, 18, 20, 9, 1):
        assert await _spend(ledger, time, nano, budget)
    assert not await _spend(ledger, time, 30, budget)
    assert not await _spend(ledger, time, 30, budget)

    assert _short(database) == [
        ("budget_alert", "50", "50"), ("budget_alert", "80", "81"), ("budget_exceeded", "100", "83"),
    ]  # fmt: skip
    [event, *_] = _told(database)
    assert event == {
        "type": "budget_alert", "of": "t/p", "budget_id": "b", "scope": "project", "unit": "tokens", "limit": "100",
        "used": "50", "percent": "50", "window": "day", "mode": "enforce", "resets_at": event["resets_at"],
    }  # fmt: skip
    assert set(FIELDS["budget_alert"]) <= event.keys()


async def test_one_call_may_pass_several_thresholds(ledger: SqlLedger, database: Database, time: Time) -> None:
    await _spend(ledger, time, 100, _budget())

    assert [percent for _, percent, _ in _short(database)] == ["50", "80", "100"]


async def test_a_restart_does_not_tell_again_and_a_new_window_does(
    ledger: SqlLedger, database: Database, time: Time
) -> None:
    await _spend(ledger, time, 60, _budget())
    again = SqlLedger(database, time)
    raised = _budget(limit=200)
    await _spend(again, time, 50, raised)
    assert len(_told(database)) == 1

    time.us += 24 * HOUR
    await _spend(again, time, 60, _budget())

    assert [percent for _, percent, _ in _short(database)] == ["50", "50"]


async def test_a_wallet_tells_again_once_it_was_topped_up(ledger: SqlLedger, database: Database, time: Time) -> None:
    wallet = _budget(window="lifetime", limit=100, thresholds=(80,))
    for nano in (80, 5):
        assert await _spend(ledger, time, nano, wallet)
    assert await _spend(ledger, time, 80, _budget(window="lifetime", limit=200, thresholds=(80,)))

    assert _short(database) == [("budget_alert", "80", "0.00000008"), ("budget_alert", "80", "0.000000165")]


async def test_a_rolling_budget_tells_at_most_once_in_its_length(
    ledger: SqlLedger, database: Database, time: Time
) -> None:
    budget = _budget(window="rolling", hours=1, thresholds=(50,))
    time.us = time.us // HOUR * HOUR
    for _ in range(3):
        assert await _spend(ledger, time, 60, budget)
        time.us += HOUR + HOUR // 60 + 1

    assert len(_told(database)) == 3
    assert {event["window"] for event in _told(database)} == {"1h"}


async def test_each_user_has_alerts_of_their_own(ledger: SqlLedger, database: Database, time: Time) -> None:
    each, session = (
        _budget(scope="each_user", thresholds=(80,)),
        _budget(id="s", scope="each_session", thresholds=(90,)),
    )
    for user in ("ada", "bob", "ada"):
        assert await _spend(ledger, time, 45, each, session, user=user, session="s1")

    assert [(event["budget_id"], event["user_id"], event.get("session_id")) for event in _told(database)] == [
        ("b", "ada", None), ("s", "ada", "s1"),
    ]  # fmt: skip


async def test_a_budget_in_shadow_mode_says_what_it_would_have_refused(
    ledger: SqlLedger, database: Database, time: Time
) -> None:
    shadow = _budget(mode="shadow", scope="model", subject="m", thresholds=(100,))
    assert [await _spend(ledger, time, 60, shadow) for _ in range(3)] == [True] * 3

    [event] = _told(database)
    assert (event["type"], event["mode"], event["model"], event["used"]) == (
        "budget_exceeded",
        "shadow",
        "m",
        "0.00000006",
    )
    assert ledger.refused(shadow) == 2


async def test_a_budget_without_thresholds_is_silent(ledger: SqlLedger, database: Database, time: Time) -> None:
    quiet = _budget(thresholds=())
    await _spend(ledger, time, 100, quiet)
    assert not await _spend(ledger, time, 1, quiet)

    assert _told(database) == []


async def test_a_budget_of_a_tenant_tells_the_tenant(ledger: SqlLedger, database: Database, time: Time) -> None:
    await _spend(ledger, time, 60, _budget(project_id=None, scope="tenant"))

    assert [event["of"] for event in _told(database)] == ["t/None"]


async def test_what_is_not_written_is_told_later(ledger: SqlLedger, database: Database, time: Time) -> None:
    pages = next(database.connection.execute("pragma page_count"))[0]
    budget = _budget(limit=10_000, thresholds=(1,))
    big = _budget(id="big", limit=10**9, thresholds=())
    database.connection.execute(f"pragma max_page_count = {pages}")
    while ledger.healthy:
        await _spend(ledger, time, 200, budget, big, session="x" * 200)
    database.connection.execute("pragma max_page_count = 1000000")
    async with asyncio.timeout(5):
        while not ledger.healthy:
            await asyncio.sleep(0.05)

    assert [percent for _, percent, _ in _short(database)] == ["1"]
