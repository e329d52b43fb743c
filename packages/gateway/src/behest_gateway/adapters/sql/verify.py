"""Checking the books in the file: one read of everything, beside a gateway that runs or without one."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import msgspec

from behest_gateway.adapters.sql import rollups
from behest_gateway.adapters.sql.booked import price_vectors, usage_of
from behest_gateway.adapters.sql.database import Database, DatabaseError
from behest_gateway.adapters.sql.queries import load
from behest_gateway.control.auditing import (
    Audit,
    BookedBudget,
    BookedRow,
    CounterSums,
    Difference,
    price_difference,
    row_difference,
)
from behest_gateway.core.budgets import Budget

_SQL = load("verify")


def verify(directory: Path) -> Audit:
    """Price every row again and add every counter and every rollup up again, as of one moment; nothing is written.

    Raises:
        DatabaseError: There is no data directory, or it cannot be read.
    """
    connection = open_to_read(directory)
    try:
        connection.execute("begin")  # One moment for everything, whatever a running gateway writes meanwhile.
        return _audit(connection)
    except (apsw.Error, msgspec.MsgspecError) as problem:
        raise DatabaseError(f"the ledger in {directory} cannot be read: {problem}") from None
    finally:
        connection.close()


def rebuild(directory: Path) -> int:
    """Make every sum by hour and by day again from the ledger; returns how many there are.

    Raises:
        DatabaseError: There is no data directory, or a gateway is using it.
    """
    open_to_read(directory).close()
    database = Database(directory)
    try:
        with database.transaction() as connection:
            return rollups.rebuild(connection)
    finally:
        database.close()


def open_to_read(directory: Path) -> apsw.Connection:
    """A connection to a data directory that never writes to it.

    Raises:
        DatabaseError: There is none.
    """
    path = directory / "behest.db"
    if not path.is_file():
        raise DatabaseError(f"there is no ledger in {directory}; name the gateway's data directory with --data-dir")
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5000)
    except apsw.Error as problem:
        raise DatabaseError(f"{path} cannot be opened: {problem}") from None
    return connection


def _audit(connection: apsw.Connection) -> Audit:
    differences: list[Difference] = []
    prices = price_vectors(connection)
    differences += [different for price in prices.values() if (different := price_difference(price)) is not None]
    sums = CounterSums(_budgets(connection))
    rows = estimated = total = 0
    for row in map(_row, connection.execute(_SQL["rows"])):
        rows += 1
        total += row.cost_nano
        estimated += row.state == "estimated"
        different = row_difference(row, prices)
        if different is not None:
            differences.append(different)
        sums.add(row)
    counters = {
        (budget, subject, window): spent for budget, subject, window, spent in connection.execute(_SQL["counters"])
    }
    differences += sums.differences(counters)
    sums_kept, wrong = rollups.differences(connection)
    differences += wrong
    return Audit(
        rows=rows,
        prices=len(prices),
        counters=len(counters),
        rollups=sums_kept,
        cost_nano=total,
        estimated=estimated,
        differences=differences,
    )


def _budgets(connection: apsw.Connection) -> list[BookedBudget]:
    return [
        BookedBudget(
            Budget(
                id=budget_id,
                tenant_id=tenant_id,
                project_id=project_id,
                scope=scope,
                subject=subject,
                unit=unit,
                window=window,
                hours=hours,
                timezone=timezone,
                limit=amount,
                created_at=created_at,
            ),
            user_ref,
            deleted_at,
        )
        for (
            budget_id, tenant_id, project_id, scope, user_ref, subject, unit, window, hours, timezone, amount,
            created_at, deleted_at,
        ) in connection.execute(_SQL["budgets"])
    ]  # fmt: skip


def _row(values: tuple[Any, ...]) -> BookedRow:
    (
        attempt_id, attempt, started_at, settled_at, project_id, user_ref, *tokens, hold_nano, cost_nano, price_hash,
        state, hold_tokens, charged_tokens, budgets, tenant_id, api_key_id, session_id, thread_id, model,
    ) = values  # fmt: skip
    return BookedRow(
        attempt_id=attempt_id,
        attempt=attempt,
        started_at=started_at,
        settled_at=settled_at,
        tenant_id=tenant_id,
        project_id=project_id,
        user_ref=user_ref,
        api_key_id=api_key_id,
        session_id=session_id,
        thread_id=thread_id,
        model=model,
        usage=usage_of(tokens),
        hold_nano=hold_nano,
        cost_nano=cost_nano,
        hold_tokens=hold_tokens,
        charged_tokens=charged_tokens,
        price_hash=price_hash,
        state=state,
        budgets=None if budgets is None else tuple(budgets.split(",")) if budgets else (),
    )
