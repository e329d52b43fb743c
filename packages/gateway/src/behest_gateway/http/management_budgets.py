"""The routes of budgets: a project's, and a whole tenant's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from behest_gateway.control.budgets import BudgetWish, Limits, Place
from behest_gateway.control.records import BudgetView, TopUp
from behest_gateway.core.budgets import BudgetMode, BudgetScope, Unit, shown
from behest_gateway.core.clock import iso
from behest_gateway.core.windows import WindowKind
from behest_gateway.http.management_models import Amount, Body, Id, Listing, Time
from behest_gateway.http.management_services import REFUSALS, By, ManagementServices, Services, TenantQuery

router = APIRouter(prefix="/v1", responses=REFUSALS, tags=["budgets"])

Count = Annotated[int | None, Field(default=None, description="A whole number, 0 or more", examples=[50_000])]
Dollars = Annotated[Amount | None, Field(default=None, description="US dollars", examples=[12.5, "0.50"])]
Thresholds = Annotated[
    list[int] | None, Field(default=None, description="Percent of the limit at which an event is made; 50, 80, 100")
]


class BudgetChange(Body):
    """What to change about a budget. A limit is in the unit that the budget has."""

    limit_usd: Dollars = None
    limit_tokens: Count = None
    limit_requests: Count = None
    mode: BudgetMode | None = None
    thresholds: Thresholds = None

    @property
    def limits(self) -> Limits:
        """The limit that was sent."""
        return Limits(usd=self.limit_usd, tokens=self.limit_tokens, requests=self.limit_requests)


class BudgetBody(BudgetChange):
    """A new budget, with exactly one of the three limits."""

    scope: BudgetScope = Field(
        description="What it limits. `user`, `key` and `model` name one; `each_user`, `each_session`, `each_thread` "
        "and `each_key` give each of them a limit of its own; `tenant` is made at `/v1/tenants/me/budgets`"
    )
    user_id: str | None = Field(default=None, description="With scope `user` alone", examples=["u_42"])
    key_id: str | None = Field(default=None, description="With scope `key` alone: the id of an API key")
    model: str | None = Field(default=None, description="With scope `model` alone", examples=["gpt-4o"])
    window: WindowKind = Field(description="`rolling` needs `hours`; `lifetime` never resets, and can be topped up")
    hours: int | None = Field(default=None, description="How far a rolling window looks back")
    timezone: str = Field(default="UTC", description="Whose midnight ends a day or a month", examples=["Europe/Berlin"])


class BudgetOut(BaseModel):
    """A limit, and what its window has seen, in its unit; the other units are null. So are the sums of a scope that
    gives each a limit of its own."""

    id: Id
    tenant_id: Id
    project_id: Id | None
    scope: BudgetScope
    user_id: str | None
    key_id: str | None
    model: str | None
    unit: Unit
    window: WindowKind
    hours: int | None
    timezone: str
    mode: BudgetMode
    thresholds: list[int]
    resets_at: Time | None
    created_at: Time
    refused: int = Field(description="Calls that it refused in this window, or would have in mode `shadow`")
    limit_usd: float | None = None
    limit_tokens: int | None = None
    limit_requests: int | None = None
    spent_usd: float | None = None
    spent_tokens: int | None = None
    spent_requests: int | None = None
    held_usd: float | None = None
    held_tokens: int | None = None
    held_requests: int | None = None


class TopUpBody(Body):
    """What to add to a budget of a lifetime, in its unit."""

    id: str | None = Field(default=None, description="Your own; a second top-up of the same id adds nothing")
    amount_usd: Dollars = None
    amount_tokens: Count = None
    amount_requests: Count = None
    note: str = ""


class TopUpOut(BaseModel):
    """Something was added to a budget."""

    id: str
    budget_id: Id
    amount_usd: float | None = None
    amount_tokens: int | None = None
    amount_requests: int | None = None
    note: str
    added_by: str
    added_at: Time


class ToppedUp(TopUpOut):
    """What was added, and how the budget stands since."""

    object: Literal["top_up"] = "top_up"
    budget: BudgetOut


def wish_of(body: BudgetBody) -> BudgetWish:
    """A body as `control` takes it."""
    return BudgetWish(
        scope=body.scope,
        window=body.window,
        limits=body.limits,
        hours=body.hours,
        timezone=body.timezone,
        mode=body.mode or "enforce",
        thresholds=body.thresholds,
        user_id=body.user_id,
        key_id=body.key_id,
        model=body.model,
    )


def _amounts(body: TopUpBody) -> Limits:
    return Limits(usd=body.amount_usd, tokens=body.amount_tokens, requests=body.amount_requests)


def _budget(view: BudgetView) -> BudgetOut:
    budget = view.budget
    unit = budget.unit
    amounts: dict[str, Any] = {f"limit_{unit}": shown(unit, budget.limit)}
    if view.spent is not None and view.held is not None:
        amounts |= {f"spent_{unit}": shown(unit, view.spent), f"held_{unit}": shown(unit, view.held)}
    return BudgetOut(
        id=budget.id,
        tenant_id=budget.tenant_id,
        project_id=budget.project_id,
        scope=budget.scope,
        user_id=budget.subject if budget.scope == "user" else None,
        key_id=budget.subject if budget.scope == "key" else None,
        model=budget.subject if budget.scope == "model" else None,
        unit=unit,
        window=budget.window,
        hours=budget.hours or None,
        timezone=budget.timezone,
        mode=budget.mode,
        thresholds=list(budget.thresholds),
        resets_at=None if view.resets_at is None else iso(view.resets_at),
        created_at=iso(budget.created_at),
        refused=view.refused,
        **amounts,
    )


def _top_up(record: TopUp, unit: Unit) -> dict[str, Any]:
    return {
        "id": record.id,
        "budget_id": record.budget_id,
        f"amount_{unit}": shown(unit, record.amount),
        "note": record.note,
        "added_by": record.added_by,
        "added_at": iso(record.added_at),
    }


def _listed_top_ups(services: ManagementServices, place: Place, budget_id: str) -> Listing[TopUpOut]:
    unit = services.budgets.get(place, budget_id).budget.unit
    return Listing(data=[TopUpOut(**_top_up(record, unit)) for record in services.budgets.top_ups(place, budget_id)])


@router.post("/projects/{project_id}/budgets", status_code=201)
async def create_budget(by: By, services: Services, project_id: str, body: BudgetBody) -> BudgetOut:
    """Make a budget. What its window has seen so far counts against it; a lifetime begins with nothing."""
    place = services.budgets.of_project(by, project_id)
    return _budget(services.budgets.create(place, wish_of(body)))


@router.get("/projects/{project_id}/budgets")
async def list_budgets(by: By, services: Services, project_id: str) -> Listing[BudgetOut]:
    """List budgets, with what they have counted."""
    place = services.budgets.of_project(by, project_id)
    return Listing(data=[_budget(view) for view in services.budgets.list(place)])


@router.patch("/projects/{project_id}/budgets/{budget_id}")
async def change_budget(by: By, services: Services, project_id: str, budget_id: str, body: BudgetChange) -> BudgetOut:
    """Raise or lower a limit, or change the mode or the thresholds, for the next request."""
    place = services.budgets.of_project(by, project_id)
    view = services.budgets.change(place, budget_id, limits=body.limits, mode=body.mode, thresholds=body.thresholds)
    return _budget(view)


@router.delete("/projects/{project_id}/budgets/{budget_id}", status_code=204)
async def delete_budget(by: By, services: Services, project_id: str, budget_id: str) -> None:
    """End a budget."""
    services.budgets.delete(services.budgets.of_project(by, project_id), budget_id)


@router.post("/projects/{project_id}/budgets/{budget_id}/top-ups", status_code=201)
async def top_up_budget(by: By, services: Services, project_id: str, budget_id: str, body: TopUpBody) -> ToppedUp:
    """Add to a prepaid budget: one of window `lifetime`. The same `id` a second time adds nothing."""
    place = services.budgets.of_project(by, project_id)
    record, view = services.budgets.top_up(
        by, place, budget_id, amounts=_amounts(body), note=body.note, top_up_id=body.id
    )
    return ToppedUp(**_top_up(record, view.budget.unit), budget=_budget(view))


@router.get("/projects/{project_id}/budgets/{budget_id}/top-ups")
async def list_top_ups(by: By, services: Services, project_id: str, budget_id: str) -> Listing[TopUpOut]:
    """List what was added to a budget, oldest first."""
    return _listed_top_ups(services, services.budgets.of_project(by, project_id), budget_id)


@router.post("/tenants/me/budgets", status_code=201)
async def create_tenant_budget(
    by: By, services: Services, body: BudgetBody, tenant_id: TenantQuery = None
) -> BudgetOut:
    """Limit a whole tenant, with scope `tenant`. Operators only."""
    place = services.budgets.of_tenant(by, tenant_id, to_change=True)
    return _budget(services.budgets.create(place, wish_of(body)))


@router.get("/tenants/me/budgets")
async def list_tenant_budgets(by: By, services: Services, tenant_id: TenantQuery = None) -> Listing[BudgetOut]:
    """List the budgets of a whole tenant."""
    place = services.budgets.of_tenant(by, tenant_id)
    return Listing(data=[_budget(view) for view in services.budgets.list(place)])


@router.patch("/tenants/me/budgets/{budget_id}")
async def change_tenant_budget(
    by: By, services: Services, budget_id: str, body: BudgetChange, tenant_id: TenantQuery = None
) -> BudgetOut:
    """Change a budget of a whole tenant. Operators only."""
    place = services.budgets.of_tenant(by, tenant_id, to_change=True)
    view = services.budgets.change(place, budget_id, limits=body.limits, mode=body.mode, thresholds=body.thresholds)
    return _budget(view)


@router.delete("/tenants/me/budgets/{budget_id}", status_code=204)
async def delete_tenant_budget(by: By, services: Services, budget_id: str, tenant_id: TenantQuery = None) -> None:
    """End a budget of a whole tenant. Operators only."""
    services.budgets.delete(services.budgets.of_tenant(by, tenant_id, to_change=True), budget_id)


@router.post("/tenants/me/budgets/{budget_id}/top-ups", status_code=201)
async def top_up_tenant_budget(
    by: By, services: Services, budget_id: str, body: TopUpBody, tenant_id: TenantQuery = None
) -> ToppedUp:
    """Add to a prepaid budget of a whole tenant. Operators only."""
    place = services.budgets.of_tenant(by, tenant_id, to_change=True)
    record, view = services.budgets.top_up(
        by, place, budget_id, amounts=_amounts(body), note=body.note, top_up_id=body.id
    )
    return ToppedUp(**_top_up(record, view.budget.unit), budget=_budget(view))


@router.get("/tenants/me/budgets/{budget_id}/top-ups")
async def list_tenant_top_ups(
    by: By, services: Services, budget_id: str, tenant_id: TenantQuery = None
) -> Listing[TopUpOut]:
    """List what was added to a budget of a whole tenant, oldest first."""
    return _listed_top_ups(services, services.budgets.of_tenant(by, tenant_id), budget_id)
