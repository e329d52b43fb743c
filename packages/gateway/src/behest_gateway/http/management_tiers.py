"""The routes of tiers: the built-in ones with what a project overrides, and the project's own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from behest_gateway.control.records import TierView
from behest_gateway.core.clock import iso
from behest_gateway.core.tiers import TIER_FIELDS, TIER_LIMITS
from behest_gateway.http.management_models import Body, Id, Listing, Time
from behest_gateway.http.management_services import REFUSALS, By, Services

router = APIRouter(prefix="/v1", responses=REFUSALS, tags=["tiers"])


class TierOverrides(Body):
    """What a tier says in place of the project's settings. What is left out stays; null takes an override away."""

    rpm_limit: int | None = Field(default=None, description="A user's requests a minute", examples=[30])
    requests_per_day: int | None = Field(default=None, description="A user's, in UTC", examples=[1_000])
    tokens_per_day: int | None = Field(default=None, description="A user's, in UTC", examples=[200_000])
    tokens_per_month: int | None = Field(default=None, description="A user's, in UTC", examples=[4_000_000])
    pii_mode: str | None = Field(default=None, description="Only `disabled`: there is no such guard yet")
    pii_entities: list[str] | None = Field(default=None, description="Kept, without effect yet")
    sentinel_mode: str | None = Field(default=None, description="Only `disabled`: there is no such guard yet")
    sentinel_blocklist: list[str] | None = Field(default=None, description="Kept, without effect yet")
    memory_enabled: bool | None = Field(default=None, description="Threads are kept")
    memory_window: int | None = Field(default=None, description="Messages that are told again, at most")
    retention_days: int | None = Field(default=None, description="Of messages of threads; 0 is for ever")
    store_tool_calls: bool | None = Field(default=None, description="Calls of tools are kept too")
    provider_model: str | None = Field(default=None, description="The model of calls that name none")
    system_prompt: str | None = Field(default=None, description="An empty one takes the project's away")

    def given(self) -> dict[str, Any]:
        """Only what the caller named."""
        return self.model_dump(exclude_unset=True)


class TierBody(Body):
    """A new tier of a project's own."""

    name: str = Field(description="What tokens name it by; lower-case letters, digits, _ and -", examples=["team"])
    overrides: TierOverrides | None = None


class TierChange(Body):
    """What to change about a tier."""

    overrides: TierOverrides


class TierLimits(BaseModel):
    """A user's limits. Null is no limit."""

    rpm_limit: int
    requests_per_day: int | None
    tokens_per_day: int | None
    tokens_per_month: int | None


class TierOut(BaseModel):
    """A tier of a project."""

    id: str = Field(description="The number of a built-in tier, as text; otherwise a UUID", examples=["2"])
    number: int | None = Field(description="Null for a tier of the project's own", examples=[2])
    name: str = Field(examples=["pro"])
    limits: TierLimits
    overrides: dict[str, Any] = Field(description="What was overridden, and nothing else")
    created_at: Time | None


class TierSettings(BaseModel):
    """What is in force, after the project's settings and the tier's overrides."""

    rpm_limit: int
    tokens_per_day: int | None
    tokens_per_month: int | None
    pii_mode: str
    pii_entities: list[str]
    sentinel_mode: str
    sentinel_blocklist: list[str]
    memory_enabled: bool
    memory_window: int
    retention_days: int
    store_tool_calls: bool
    provider_model: str
    system_prompt: str | None


class ResolvedTier(BaseModel):
    """A tier, and all that is in force for its users."""

    id: Id
    number: int | None
    name: str
    limits: TierLimits
    settings: TierSettings
    overrides: dict[str, Any]


def _facts(view: TierView) -> dict[str, Any]:
    tier = view.tier
    shown = {name: getattr(view.resolved, name) for name in TIER_LIMITS}
    return {
        "id": tier.id,
        "number": tier.number,
        "name": tier.name,
        "limits": TierLimits(**shown),
        "overrides": {name: _plain(value) for name, value in tier.overrides.given().items()},
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _tier(view: TierView) -> TierOut:
    created_at = view.tier.created_at
    return TierOut(**_facts(view), created_at=iso(created_at) if created_at else None)


@router.get("/projects/{project_id}/tiers")
async def list_tiers(by: By, services: Services, project_id: str) -> Listing[TierOut]:
    """List the built-in tiers, then the project's own."""
    return Listing(data=[_tier(view) for view in services.tiers.list(by, project_id)])


@router.post("/projects/{project_id}/tiers", status_code=201)
async def create_tier(by: By, services: Services, project_id: str, body: TierBody) -> TierOut:
    """Make a tier of the project's own; there may be three."""
    overrides = body.overrides.given() if body.overrides else {}
    return _tier(services.tiers.create(by, project_id, name=body.name, overrides=overrides))


@router.get("/projects/{project_id}/tiers/{tier}")
async def get_tier(by: By, services: Services, project_id: str, tier: str) -> TierOut:
    """Show a tier, by its id, number or name."""
    return _tier(services.tiers.get(by, project_id, tier))


@router.put("/projects/{project_id}/tiers/{tier}")
async def change_tier(by: By, services: Services, project_id: str, tier: str, body: TierChange) -> TierOut:
    """Override something, or nothing any more, for the next request."""
    return _tier(services.tiers.change(by, project_id, tier, overrides=body.overrides.given()))


@router.delete("/projects/{project_id}/tiers/{tier}", status_code=204)
async def delete_tier(by: By, services: Services, project_id: str, tier: str) -> None:
    """End a tier of the project's own, or take all overrides of a built-in one away."""
    services.tiers.delete(by, project_id, tier)


@router.get("/projects/{project_id}/tiers/{tier}/resolved")
async def resolve_tier(by: By, services: Services, project_id: str, tier: str) -> ResolvedTier:
    """Show all that is in force for a tier's users: the project's settings, overlaid by what the tier says."""
    view = services.tiers.get(by, project_id, tier)
    values = {name: _plain(getattr(view.resolved, name)) for name in TIER_FIELDS if name != "requests_per_day"}
    return ResolvedTier(**_facts(view), settings=TierSettings(**values))
