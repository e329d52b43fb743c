"""The routes of analytics: who and what the money of a project went to."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from behest_protocol.money import usd_from_nano
from fastapi import APIRouter, Query
from msgspec.structs import replace

from behest_gateway.control.analytics import Period, Used
from behest_gateway.core.clock import iso
from behest_gateway.http import management_models as models
from behest_gateway.http.management_services import REFUSALS, AskedQuery, By, Services

UsedT = TypeVar("UsedT", bound=models.UsedOut)

router = APIRouter(prefix="/v1", responses=REFUSALS, tags=["analytics"])


@router.get("/projects/{project_id}/analytics/summary")
async def summarise(
    by: By,
    services: Services,
    project_id: str,
    asked: AskedQuery,
    granularity: Annotated[str, Query(description="`hour` or `day`, of UTC")] = "day",
) -> models.Analysis[models.StepUsed]:
    """Show what a project used, step by step; a step without any calls is left out."""
    period, steps = await services.analytics.summary(by, project_id, replace(asked, granularity=granularity))
    return _analysis(period, [models.StepUsed(timestamp=iso(at), **_used(used)) for at, used in steps])


@router.get("/projects/{project_id}/analytics/users")
async def rank_users(
    by: By, services: Services, project_id: str, asked: AskedQuery
) -> models.Analysis[models.UserUsed]:
    """List the users that cost most, by whole days of UTC."""
    period, found = await services.analytics.users(by, project_id, asked)
    return _analysis(period, [models.UserUsed(user_id=user, **_used(used)) for user, used in found])


@router.get("/projects/{project_id}/analytics/sessions")
async def rank_sessions(
    by: By, services: Services, project_id: str, asked: AskedQuery
) -> models.Analysis[models.SessionUsed]:
    """List the sessions that cost most, by whole days of UTC."""
    period, found = await services.analytics.sessions(by, project_id, asked)
    data = [models.SessionUsed(session_id=session, user_id=user, **_used(used)) for session, user, used in found]
    return _analysis(period, data)


@router.get("/projects/{project_id}/analytics/threads")
async def rank_threads(
    by: By, services: Services, project_id: str, asked: AskedQuery
) -> models.Analysis[models.ThreadUsed]:
    """List the threads that cost most, by whole days of UTC."""
    period, found = await services.analytics.threads(by, project_id, asked)
    data = [models.ThreadUsed(thread_id=thread, user_id=user, **_used(used)) for thread, user, used in found]
    return _analysis(period, data)


@router.get("/projects/{project_id}/analytics/models")
async def rank_models(
    by: By, services: Services, project_id: str, asked: AskedQuery
) -> models.Analysis[models.ModelUsed]:
    """List the models that cost most, by whole hours of UTC."""
    period, found = await services.analytics.models(by, project_id, asked)
    return _analysis(period, [models.ModelUsed(model=model, byok=byok, **_used(used)) for model, byok, used in found])


@router.get("/projects/{project_id}/analytics/tiers")
async def rank_tiers(
    by: By, services: Services, project_id: str, asked: AskedQuery
) -> models.Analysis[models.TierUsed]:
    """List the tiers that cost most, by whole hours of UTC."""
    period, found = await services.analytics.tiers(by, project_id, asked)
    return _analysis(period, [models.TierUsed(tier=tier, **_used(used)) for tier, used in found])


def _used(used: Used) -> dict[str, Any]:
    return {
        "requests": used.requests,
        "tokens": used.input_tokens + used.output_tokens,
        "input_tokens": used.input_tokens,
        "cached_read_tokens": used.cached_read_tokens,
        "output_tokens": used.output_tokens,
        "cost_usd": usd_from_nano(used.cost_nano),
    }


def _analysis(period: Period, data: list[UsedT]) -> models.Analysis[UsedT]:
    return models.Analysis(window={"from": iso(period.starts_at), "to": iso(period.ends_at)}, data=data)
