"""Webhooks and their deliveries in SQLite.

What an owner changes is on the disk when it returns. What became of a delivery is written at the ledger's own pace: a
power cut may lose that it arrived, and then it is sent once more.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.events import add
from behest_gateway.adapters.sql.queries import load
from behest_gateway.control.delivering import Due
from behest_gateway.control.webhooks import Delivery, Webhook
from behest_gateway.core.events import Event

_SQL = load("webhooks")
_types = msgspec.json.Decoder(tuple[str, ...])
_fields = msgspec.json.Decoder(dict[str, str])


class SqlWebhooks:
    """Implements `control.webhooks.WebhookStore` and `control.delivering.DueStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- what owners do

    def insert_webhook(self, webhook: Webhook) -> None:
        values = (webhook.id, webhook.tenant_id, webhook.project_id, *_changeable(webhook), webhook.created_at)
        self._keep("insert_webhook", *values)

    def save_webhook(self, webhook: Webhook) -> None:
        self._keep("save_webhook", webhook.id, *_changeable(webhook))
        self._database.feed.wake()

    def delete_webhook(self, webhook_id: str) -> None:
        self._keep("delete_webhook", webhook_id)

    def webhook(self, project_id: str, webhook_id: str) -> Webhook | None:
        rows = self._all("get_webhook", project_id, webhook_id)
        return _webhook(rows[0]) if rows else None

    def webhooks(self, project_id: str) -> list[Webhook]:
        return [_webhook(row) for row in self._all("list_webhooks", project_id)]

    def send(self, events: Sequence[Event]) -> None:
        with self._database.durable() as connection:
            add(connection, events)
        self._database.feed.wake()

    def deliveries(self, webhook_id: str, *, state: str | None, event_id: str | None, limit: int) -> list[Delivery]:
        return [_delivery(row) for row in self._all("list_deliveries", webhook_id, state, event_id, limit)]

    def delivery(self, webhook_id: str, delivery_id: str) -> Delivery | None:
        rows = self._all("get_delivery", webhook_id, _number(delivery_id))
        return _delivery(rows[0]) if rows else None

    def replay(self, delivery_id: str, at: int) -> None:
        self._keep("replay", _number(delivery_id), at)
        self._database.feed.wake()

    # -- what the deliverer does

    def webhooks_due(self, now_us: int, limit: int) -> list[str]:
        return [webhook_id for (webhook_id,) in self._all("webhooks_due", now_us, limit)]

    def due(self, webhook_id: str, now_us: int) -> Due | None:
        rows = self._all("due", webhook_id, now_us)
        if not rows:
            return None
        number, attempts, *rest = rows[0]
        return Due(id=str(number), attempts=attempts, event=_event(rest[:6]), webhook=_webhook(rest[6:]))

    def has_pending(self) -> bool:
        return bool(self._all("has_pending")[0][0])

    def delivered(self, delivery_id: str, *, at: int, status: int) -> None:
        self._note(("delivered", _number(delivery_id), at, status))

    def failed(self, delivery_id: str, *, at: int, status: int | None, error: str, next_at: int | None) -> None:
        self._note(("failed", _number(delivery_id), at, status, error, next_at))

    def gone(self, webhook_id: str, *, at: int) -> None:
        self._note(("turn_off", webhook_id), ("bury", webhook_id))

    # -- how

    def _all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(self._database.connection.execute(_SQL[query], values))

    def _keep(self, query: str, *values: Any) -> None:
        with self._database.durable() as connection:
            connection.execute(_SQL[query], values)

    def _note(self, *steps: tuple[Any, ...]) -> None:
        with self._database.transaction() as connection:
            for query, *values in steps:
                connection.execute(_SQL[query], tuple(values))


def _number(text: str) -> int:
    """A delivery's number, or one that none has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1


def _changeable(webhook: Webhook) -> tuple[Any, ...]:
    return (
        webhook.url,
        msgspec.json.encode(webhook.types).decode(),
        webhook.sealed,
        webhook.earlier_sealed,
        webhook.earlier_until,
        int(webhook.enabled),
        webhook.disabled_reason,
    )


def _webhook(row: Sequence[Any]) -> Webhook:
    webhook_id, tenant_id, project_id, url, types, sealed, earlier, until, enabled, reason, created_at = row
    return Webhook(
        id=webhook_id,
        tenant_id=tenant_id,
        project_id=project_id,
        url=url,
        types=_types.decode(types),
        sealed=sealed,
        earlier_sealed=earlier,
        earlier_until=until,
        enabled=bool(enabled),
        disabled_reason=reason,
        created_at=created_at,
    )


def _event(row: Sequence[Any]) -> Event:
    event_id, type_, tenant_id, project_id, at, fields = row
    return Event(
        id=event_id, type=type_, tenant_id=tenant_id, project_id=project_id, at=at, fields=_fields.decode(fields)
    )


def _delivery(row: Sequence[Any]) -> Delivery:
    number, state, attempts, next_at, last_at, last_status, last_error, *event = row
    return Delivery(
        id=str(number),
        event=_event(event),
        state=state,
        attempts=attempts,
        next_at=next_at,
        last_at=last_at,
        last_status=last_status,
        last_error=last_error,
    )
