"""Webhooks over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from behest_gateway.control.webhooks import Delivery, Webhook
from behest_gateway.core.clock import iso
from behest_gateway.http import management_models as models
from behest_gateway.http.management_events import EventOut
from behest_gateway.http.management_services import REFUSALS, By, Services

router = APIRouter(prefix="/v1/projects/{project_id}/webhooks", responses=REFUSALS, tags=["webhooks"])

Types = Annotated[
    list[str], Field(description="Which events; an empty list is all", examples=[["budget_exceeded"]], max_length=100)
]
Url = Annotated[str, Field(description="An https address", examples=["https://example.com/hooks/behest"])]
State = Literal["pending", "delivered", "dead"]


class WebhookBody(models.Body):
    """A new webhook."""

    url: Url
    types: Types = Field(default_factory=list)


class WebhookChange(models.Body):
    """What is to change of a webhook; what is left out stays."""

    url: Url | None = None
    types: Types | None = None
    enabled: bool | None = None


class SecretBody(models.Body):
    """How the old secret ends."""

    overlap_hours: int = Field(24, description="How long the old secret signs beside the new one, up to 168")


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    id: models.Id
    url: str
    types: list[str]
    enabled: bool
    disabled_reason: str | None = Field(description="`gone` after a 410, `owner` when it was turned off")
    overlap_until: models.Time | None = Field(description="Until when the secret before this one signs as well")
    created_at: models.Time


class NewWebhookOut(WebhookOut):
    """A webhook with its secret, which is shown here alone."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class DeliveryOut(BaseModel):
    """An event on its way to a webhook."""

    id: str
    state: State
    attempts: int
    next_attempt_at: models.Time | None = Field(description="When it is tried next; null unless it is pending")
    last_attempt_at: models.Time | None
    last_status: int | None = Field(description="The status that the receiver answered, if it did")
    last_error: str | None
    event: EventOut


@router.post("", status_code=201)
async def create_webhook(by: By, services: Services, project_id: str, body: WebhookBody) -> NewWebhookOut:
    """Send a project's events to an address. The answer is the one place where the secret is shown."""
    return _new(*services.webhooks.create(by, project_id, url=body.url, types=body.types))


@router.get("")
async def list_webhooks(by: By, services: Services, project_id: str) -> models.Listing[WebhookOut]:
    """List the webhooks."""
    return models.Listing(data=[_webhook(webhook) for webhook in services.webhooks.list(by, project_id)])


@router.get("/{webhook_id}")
async def get_webhook(by: By, services: Services, project_id: str, webhook_id: str) -> WebhookOut:
    """Show a webhook."""
    return _webhook(services.webhooks.get(by, project_id, webhook_id))


@router.patch("/{webhook_id}")
async def change_webhook(
    by: By, services: Services, project_id: str, webhook_id: str, body: WebhookChange
) -> WebhookOut:
    """Change where a webhook sends, what, and whether. One that is off gets no new events; pending ones wait."""
    changed = services.webhooks.change(by, project_id, webhook_id, url=body.url, types=body.types, enabled=body.enabled)
    return _webhook(changed)


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(by: By, services: Services, project_id: str, webhook_id: str) -> None:
    """Drop a webhook, its secret and what it still had to send."""
    services.webhooks.delete(by, project_id, webhook_id)


@router.post("/{webhook_id}/rotate", status_code=201)
async def rotate_webhook_secret(
    by: By, services: Services, project_id: str, webhook_id: str, body: Annotated[SecretBody | None, Body()] = None
) -> NewWebhookOut:
    """Sign with a new secret from now on; the old one signs beside it for `overlap_hours`."""
    asked = body or SecretBody(overlap_hours=24)
    return _new(*services.webhooks.rotate(by, project_id, webhook_id, overlap_hours=asked.overlap_hours))


@router.post("/{webhook_id}/test", status_code=202)
async def test_webhook(by: By, services: Services, project_id: str, webhook_id: str) -> DeliveryOut:
    """Send an event of type `webhook_test` to this webhook alone."""
    return _delivery(services.webhooks.test(by, project_id, webhook_id))


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    by: By,
    services: Services,
    project_id: str,
    webhook_id: str,
    state: Annotated[str | None, Query(description="`pending`, `delivered` or `dead`")] = None,
    limit: Annotated[int, Query(description="How many at most, up to 1,000")] = 50,
) -> models.Listing[DeliveryOut]:
    """List what became of the last events, newest first."""
    found = services.webhooks.deliveries(by, project_id, webhook_id, state=state, limit=limit)
    return models.Listing(data=[_delivery(delivery) for delivery in found])


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202)
async def replay_delivery(
    by: By, services: Services, project_id: str, webhook_id: str, delivery_id: str
) -> DeliveryOut:
    """Send an event again, under the same `webhook-id`."""
    return _delivery(services.webhooks.replay(by, project_id, webhook_id, delivery_id))


def _webhook(webhook: Webhook) -> WebhookOut:
    return WebhookOut(
        id=webhook.id,
        url=webhook.url,
        types=list(webhook.types),
        enabled=webhook.enabled,
        disabled_reason=webhook.disabled_reason,
        overlap_until=_time(webhook.earlier_until),
        created_at=iso(webhook.created_at),
    )


def _new(webhook: Webhook, secret: str) -> NewWebhookOut:
    return NewWebhookOut(**_webhook(webhook).model_dump(), secret=secret)


def _delivery(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        id=delivery.id,
        state=cast("State", delivery.state),
        attempts=delivery.attempts,
        next_attempt_at=_time(delivery.next_at) if delivery.state == "pending" else None,
        last_attempt_at=_time(delivery.last_at),
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        event=EventOut(delivery.event.flat),
    )


def _time(us: int | None) -> str | None:
    return None if us is None else iso(us)
