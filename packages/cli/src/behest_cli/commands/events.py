"""`behest events`: what happened in a project, and what happens now."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from behest_cli import render
from behest_cli.connection import Project, managed

if TYPE_CHECKING:
    from behest_cli.management import Management

PAGE = 1_000
EVERY = ("id", "type", "tenant_id", "project_id", "timestamp")


@managed
def events(
    gateway: Management,
    project: Project = None,
    everything: Annotated[bool, typer.Option("--all", help="Of every project and tenant; for the operator.")] = False,
    type_: Annotated[str | None, typer.Option("--type", help="Only this type, like budget_exceeded.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The last so many.")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show what happens from now on, until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as the gateway tells it, on a line.")
    ] = False,
) -> None:
    """Show what happened in a project, oldest first; its tenant's events and the gateway's are among them."""
    path = "/v1/events" if everything else gateway.project_path(project, "/events")
    if follow:
        _follow(gateway, path, type_, as_json=as_json)
        return
    last: deque[dict[str, str]] = deque(maxlen=limit)
    since = "0"
    while page := (answer := gateway.get(path, type=type_, since=since, limit=str(PAGE))).rows:
        last.extend(page)
        since = str(answer.data["next"])
    if as_json:
        for event in last:
            render.line(json.dumps(event, ensure_ascii=False))
        return
    rows = [{"at": at(event), "type": event["type"], "about": about(event)} for event in last]
    render.table(rows, {"at": "At", "type": "Type", "about": "About"}, empty="Nothing has happened yet.")


def _follow(gateway: Management, path: str, type_: str | None, *, as_json: bool) -> None:
    try:
        for data in gateway.follow(path, type=type_):
            event: dict[str, str] = json.loads(data)
            render.line(data if as_json else f"{at(event)}  {event['type']}  {about(event)}")
            render.flush()
    except KeyboardInterrupt:
        return


def at(event: dict[str, Any]) -> str:
    """When an event happened, as the other commands write times.

    >>> at({"timestamp": "1760000000.123456"})
    '2025-10-09T08:53:20Z'
    """
    return datetime.fromtimestamp(int(event["timestamp"].partition(".")[0]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def about(event: dict[str, str]) -> str:
    """What an event says beside the fields of every event.

    >>> about({"id": "e", "type": "key_revoked", "key_id": "k1", "name": "", "by": "operator"})
    'key_id=k1 by=operator'
    """
    return " ".join(f"{name}={value}" for name, value in event.items() if name not in EVERY and value)
