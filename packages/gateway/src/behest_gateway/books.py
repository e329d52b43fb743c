"""The books of a data directory, without a gateway: what `behest ledger` and `behest simulate` call."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from behest_gateway.adapters.prices import PriceFileError, PriceTable, read_overrides
from behest_gateway.adapters.sql.database import DatabaseError
from behest_gateway.adapters.sql.replay import history
from behest_gateway.adapters.sql.verify import rebuild, verify
from behest_gateway.control.auditing import Audit
from behest_gateway.control.caps import parse_cap, parse_tier
from behest_gateway.control.simulating import Assumptions, Replayed, parse_models, replay
from behest_gateway.control.usage import parse_time
from behest_gateway.core.clock import SystemClock
from behest_gateway.core.errors import GatewayError


class BooksError(Exception):
    """The books cannot be read; the message says why."""


class WhatIfError(BooksError):
    """What is asked of the books makes no sense; the message names the option."""


class WhatIf(Struct, frozen=True, kw_only=True):
    """What `behest simulate` is asked, as it was written.

    Attributes:
        since: The first day or moment; `until` the last. None for all that there is.
        project: An id or slug; None for all.
        prices: A file like that of `BEHEST_GATEWAY_PRICE_OVERRIDES`.
        models: Each as `FROM=TO`.
        budgets: Each as `SCOPE:WINDOW:UNIT:LIMIT`.
        tiers: Each as `NAME:UNIT_per_WINDOW=LIMIT,…`.
    """

    since: str | None = None
    until: str | None = None
    project: str | None = None
    prices: Path | None = None
    models: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    timezone: str = "UTC"


EVER = 1 << 62


def simulate(data_dir: Path, what_if: WhatIf) -> Replayed:
    """Replay the ledger under other prices, models or caps. It only reads, so a gateway may run meanwhile.

    Raises:
        WhatIfError: An option is wrong, the price file is, or there is no such project.
        BooksError: There is no ledger, or it cannot be read.
    """
    try:
        caps = [parse_cap(text, what_if.timezone) for text in what_if.budgets]
        caps += [cap for text in what_if.tiers for cap in parse_tier(text, what_if.timezone)]
        assumptions = Assumptions(
            rates=read_overrides(what_if.prices), models=parse_models(what_if.models), caps=tuple(caps)
        )
        starts_at = parse_time(what_if.since, "from") if what_if.since else 0
        ends_at = parse_time(what_if.until, "to", end=True) if what_if.until else EVER
        if starts_at > ends_at:
            raise WhatIfError("--from must not be later than --to")
        with history(data_dir) as found:
            project_id = found.project_id(what_if.project) if what_if.project else None
            if what_if.project and project_id is None:
                raise WhatIfError(f"there is no project {what_if.project!r} in {data_dir}")
            rows = found.rows(project_id, starts_at, ends_at)
            return replay(rows, found.prices(), assumptions, PriceTable(SystemClock(), {}).price)
    except (GatewayError, PriceFileError) as problem:
        raise WhatIfError(str(problem)) from None
    except DatabaseError as problem:
        raise BooksError(str(problem)) from None


def check(data_dir: Path) -> Audit:
    """Price every row again and add every counter and rollup up again. It only reads, so a gateway may run meanwhile.

    Raises:
        BooksError: There is no ledger, or it cannot be read.
    """
    try:
        return verify(data_dir)
    except DatabaseError as problem:
        raise BooksError(str(problem)) from None


def rebuild_rollups(data_dir: Path) -> int:
    """Make the sums by hour and by day again from the ledger; returns how many there are. No gateway may run.

    Raises:
        BooksError: There is no ledger, or a gateway is using it.
    """
    try:
        return rebuild(data_dir)
    except DatabaseError as problem:
        raise BooksError(str(problem)) from None
