"""Events over HTTP: a page of history, or a stream of server-sent events, at the same address."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from msgspec import Struct
from pydantic import BaseModel, Field, RootModel

from behest_gateway.control.access import Actor
from behest_gateway.control.events import Told
from behest_gateway.http.management_services import REFUSALS, Again, By, Services

STREAM = "text/event-stream"

router = APIRouter(prefix="/v1", responses=REFUSALS, tags=["events"])
_encoder = msgspec.json.Encoder()


class EventOut(RootModel[dict[str, str]]):
    """An event: `id`, `type`, `tenant_id`, `project_id`, `timestamp` and the fields of its type; all of them texts."""


class EventsOut(BaseModel):
    """A page of events, oldest first."""

    data: list[EventOut]
    next: str = Field(description="Goes into `since` for what comes after, whether or not there was anything")


class Wanted(Struct, frozen=True):
    """Which events a request wants, and how."""

    since: str | None
    type: str | None
    limit: int
    streamed: bool


async def _wanted(
    since: Annotated[str | None, Query(description="Only what comes after: the `next` of an earlier answer")] = None,
    type_: Annotated[str | None, Query(alias="type", description="Only events of this type")] = None,
    limit: Annotated[int, Query(description="How many at most, up to 1,000")] = 100,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[
        str | None, Header(description="In a stream: the last event that was seen; wins over `since`")
    ] = None,
) -> Wanted:
    streamed = STREAM in accept
    return Wanted((last_event_id or since) if streamed else since, type_, limit, streamed)


WantedQuery = Annotated[Wanted, Depends(_wanted)]

_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {STREAM: {"schema": {"type": "string"}}}, "description": "A page, or with `Accept` a stream"}
}


@router.get("/projects/{project_id}/events", responses=_STREAMED, response_model=EventsOut)
async def list_events(
    by: By, again: Again, services: Services, project_id: str, wanted: WantedQuery
) -> EventsOut | StreamingResponse:
    """Show what happened in a project, its tenant and the gateway; with `Accept: text/event-stream` as it happens."""
    return await _told(services, by, again, project_id, wanted)


@router.get("/events", responses=_STREAMED, response_model=EventsOut)
async def list_all_events(
    by: By, again: Again, services: Services, wanted: WantedQuery
) -> EventsOut | StreamingResponse:
    """Show what happened in every project, likewise. Operators only."""
    return await _told(services, by, again, None, wanted)


async def _told(
    services: Services, by: Actor, again: Callable[[], Awaitable[Actor]], project_id: str | None, wanted: Wanted
) -> EventsOut | StreamingResponse:
    if wanted.streamed:
        pages = await services.events.follow(by, project_id, since=wanted.since, type_=wanted.type, still=again)
        return StreamingResponse(_frames(pages), media_type=STREAM, headers={"x-accel-buffering": "no"})
    events, cursor = await services.events.history(
        by, project_id, since=wanted.since, type_=wanted.type, limit=wanted.limit
    )
    return EventsOut(data=[EventOut(event.flat) for event in events], next=cursor)


async def _frames(pages: AsyncIterator[list[Told]]) -> AsyncGenerator[bytes]:
    """Pages as server-sent events, with a comment for each sign of life; lines end with LF."""
    async for page in pages:
        yield b"".join(map(_frame, page)) or b":\n\n"


def _frame(told: Told) -> bytes:
    head = f"id: {told.cursor}\nevent: {told.event.type}\ndata: "
    return head.encode() + _encoder.encode(told.event.flat) + b"\n\n"
