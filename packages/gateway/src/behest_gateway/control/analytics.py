"""Who and what the money of a project went to: by time, user, session, thread, model and tier."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from behest_gateway.control.access import Actor
from behest_gateway.control.projects import Projects
from behest_gateway.control.usage import DEFAULT_DAYS, MAX_ROWS, STEPS, parse_time
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import invalid

MAX_LISTED = 1_000


class Period(Struct, frozen=True):
    """A project's whole hours or days, in microseconds since 1970; the end is not part of it."""

    project_id: str
    starts_at: int
    ends_at: int


class Used(Struct, frozen=True):
    """Sums over a period."""

    requests: int
    input_tokens: int
    cached_read_tokens: int
    output_tokens: int
    cost_nano: int


class AnalyticsReader(Protocol):
    """The sums by hour and by day."""

    async def summary(self, period: Period, step_us: int) -> list[tuple[int, Used]]:
        """The sums of each step that has any, in order."""
        ...

    async def users(self, period: Period, limit: int) -> list[tuple[str | None, Used]]:
        """The dearest users; None for one whose id was erased."""
        ...

    async def sessions(self, period: Period, limit: int) -> list[tuple[str, str | None, Used]]:
        """The dearest sessions, with their users."""
        ...

    async def threads(self, period: Period, limit: int) -> list[tuple[str, str | None, Used]]:
        """The dearest threads, with their users."""
        ...

    async def models(self, period: Period, limit: int) -> list[tuple[str, bool, Used]]:
        """The dearest models; True when the customer's own provider key paid."""
        ...

    async def tiers(self, period: Period, limit: int) -> list[tuple[str | None, Used]]:
        """The dearest tiers."""
        ...


class Asked(Struct, frozen=True, kw_only=True):
    """What a caller wants to know, still as it was written."""

    since: str | None
    until: str | None
    granularity: str = "day"
    limit: int = 50


def period_of(project_id: str, asked: Asked, unit: int, now_us: int) -> Period:
    """The whole units of UTC that cover what is asked for; the last 30 days when nothing is said.

    Raises:
        GatewayError: `validation_error` for a time that is none, or a start after its end.
    """
    ends_at = parse_time(asked.until, "to", end=True) if asked.until else now_us + 1
    starts_at = parse_time(asked.since, "from") if asked.since else ends_at - DEFAULT_DAYS * STEPS["day"]
    if starts_at > ends_at:
        raise invalid("'from' must not be later than 'to'.", "from")
    return Period(project_id, starts_at // unit * unit, -(-ends_at // unit) * unit)


class Analytics:
    """Answers for whoever manages the project."""

    def __init__(self, reader: AnalyticsReader, projects: Projects, clock: Clock) -> None:
        self._reader = reader
        self._projects = projects
        self._clock = clock

    def _period(self, actor: Actor, project_id: str, asked: Asked, unit: int) -> Period:
        project = self._projects.get(actor, project_id)
        if not 1 <= asked.limit <= MAX_LISTED:
            raise invalid(f"'limit' is from 1 to {MAX_LISTED}.", "limit")
        return period_of(project.id, asked, unit, self._clock.now_us())

    async def summary(self, actor: Actor, project_id: str, asked: Asked) -> tuple[Period, list[tuple[int, Used]]]:
        """What a project used, hour by hour or day by day.

        Raises:
            GatewayError: 404 for the project, 400 for a parameter.
        """
        if asked.granularity not in ("hour", "day"):
            raise invalid("'granularity' is hour or day.", "granularity")
        step = STEPS[asked.granularity]
        period = self._period(actor, project_id, asked, step)
        if (period.ends_at - period.starts_at) // step > MAX_ROWS:
            raise invalid("This span is too long for this granularity; ask for a shorter one, or for days.", "from")
        return period, await self._reader.summary(period, step)

    async def users(self, actor: Actor, project_id: str, asked: Asked) -> tuple[Period, list[tuple[str | None, Used]]]:
        """The dearest users, by whole days. Raises as `summary` does."""
        period = self._period(actor, project_id, asked, STEPS["day"])
        return period, await self._reader.users(period, asked.limit)

    async def sessions(
        self, actor: Actor, project_id: str, asked: Asked
    ) -> tuple[Period, list[tuple[str, str | None, Used]]]:
        """The dearest sessions, by whole days. Raises as `summary` does."""
        period = self._period(actor, project_id, asked, STEPS["day"])
        return period, await self._reader.sessions(period, asked.limit)

    async def threads(
        self, actor: Actor, project_id: str, asked: Asked
    ) -> tuple[Period, list[tuple[str, str | None, Used]]]:
        """The dearest threads, by whole days. Raises as `summary` does."""
        period = self._period(actor, project_id, asked, STEPS["day"])
        return period, await self._reader.threads(period, asked.limit)

    async def models(self, actor: Actor, project_id: str, asked: Asked) -> tuple[Period, list[tuple[str, bool, Used]]]:
        """The dearest models, by whole hours. Raises as `summary` does."""
        period = self._period(actor, project_id, asked, STEPS["hour"])
        return period, await self._reader.models(period, asked.limit)

    async def tiers(self, actor: Actor, project_id: str, asked: Asked) -> tuple[Period, list[tuple[str | None, Used]]]:
        """The dearest tiers, by whole hours. Raises as `summary` does."""
        period = self._period(actor, project_id, asked, STEPS["hour"])
        return period, await self._reader.tiers(period, asked.limit)
