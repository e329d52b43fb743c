"""What questions about a large ledger cost: `nox -s bench -- --analytics [--rows N] [--write-docs]`.

A ledger of a million rows is made: 30 days, 1,000 users, 20,000 sessions, four models, three tiers. Its sums are made
by the migration's own statements, and checked against the ledger. Then each question of analytics is asked many times
through the adapter, its thread and its new connection included.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import apsw
from behest_gateway.adapters.sql.analytics import SqlAnalytics
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.rollups import DAY, differences, rebuild
from behest_gateway.adapters.sql.usage import SqlUsage
from behest_gateway.control.analytics import Period
from behest_gateway.control.usage import STEPS, Span

from benchmarks import machine

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "performance.md"
MARKS = ("<!-- Analytics, from here. -->", "<!-- Analytics, to here. -->")
DAYS, USERS, SESSIONS = 30, 1_000, 20_000
AIM_MS = 50.0
START = 1_790_000_000_000_000 // DAY * DAY
PERIOD = Period("p", START, START + DAYS * DAY)
_MODELS = (("gpt-4o-mini", 6), ("gpt-4o", 2), ("gpt-4.1-nano", 1), ("o4-mini", 1))
_INSERT = """
insert into ledger (
  attempt_id, request_id, attempt, operation, started_at, settled_at, tenant_id, project_id, user_ref, session_id,
  thread_id, tier, provider, model_asked, model, stream, input_tokens, cached_read_tokens, output_tokens, calls,
  hold_nano, cost_nano, price_version, price_hash, state, status, latency_us
) values (
  ?1, ?1, 1, 'chat', ?2, ?2, 't', 'p', ?3, ?4, replace(?4, 'session', 'thread'), ?5, 'openai', '', ?6, 0, ?7, ?8, ?9,
  1, ?10, ?10, 'v', 'h', 'settled', 200, 1
)"""


def fill(database: Database, rows: int) -> None:
    """Write the ledger: each session belongs to one user and lasts up to two hours, mostly within a day."""
    chance = random.Random(4)
    sessions = [
        (chance.randrange(USERS) + 1, START + chance.randrange(DAYS * DAY - 2 * 3_600_000_000)) for _ in range(SESSIONS)
    ]
    models = [name for name, weight in _MODELS for _ in range(weight)]

    def made(number: int) -> tuple[str | int, ...]:
        session = number % SESSIONS
        user, begins = sessions[session]
        into, out = chance.randrange(50, 2_000), chance.randrange(10, 500)
        at = begins + chance.randrange(2 * 3_600_000_000)
        tier = ("free", "pro", "team")[user % 3]
        return (
            f"{chance.getrandbits(128):032x}", at, user, f"session-{session:05d}", tier, chance.choice(models), into,
            into // 4, out, into * 150 + out * 600,
        )  # fmt: skip

    with database.transaction() as connection:
        connection.executemany(
            "insert into users values (?, 'p', ?, 0)", [(ref, f"user_{ref:04d}") for ref in range(1, USERS + 1)]
        )
        connection.executemany(_INSERT, (made(number) for number in range(rows)))
        rebuild(connection)


async def ask(database: Database, times: int) -> dict[str, list[float]]:
    """Milliseconds of each question, each time it was asked."""
    analytics, usage = SqlAnalytics(database), SqlUsage(database, lambda _project, uid: int(uid.removeprefix("user_")))
    ragged = Span(project_id="p", user_id=None, starts_at=PERIOD.starts_at + 1_234_567, ends_at=PERIOD.ends_at - 1)
    one = Span(project_id="p", user_id="user_0500", starts_at=ragged.starts_at, ends_at=ragged.ends_at)
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "project, by day": lambda: analytics.summary(PERIOD, STEPS["day"]),
        "project, by hour": lambda: analytics.summary(PERIOD, STEPS["hour"]),
        "users": lambda: analytics.users(PERIOD, 50),
        "sessions": lambda: analytics.sessions(PERIOD, 50),
        "threads": lambda: analytics.threads(PERIOD, 50),
        "models": lambda: analytics.models(PERIOD, 50),
        "tiers": lambda: analytics.tiers(PERIOD, 50),
        "usage of the project, ragged ends, by day": lambda: usage.by_time(ragged, STEPS["day"]),
        "usage of a user, ragged ends, by day": lambda: usage.by_time(one, STEPS["day"]),
        "billing of the project, ragged ends, by model": lambda: usage.by_model(ragged),
    }
    found: dict[str, list[float]] = {}
    for name, question in questions.items():
        await question()
        for _ in range(times):
            before = time.perf_counter()
            await question()
            found.setdefault(name, []).append((time.perf_counter() - before) * 1000)
    return found


def section(found: dict[str, list[float]], rows: int, facts: dict[str, int]) -> str:
    """The figures as Markdown."""
    lines = [
        f"- Date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; {machine.facts()['Machine']}",
        f"- apsw {version('apsw')}, SQLite {apsw.sqlite_lib_version()}",
        f"- {rows:,} rows, {DAYS} days, {USERS:,} users, {SESSIONS:,} sessions; "
        + ", ".join(f"`{table}` {count:,}" for table, count in facts.items()),
        f"- Each question was asked {len(next(iter(found.values())))} times; the aim is {AIM_MS:g} ms.",
        "",
        "| Question | median ms | slowest ms | below the aim |",
        "| --- | ---: | ---: | --- |",
    ]
    for name, each in found.items():
        good = "yes" if max(each) < AIM_MS else "median only" if statistics.median(each) < AIM_MS else "NO"
        lines.append(f"| {name} | {statistics.median(each):.1f} | {max(each):.1f} | {good} |")
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the section into the page, between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    pattern = f"{re.escape(MARKS[0])}.*{re.escape(MARKS[1])}"
    PAGE.write_text(
        re.sub(pattern, lambda _: f"{MARKS[0]}\n\n{text}\n\n{MARKS[1]}", page, flags=re.DOTALL), encoding="utf-8"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the ledger, ask, and print; returns 1 when a question's median is not below the aim."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- --analytics", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="behest-analytics-") as folder:
        database = Database(Path(folder))
        try:
            fill(database, options.rows)
            _, wrong = differences(database.connection)
            if wrong:
                print(json.dumps([each.name for each in wrong[:5]]))
                return 1
            tables = ("usage_by_hour", "usage_by_user_day", "usage_by_session_day", "usage_by_thread_day")
            facts = {t: next(iter(database.connection.execute(f"select count(*) from {t}")))[0] for t in tables}  # noqa: S608
            found = asyncio.run(ask(database, options.times))
        finally:
            database.close()
    text = section(found, options.rows, facts)
    print(text)
    if options.write_docs:
        write(text)
    return int(any(statistics.median(each) >= AIM_MS for each in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
