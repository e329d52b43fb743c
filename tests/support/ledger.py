"""The gateway's file, read from outside while the gateway writes it."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

_ROWS = """
select l.attempt_id, l.request_id, l.attempt, u.uid, l.state, l.status, l.error_code, l.cost_nano, l.hold_nano,
       l.model, l.stream, l.input_tokens, l.output_tokens, l.finish_reason, l.session_id, l.tier, l.price_hash,
       l.charged_tokens, l.would_refuse
from ledger l left join users u on u.id = l.user_ref
where l.project_id = ? order by l.started_at, l.attempt_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One row. `attempt` 0 is a request that was refused before any attempt; money is in nano-dollars."""

    attempt_id: str
    request_id: str
    attempt: int
    user_id: str | None
    state: str
    status: int
    error_code: str | None
    cost_nano: int
    hold_nano: int
    model: str
    stream: bool
    input_tokens: int
    output_tokens: int
    finish_reason: str | None
    session_id: str | None
    tier: str | None
    price_hash: str
    charged_tokens: int
    would_refuse: str | None


class Ledger:
    """The ledger and the open holds of a data directory. Each look opens the file anew and changes nothing."""

    def __init__(self, data_dir: Path) -> None:
        self._path = str(data_dir / "behest.db")

    @contextmanager
    def _open(self) -> Generator[apsw.Connection]:
        connection = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5000)
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, project_id: str) -> list[LedgerRow]:
        """Everything written about a project, oldest first."""
        with self._open() as connection:
            return [
                LedgerRow(
                    attempt_id=row[0],
                    request_id=row[1],
                    attempt=row[2],
                    user_id=row[3],
                    state=row[4],
                    status=row[5],
                    error_code=row[6],
                    cost_nano=row[7],
                    hold_nano=row[8],
                    model=row[9],
                    stream=bool(row[10]),
                    input_tokens=row[11],
                    output_tokens=row[12],
                    finish_reason=row[13],
                    session_id=row[14],
                    tier=row[15],
                    price_hash=row[16],
                    charged_tokens=row[17],
                    would_refuse=row[18],
                )
                for row in connection.execute(_ROWS, (project_id,))
            ]

    def holds(self, project_id: str) -> dict[str, int]:
        """What is held for a project now, in nano-dollars by attempt."""
        with self._open() as connection:
            held = list(connection.execute("select attempt_id, amount_nano, entry from holds"))
        return {
            attempt_id: amount
            for attempt_id, amount, entry in held
            if json.loads(entry)["entry"]["project_id"] == project_id
        }

    def counted(self, budget_id: str) -> int:
        """What the counters of a budget say is spent, over all its users and windows, in nano-dollars."""
        with self._open() as connection:
            query = "select coalesce(sum(spent), 0) from counters where budget_id = ?"
            total: int = next(iter(connection.execute(query, (budget_id,))))[0]
            return total
