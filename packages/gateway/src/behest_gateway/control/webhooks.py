"""Webhooks: where a project's events are sent, with a secret that is shown once, and what became of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from behest_gateway.control.access import Actor
from behest_gateway.control.projects import Projects
from behest_gateway.control.webhook_rules import MAX_OVERLAP_HOURS, new_secret, read_types, read_url
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.events import Event, new_event
from behest_gateway.core.ids import new_id

MAX_WEBHOOKS = 20
"""Webhooks of a project."""

MAX_DELIVERIES = 1_000
"""Deliveries of one answer."""

STATES = ("pending", "delivered", "dead")
SECRET_FIELD = "webhook_secret"  # noqa: S105  (the name of a place)


class Webhook(Struct, frozen=True, kw_only=True):
    """Where events are sent.

    Attributes:
        types: Which events; none of them named means all.
        sealed: The secret under the master key.
        earlier_sealed: The one before it, which still signs beside it until `earlier_until`, in microseconds.
        disabled_reason: `gone` when the receiver answered 410, `owner` when somebody turned it off.
    """

    id: str
    tenant_id: str
    project_id: str
    url: str
    types: tuple[str, ...]
    sealed: bytes
    earlier_sealed: bytes | None = None
    earlier_until: int | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    created_at: int


class Delivery(Struct, frozen=True, kw_only=True):
    """An event on its way to a webhook. Times are microseconds since 1970; `next_at` counts while it is pending."""

    id: str
    event: Event
    state: str
    attempts: int
    next_at: int
    last_at: int | None
    last_status: int | None
    last_error: str | None


class WebhookStore(Protocol):
    """Where webhooks and their deliveries are kept."""

    def insert_webhook(self, webhook: Webhook) -> None: ...

    def save_webhook(self, webhook: Webhook) -> None:
        """Write everything of a webhook that can change."""
        ...

    def delete_webhook(self, webhook_id: str) -> None:
        """Drop a webhook with its secrets and deliveries."""
        ...

    def webhook(self, project_id: str, webhook_id: str) -> Webhook | None: ...

    def webhooks(self, project_id: str) -> list[Webhook]:
        """The webhooks of a project, oldest first."""
        ...

    def send(self, events: Sequence[Event]) -> None:
        """Write events down, and with them what is to be delivered."""
        ...

    def deliveries(self, webhook_id: str, *, state: str | None, event_id: str | None, limit: int) -> list[Delivery]:
        """The last deliveries of a webhook, newest first."""
        ...

    def delivery(self, webhook_id: str, delivery_id: str) -> Delivery | None: ...

    def replay(self, delivery_id: str, at: int) -> None:
        """Make a delivery pending again, as if it had never been tried."""
        ...


class Seal(Protocol):
    """Keeps secrets at rest. What is sealed for one place does not open in another."""

    def seal(self, plaintext: bytes, *, owner: str, kid: str, field: str) -> bytes: ...

    def open(self, sealed: bytes, *, owner: str, kid: str, field: str) -> bytes: ...


class Webhooks:
    """Makes, lists, changes, exchanges, tests and drops webhooks, and sends again what did not arrive.

    Args:
        allow_private: Addresses that are not public, and http without TLS, are taken as well.
    """

    def __init__(
        self, store: WebhookStore, projects: Projects, seal: Seal, clock: Clock, *, allow_private: bool
    ) -> None:
        self._store = store
        self._projects = projects
        self._seal = seal
        self._clock = clock
        self._allow_private = allow_private

    def create(self, actor: Actor, project_id: str, *, url: str, types: Sequence[str] = ()) -> tuple[Webhook, str]:
        """Make a webhook; the second value is its secret, which cannot be had again.

        Raises:
            GatewayError: 400 for the url or a type, 404 for the project, 409 when it has too many.
        """
        project = self._projects.get(actor, project_id)
        url = read_url(url, allow_private=self._allow_private)
        wanted = read_types(types)
        if len(self._store.webhooks(project.id)) >= MAX_WEBHOOKS:
            raise GatewayError("conflict", f"A project has at most {MAX_WEBHOOKS} webhooks; delete one first.")
        webhook_id, secret = new_id(), new_secret()
        webhook = Webhook(
            id=webhook_id,
            tenant_id=project.tenant_id,
            project_id=project.id,
            url=url,
            types=wanted,
            sealed=self._sealed(project.id, webhook_id, secret),
            created_at=self._clock.now_us(),
        )
        self._store.insert_webhook(webhook)
        return webhook, secret

    def list(self, actor: Actor, project_id: str) -> list[Webhook]:
        """The webhooks of a project."""
        return self._store.webhooks(self._projects.get(actor, project_id).id)

    def get(self, actor: Actor, project_id: str, webhook_id: str) -> Webhook:
        """One webhook; 404 when there is none."""
        webhook = self._store.webhook(self._projects.get(actor, project_id).id, webhook_id)
        if webhook is None:
            raise GatewayError("not_found", "There is no webhook of this id.")
        return webhook

    def change(
        self,
        actor: Actor,
        project_id: str,
        webhook_id: str,
        *,
        url: str | None = None,
        types: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is named. One that is turned off gets no new events; what is pending waits until it is on."""
        webhook = self.get(actor, project_id, webhook_id)
        if url is not None:
            webhook = replace(webhook, url=read_url(url, allow_private=self._allow_private))
        if types is not None:
            webhook = replace(webhook, types=read_types(types))
        if enabled is not None and enabled != webhook.enabled:
            webhook = replace(webhook, enabled=enabled, disabled_reason=None if enabled else "owner")
        self._store.save_webhook(webhook)
        return webhook

    def delete(self, actor: Actor, project_id: str, webhook_id: str) -> None:
        """Drop a webhook, its secrets, and what it still had to send."""
        self._store.delete_webhook(self.get(actor, project_id, webhook_id).id)

    def rotate(self, actor: Actor, project_id: str, webhook_id: str, *, overlap_hours: int = 24) -> tuple[Webhook, str]:
        """Sign with a new secret from now on, and with the old one beside it for a while; returns the new one once.

        Raises:
            GatewayError: 400 for the overlap, 404 for the webhook.
        """
        webhook = self.get(actor, project_id, webhook_id)
        if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
            raise invalid(f"overlap_hours is a whole number from 0 to {MAX_OVERLAP_HOURS}", "overlap_hours")
        secret, has_overlap = new_secret(), overlap_hours > 0
        webhook = replace(
            webhook,
            sealed=self._sealed(webhook.project_id, webhook.id, secret),
            earlier_sealed=webhook.sealed if has_overlap else None,
            earlier_until=self._clock.now_us() + overlap_hours * 3_600_000_000 if has_overlap else None,
        )
        self._store.save_webhook(webhook)
        return webhook, secret

    def test(self, actor: Actor, project_id: str, webhook_id: str) -> Delivery:
        """Send an event of type `webhook_test` to this webhook alone; returns what is on its way.

        Raises:
            GatewayError: 404 for the webhook, 409 when it is turned off.
        """
        webhook = self._on(actor, project_id, webhook_id)
        event = new_event(
            "webhook_test",
            tenant_id=webhook.tenant_id,
            project_id=webhook.project_id,
            at=self._clock.now_us(),
            webhook_id=webhook.id,
            by=actor.name,
        )
        self._store.send([event])
        return self._store.deliveries(webhook.id, state=None, event_id=event.id, limit=1)[0]

    def deliveries(
        self, actor: Actor, project_id: str, webhook_id: str, *, state: str | None, limit: int
    ) -> Sequence[Delivery]:
        """The last deliveries of a webhook, newest first."""
        webhook = self.get(actor, project_id, webhook_id)
        if state is not None and state not in STATES:
            raise invalid(f"state is one of {', '.join(STATES)}", "state")
        if not 1 <= limit <= MAX_DELIVERIES:
            raise invalid(f"limit is a whole number from 1 to {MAX_DELIVERIES}", "limit")
        return self._store.deliveries(webhook.id, state=state, event_id=None, limit=limit)

    def replay(self, actor: Actor, project_id: str, webhook_id: str, delivery_id: str) -> Delivery:
        """Send an event again, under the same webhook-id, with a whole schedule of retries before it.

        Raises:
            GatewayError: 404 for the webhook or the delivery, 409 when the webhook is turned off.
        """
        webhook = self._on(actor, project_id, webhook_id)
        if self._store.delivery(webhook.id, delivery_id) is None:
            raise GatewayError("not_found", "There is no delivery of this id; events are kept for a while only.")
        self._store.replay(delivery_id, self._clock.now_us())
        found = self._store.delivery(webhook.id, delivery_id)
        assert found is not None  # noqa: S101  (for the type checker; nothing happened in between)
        return found

    def _on(self, actor: Actor, project_id: str, webhook_id: str) -> Webhook:
        webhook = self.get(actor, project_id, webhook_id)
        if not webhook.enabled:
            raise GatewayError("conflict", "This webhook is turned off; turn it on with enabled: true first.")
        return webhook

    def _sealed(self, project_id: str, webhook_id: str, secret: str) -> bytes:
        return self._seal.seal(secret.encode(), owner=project_id, kid=webhook_id, field=SECRET_FIELD)
