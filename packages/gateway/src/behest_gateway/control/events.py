"""Reading events: the history of a project or of the gateway, and following it as it goes on.

A project hears its own events, those of its tenant and those of the whole gateway. An operator may read all of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from behest_gateway.control.access import Actor
from behest_gateway.control.projects import Projects
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.events import FIELDS, Event

MAX_PAGE = 1_000
"""Events of one answer."""

MAX_READERS = 200
MAX_READERS_OF_A_PROJECT = 20
"""Streams that are open at one time."""

HEARTBEAT_SECONDS = 15.0
"""A stream in which nothing happens says so this often; at that pace each asks whether its reader may still read."""

KEEP_DAYS = 90
KEEP_EVENTS = 100_000
"""How long events are kept, and how many of each project, and of each tenant and the gateway for themselves."""


class View(Struct, frozen=True, kw_only=True):
    """Whose events are read: a project's with its tenant's and the gateway's, or everybody's when it is None."""

    project_id: str | None = None
    tenant_id: str = ""


class Told(Struct, frozen=True, kw_only=True):
    """An event and its place. Places are text that only the log can read; a later event has a later one."""

    cursor: str
    event: Event


class EventLog(Protocol):
    """Where events are kept in order; a table, or a stream of Redis."""

    async def history(self, view: View, *, after: str | None, type_: str | None, limit: int) -> list[Told]:
        """The oldest events after a place, or from the first that is kept.

        Raises:
            GatewayError: 400 for a place that is none.
        """
        ...

    async def newest(self) -> str:
        """The place after which there is nothing yet."""
        ...

    def follow(self, view: View, *, after: str, type_: str | None, patience: float) -> AsyncGenerator[list[Told]]:
        """Every event after a place, in pages, as they come; an empty page when nothing came for `patience` seconds.

        It ends when the gateway does. What is not asked for is not read ahead.
        """
        ...


class Events:
    """Lists and follows events."""

    def __init__(self, log: EventLog, projects: Projects) -> None:
        self._log = log
        self._projects = projects
        self._readers: Counter[str] = Counter()

    async def history(
        self, actor: Actor, project_id: str | None, *, since: str | None, type_: str | None, limit: int
    ) -> tuple[list[Event], str]:
        """The oldest events after a place, and the place to go on from, whether or not there were any.

        Args:
            project_id: None for the whole gateway.

        Raises:
            GatewayError: 400 for a parameter, 403 for the whole gateway unless an operator asks, 404 for the project.
        """
        view = self._view(actor, project_id)
        _known(type_)
        if not 1 <= limit <= MAX_PAGE:
            raise invalid(f"limit is a whole number from 1 to {MAX_PAGE}", "limit")
        told = await self._log.history(view, after=since, type_=type_, limit=limit)
        return [each.event for each in told], told[-1].cursor if told else since or "0"

    async def follow(
        self,
        actor: Actor,
        project_id: str | None,
        *,
        since: str | None,
        type_: str | None,
        still: Callable[[], Awaitable[Actor]],
    ) -> AsyncIterator[list[Told]]:
        """Events in pages as they come, from now on unless a place is named; an empty page is a sign of life.

        Args:
            still: Says again who asks, or refuses; asked at every sign of life.

        Raises:
            GatewayError: As `history`; 503 when too many read already.
        """
        view = self._view(actor, project_id)
        _known(type_)
        if since is None:
            since = await self._log.newest()
        else:
            await self._log.history(view, after=since, type_=type_, limit=1)  # Refuses a place that is none.
        whose = project_id or ""
        if self._is_full(whose):
            raise GatewayError("unavailable", "Too many streams of events are open; close one first.", retry_after=5)
        pages = self._log.follow(view, after=since, type_=type_, patience=HEARTBEAT_SECONDS)
        return self._counted(whose, pages, project_id, still)

    async def _counted(
        self,
        whose: str,
        pages: AsyncGenerator[list[Told]],
        project_id: str | None,
        still: Callable[[], Awaitable[Actor]],
    ) -> AsyncGenerator[list[Told]]:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        self._readers[whose] += 1
        try:
            if self._is_full(whose, besides=1):
                return
            yield []
            async for page in pages:
                if loop.time() - asked >= HEARTBEAT_SECONDS / 2:
                    asked = loop.time()
                    try:
                        self._view(await still(), project_id)
                    except GatewayError:
                        return
                yield page
        finally:
            self._readers[whose] -= 1
            await pages.aclose()

    def _is_full(self, whose: str, besides: int = 0) -> bool:
        return (
            self._readers.total() - besides >= MAX_READERS or self._readers[whose] - besides >= MAX_READERS_OF_A_PROJECT
        )

    def _view(self, actor: Actor, project_id: str | None) -> View:
        if project_id is None:
            actor.require_operator()
            return View()
        project = self._projects.get(actor, project_id)
        return View(project_id=project.id, tenant_id=project.tenant_id)


def _known(type_: str | None) -> None:
    if type_ is not None and type_ not in FIELDS:
        raise invalid(f"type is one of {', '.join(FIELDS)}", "type")
