"""`behest webhooks`: where a project's events are sent, and what became of them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from behest_cli import render
from behest_cli.connection import Json, Project, managed
from behest_cli.errors import UsageError

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Webhooks: a project's events, signed and sent to your server.", no_args_is_help=True)

WebhookId = Annotated[str, typer.Argument(help="The webhook's id, as `behest webhooks list` shows it.")]
COLUMNS = {"id": "Id", "url": "Url", "types": "Types", "enabled": "On", "disabled_reason": "Off because"}
DELIVERIES = {
    "id": "Id", "type": "Type", "state": "State", "attempts": "Attempts", "last_status": "Status",
    "last_error": "Error", "next_attempt_at": "Next",
}  # fmt: skip


class State(StrEnum):
    """What has become of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@app.command("add")
@managed
def add(
    gateway: Management,
    url: Annotated[str, typer.Argument(help="Where events are sent, like https://example.com/hooks/behest.")],
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type; may be repeated. All when left out.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Send a project's events to an address, and show the secret that signs them this once."""
    answer = gateway.post(gateway.project_path(project, "/webhooks"), {"url": url, "types": types or []})
    _show_secret(answer.data, answer.text, json=json)


@app.command("list")
@managed
def list_(gateway: Management, project: Project = None, json: Json = False) -> None:
    """List a project's webhooks."""
    answer = gateway.get(gateway.project_path(project, "/webhooks"))
    if json:
        render.line(answer.text)
        return
    rows = [{**row, "types": row["types"] or "all"} for row in answer.rows]
    render.table(rows, COLUMNS, empty="There is no webhook. Add one with `behest webhooks add URL`.")


@app.command("remove")
@managed
def remove(gateway: Management, webhook_id: WebhookId, project: Project = None) -> None:
    """Remove a webhook, and what it still had to send."""
    gateway.delete(_path(gateway, project, webhook_id))
    render.line(f"Removed {webhook_id}.")


@app.command("rotate")
@managed
def rotate(
    gateway: Management,
    webhook_id: WebhookId,
    overlap_hours: Annotated[int, typer.Option("--overlap-hours", help="How long the old secret signs too.")] = 24,
    project: Project = None,
    json: Json = False,
) -> None:
    """Sign with a new secret from now on; for a while with the old one too."""
    answer = gateway.post(_path(gateway, project, webhook_id, "/rotate"), {"overlap_hours": overlap_hours})
    _show_secret(answer.data, answer.text, json=json)


@app.command("enable")
@managed
def enable(gateway: Management, webhook_id: WebhookId, project: Project = None) -> None:
    """Turn a webhook on again; what waited is sent."""
    gateway.patch(_path(gateway, project, webhook_id), {"enabled": True})
    render.line(f"{webhook_id} is on.")


@app.command("disable")
@managed
def disable(gateway: Management, webhook_id: WebhookId, project: Project = None) -> None:
    """Turn a webhook off: it gets no new events, and what is pending waits."""
    gateway.patch(_path(gateway, project, webhook_id), {"enabled": False})
    render.line(f"{webhook_id} is off.")


@app.command("test")
@managed
def try_(gateway: Management, webhook_id: WebhookId, project: Project = None, json: Json = False) -> None:
    """Send an event of type webhook_test to one webhook."""
    answer = gateway.post(_path(gateway, project, webhook_id, "/test"))
    if json:
        render.line(answer.text)
        return
    render.line(f"Sent {answer.data['event']['id']}.")
    render.note(f"`behest webhooks deliveries {webhook_id}` says what became of it.")


@app.command("deliveries")
@managed
def deliveries(
    gateway: Management,
    webhook_id: WebhookId,
    state: Annotated[State | None, typer.Option("--state", help="Only these.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="The last so many.")] = 50,
    project: Project = None,
    json: Json = False,
) -> None:
    """List what became of the last events, newest first."""
    path = _path(gateway, project, webhook_id, "/deliveries")
    answer = gateway.get(path, state=None if state is None else state.value, limit=str(limit))
    if json:
        render.line(answer.text)
        return
    rows = [{**row, "type": row["event"]["type"]} for row in answer.rows]
    render.table(rows, DELIVERIES, empty="Nothing was sent. Try `behest webhooks test ID`.")


@app.command("replay")
@managed
def replay(
    gateway: Management,
    webhook_id: WebhookId,
    delivery_ids: Annotated[
        list[str] | None, typer.Argument(help="Deliveries, as `behest webhooks deliveries` shows them.")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Every dead one, up to 1,000.")] = False,
    project: Project = None,
) -> None:
    """Send events again, each under its webhook-id."""
    path = _path(gateway, project, webhook_id, "/deliveries")
    wanted = list(delivery_ids or [])
    if dead == bool(wanted):
        raise UsageError("Which deliveries?", hint="Name them, or pass --dead for the last 1,000 dead ones.")
    if dead:
        wanted = [str(row["id"]) for row in reversed(gateway.get(path, state="dead", limit="1000").rows)]
    for delivery_id in wanted:
        gateway.post(f"{path}/{quote(delivery_id, safe='')}/replay")
        render.line(f"Sent {delivery_id} again.")
    if not wanted:
        render.note("No delivery is dead.")


def _path(gateway: Management, project: str | None, webhook_id: str, rest: str = "") -> str:
    return gateway.project_path(project, f"/webhooks/{quote(webhook_id, safe='')}{rest}")


def _show_secret(webhook: dict[str, Any], text: str, *, json: bool) -> None:
    if json:
        render.line(text)
        return
    shown = {heading: webhook.get(field) for field, heading in COLUMNS.items() if field != "disabled_reason"}
    render.fields({**shown, "Types": webhook["types"] or "all"})
    render.line(str(webhook["secret"]))
    render.note("The secret is shown only now. Your server checks signatures with it.")
