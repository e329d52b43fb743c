"""What was used, as a file: each attempt a line, or each meter of each day a charge record of FOCUS 1.4.

A file is made in parts, each read as of its own moment, so that its size does not matter and no read stays open while
somebody's network is slow. A row that is settled after its part was read is not in the file; a span that is over, with
nothing under way, is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Literal, Protocol

from behest_protocol.money import usd_text
from msgspec import Struct

from behest_gateway.control.access import Actor
from behest_gateway.control.analytics import Asked, Period, period_of
from behest_gateway.control.cells import csv_bytes, safe
from behest_gateway.control.focus import FOCUS_COLUMNS, Charges, Owner, focus_rows
from behest_gateway.control.projects import Projects
from behest_gateway.control.tenants import Tenants
from behest_gateway.control.usage import STEPS
from behest_gateway.core.clock import Clock

Format = Literal["csv", "focus"]

ROWS_IN_A_PART = 2_000
"""Some 25 ms of a thread's time, and half a megabyte."""

_Kind = Literal["text", "count", "time", "usd"]

ATTEMPT_COLUMNS: dict[str, _Kind] = {
    "attempt_id": "text", "request_id": "text", "attempt": "count", "operation": "text", "started_at": "time",
    "settled_at": "time", "tenant_id": "text", "project_id": "text", "user_id": "text", "api_key_id": "text",
    "session_id": "text", "thread_id": "text", "tier": "text", "byok": "count", "provider": "text",
    "model_asked": "text", "model": "text", "stream": "count", "input_tokens": "count", "cached_read_tokens": "count",
    "cache_write_tokens": "count", "output_tokens": "count", "reasoning_tokens": "count",
    "audio_input_tokens": "count", "audio_output_tokens": "count", "images": "count", "calls": "count",
    "hold_usd": "usd", "cost_usd": "usd", "currency": "text", "price_version": "text", "price_hash": "text",
    "state": "text", "status": "count", "error_code": "text", "finish_reason": "text", "latency_us": "count",
    "first_byte_us": "count", "corrects_id": "text", "hold_tokens": "count", "charged_tokens": "count",
    "budgets": "text", "would_refuse": "text", "guard": "text",
}  # fmt: skip
"""The ledger's columns in its order, with `user_id` for `user_ref` and dollars for nano-dollars."""

_ID, _STARTED = 0, list(ATTEMPT_COLUMNS).index("started_at")

AttemptRow = tuple[str | int | None, ...]
"""A row of the ledger, in the order of `ATTEMPT_COLUMNS`; times in microseconds since 1970, money in nano-dollars."""


class Place(Struct, frozen=True):
    """How far a file has come: the last row that is in it."""

    started_at: int
    attempt_id: str


class ExportReader(Protocol):
    """The ledger, in parts."""

    async def attempts(self, period: Period, after: Place, limit: int) -> list[AttemptRow]:
        """The next rows, by `started_at` and `attempt_id`."""
        ...

    async def next_start(self, period: Period) -> int | None:
        """When the first attempt of a period came, or None when there is none."""
        ...

    async def charges(self, period: Period) -> list[Charges]:
        """What was charged in a period, summed over what was charged alike."""
        ...


class Exports:
    """Makes the files, for whoever manages the project."""

    def __init__(self, reader: ExportReader, projects: Projects, tenants: Tenants, clock: Clock) -> None:
        self._reader = reader
        self._projects = projects
        self._tenants = tenants
        self._clock = clock

    def open(self, actor: Actor, project_id: str, asked: Asked, form: Format) -> AsyncIterator[bytes]:
        """Check who asks for what, and give the file in parts.

        `csv` covers the span as it is asked for, `focus` the whole days of UTC that cover it.

        Raises:
            GatewayError: 404 for the project, 400 for a parameter.
        """
        project = self._projects.get(actor, project_id)
        unit = STEPS["day"] if form == "focus" else 1
        period = period_of(project.id, asked, unit, self._clock.now_us())
        if form == "csv":
            return self._attempts(period)
        owner = Owner(
            tenant_id=project.tenant_id,
            tenant_name=self._tenants.get(actor, project.tenant_id).name,
            project_id=project.id,
            project_name=project.name,
        )
        return self._focus(owner, period)

    async def _attempts(self, period: Period) -> AsyncIterator[bytes]:
        yield csv_bytes([tuple(ATTEMPT_COLUMNS)])
        after: Place | None = Place(period.starts_at, "")
        while after is not None:
            rows = await self._reader.attempts(period, after, ROWS_IN_A_PART)
            if rows:
                yield await asyncio.to_thread(attempts_csv, rows)
            after = None
            if len(rows) == ROWS_IN_A_PART:
                after = Place(int(rows[-1][_STARTED] or 0), str(rows[-1][_ID]))

    async def _focus(self, owner: Owner, period: Period) -> AsyncIterator[bytes]:
        yield csv_bytes([FOCUS_COLUMNS])
        step, at = STEPS["day"], await self._reader.next_start(period)
        while at is not None:
            day = Period(period.project_id, at // step * step, at // step * step + step)
            charges = await self._reader.charges(day)
            for first in range(0, len(charges), ROWS_IN_A_PART):
                yield await asyncio.to_thread(focus_csv, owner, charges[first : first + ROWS_IN_A_PART])
            at = await self._reader.next_start(Period(period.project_id, day.ends_at, period.ends_at))


def attempts_csv(rows: list[AttemptRow]) -> bytes:
    """Write attempts as lines of CSV."""
    kinds = tuple(ATTEMPT_COLUMNS.values())
    return csv_bytes([_cell(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in rows)


def focus_csv(owner: Owner, charges: list[Charges]) -> bytes:
    """Write charges as lines of CSV, in the order of `FOCUS_COLUMNS`."""
    rows = (row for each in charges for row in focus_rows(owner, each))
    return csv_bytes([row.get(column, "") for column in FOCUS_COLUMNS] for row in rows)


def _cell(kind: _Kind, value: str | int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return safe(value)
    if kind == "time":
        return f"{datetime.fromtimestamp(value // 1_000_000, UTC):%Y-%m-%dT%H:%M:%S}.{value % 1_000_000:06d}Z"
    return usd_text(value) if kind == "usd" else str(value)
