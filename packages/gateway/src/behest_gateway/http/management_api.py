"""The management plane over HTTP, as a FastAPI app; its OpenAPI document is the API reference.

Routes live under `/v1`; whoever mounts the app strips a leading `/auth`. Refusals are flat objects. A request is
checked in this order: its route, who asks, the shape of its body, and then the rules of `control`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, cast

from behest_protocol.errors import flat_envelope
from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from behest_gateway.control.records import (
    KeyRecord,
    Project,
    SigningKey,
    SwitchChange,
    SwitchRecord,
    Tenant,
)
from behest_gateway.control.settings import settings_json
from behest_gateway.core.clock import iso
from behest_gateway.core.errors import GatewayError
from behest_gateway.http import (
    management_analytics,
    management_budgets,
    management_events,
    management_exports,
    management_tiers,
    management_webhooks,
)
from behest_gateway.http import management_models as models
from behest_gateway.http.management_services import (
    REFUSALS,
    By,
    KillReason,
    ManagementServices,
    Services,
    TenantQuery,
)

log = logging.getLogger("behest.management")


router = APIRouter(prefix="/v1", responses=REFUSALS)


@router.post("/tenants", status_code=201, tags=["tenants"])
async def create_tenant(by: By, services: Services, body: models.TenantBody) -> models.TenantOut:
    """Make a tenant. Operators only."""
    return _tenant(services.tenants.create(by, name=body.name, plan=body.plan))


@router.get("/tenants", tags=["tenants"])
async def list_tenants(by: By, services: Services) -> models.Listing[models.TenantOut]:
    """List every tenant. Operators only."""
    return models.Listing(data=[_tenant(tenant) for tenant in services.tenants.list(by)])


@router.get("/tenants/me", tags=["tenants"])
async def get_tenant(by: By, services: Services, tenant_id: TenantQuery = None) -> models.TenantOut:
    """Show one's own tenant."""
    return _tenant(services.tenants.get(by, tenant_id))


@router.patch("/tenants/me", tags=["tenants"])
async def change_tenant(
    by: By, services: Services, body: models.TenantChange, tenant_id: TenantQuery = None
) -> models.TenantOut:
    """Rename one's own tenant; an operator may also change its plan."""
    return _tenant(services.tenants.change(by, tenant_id, name=body.name, plan=body.plan))


@router.post("/projects", status_code=201, tags=["projects"])
async def create_project(by: By, services: Services, body: models.ProjectBody) -> models.ProjectOut:
    """Make a project, and deploy its settings at once."""
    project = services.projects.create(
        by,
        tenant_id=body.tenant_id,
        name=body.name,
        slug=body.slug,
        settings=None if body.settings is None else body.settings.given(),
    )
    return _project(project, services)


@router.get("/projects", tags=["projects"])
async def list_projects(by: By, services: Services, tenant_id: TenantQuery = None) -> models.Listing[models.ProjectOut]:
    """List projects."""
    projects = services.projects.list(by, tenant_id)
    return models.Listing(data=[_project(project, services) for project in projects])


@router.get("/projects/{project_id}", tags=["projects"])
async def get_project(by: By, services: Services, project_id: str) -> models.ProjectOut:
    """Show a project."""
    return _project(services.projects.get(by, project_id), services)


@router.patch("/projects/{project_id}", tags=["projects"])
async def rename_project(by: By, services: Services, project_id: str, body: models.ProjectChange) -> models.ProjectOut:
    """Rename a project; its slug stays."""
    return _project(services.projects.rename(by, project_id, name=body.name), services)


@router.delete("/projects/{project_id}", status_code=204, tags=["projects"])
async def delete_project(by: By, services: Services, project_id: str) -> None:
    """End a project with its keys and budgets. What it has used stays in the ledger."""
    services.projects.delete(by, project_id)


@router.post("/projects/{project_id}/suspend", tags=["projects"])
async def suspend_project(by: By, services: Services, project_id: str) -> models.ProjectOut:
    """Refuse every mint and call of a project, until it is resumed."""
    return _project(services.projects.suspend(by, project_id), services)


@router.post("/projects/{project_id}/resume", tags=["projects"])
async def resume_project(by: By, services: Services, project_id: str) -> models.ProjectOut:
    """Serve a project again."""
    return _project(services.projects.resume(by, project_id), services)


@router.post("/projects/{project_id}/provisioning/retry", tags=["projects"])
async def retry_provisioning(by: By, services: Services, project_id: str) -> models.ProjectOut:
    """Show a project; a self-hosted one is ready from the start."""
    return _project(services.projects.get(by, project_id), services)


@router.get("/projects/{project_id}/settings", tags=["settings"])
async def get_settings(by: By, services: Services, project_id: str) -> models.DeploymentOut:
    """Show what is deployed, and the draft."""
    return _deployment(services.projects.get(by, project_id))


@router.put("/projects/{project_id}/settings", tags=["settings"])
async def save_draft(by: By, services: Services, project_id: str, body: models.SettingsBody) -> models.DeploymentOut:
    """Keep settings as a draft, in place of an earlier one."""
    return _deployment(services.deploying.save_draft(by, project_id, body.given()))


@router.post("/projects/{project_id}/deploy", tags=["settings"])
async def deploy(by: By, services: Services, project_id: str) -> models.DeploymentOut:
    """Put the draft into effect, for the next request."""
    return _deployment(services.deploying.deploy(by, project_id))


@router.delete("/projects/{project_id}/draft", status_code=204, tags=["settings"])
async def discard_draft(by: By, services: Services, project_id: str) -> None:
    """Drop the draft."""
    services.deploying.discard_draft(by, project_id)


@router.post("/projects/{project_id}/keys", status_code=201, tags=["keys"])
async def create_key(
    by: By, services: Services, project_id: str, body: Annotated[models.KeyBody | None, Body()] = None
) -> models.NewKeyOut:
    """Make an API key. The answer is the one place where it is shown."""
    asked = body or models.KeyBody()
    return _new_key(*await services.keys.create(by, project_id, name=asked.name, role=asked.role))


@router.get("/projects/{project_id}/keys", tags=["keys"])
async def list_keys(by: By, services: Services, project_id: str) -> models.Listing[models.KeyOut]:
    """List the API keys in force."""
    return models.Listing(data=[_key(key) for key in services.keys.list(by, project_id)])


@router.delete("/projects/{project_id}/keys/{key_id}", status_code=204, tags=["keys"])
async def revoke_key(by: By, services: Services, project_id: str, key_id: str) -> None:
    """Refuse an API key from now on."""
    services.keys.revoke(by, project_id, key_id)


@router.post("/projects/{project_id}/keys/{key_id}/rotate", status_code=201, tags=["keys"])
async def rotate_key(by: By, services: Services, project_id: str, key_id: str) -> models.NewKeyOut:
    """Make a key of the same name and role, and refuse the old one from now on."""
    return _new_key(*await services.keys.rotate(by, project_id, key_id))


@router.post("/signing-keys", status_code=201, tags=["signing keys"])
async def create_signing_key(
    by: By, services: Services, body: Annotated[models.SigningKeyBody | None, Body()] = None
) -> JSONResponse:
    """Generate a signing key, or register the public half of one. A private half is shown here and kept nowhere."""
    asked = body or models.SigningKeyBody()
    key, private_pem = await services.signing_keys.create(
        by, tenant_id=asked.tenant_id, name=asked.name, public_key_pem=asked.public_key_pem
    )
    shown = _signing_key(key).model_dump()
    if private_pem is not None:
        shown["private_key_pem"] = private_pem
    return JSONResponse(shown, 201)


@router.get("/signing-keys", tags=["signing keys"])
async def list_signing_keys(
    by: By, services: Services, tenant_id: TenantQuery = None
) -> models.Listing[models.SigningKeyOut]:
    """List the signing keys in force."""
    return models.Listing(data=[_signing_key(key) for key in services.signing_keys.list(by, tenant_id)])


@router.delete("/signing-keys/{kid}", status_code=204, tags=["signing keys"])
async def revoke_signing_key(by: By, services: Services, kid: str) -> None:
    """Refuse every token of a signing key from now on."""
    services.signing_keys.revoke(by, kid)


@router.get("/admin/kill-switches", tags=["kill switches"])
async def list_kill_switches(by: By, services: Services) -> models.Listing[models.KillSwitchOut]:
    """List the kill switches that are on: all for an operator, those of the own tenant for an admin."""
    return models.Listing(data=[_kill_switch(record) for record in services.kill_switches.list(by)])


@router.get("/admin/kill-switch-changes", tags=["kill switches"])
async def list_kill_switch_changes(by: By, services: Services) -> models.Listing[models.KillSwitchChangeOut]:
    """Show who turned which kill switch on and off, and why, newest first; the last 500."""
    return models.Listing(data=[_kill_switch_change(change) for change in services.kill_switches.changes(by)])


@router.get("/admin/kill-switches/{scope}", tags=["kill switches"])
async def get_global_kill_switch(by: By, services: Services, scope: str) -> models.KillSwitchOut:
    """Show the switch of scope `global`; 404 when it is off."""
    return _kill_switch(services.kill_switches.get(by, scope, ""))


@router.put("/admin/kill-switches/{scope}", tags=["kill switches"])
async def kill_globally(
    by: By, services: Services, scope: str, body: Annotated[models.KillBody | None, Body()] = None
) -> models.KillSwitchOut:
    """Turn everything off, with scope `global`. Operators only."""
    return _kill_switch(services.kill_switches.turn_on(by, scope, "", reason=(body or models.KillBody()).reason))


@router.delete("/admin/kill-switches/{scope}", status_code=204, tags=["kill switches"])
async def revive_globally(by: By, services: Services, scope: str, reason: KillReason = None) -> None:
    """Serve again what scope `global` turned off. Operators only."""
    services.kill_switches.turn_off(by, scope, "", reason=reason)


@router.get("/admin/kill-switches/{scope}/{target:path}", tags=["kill switches"])
async def get_kill_switch(by: By, services: Services, scope: str, target: str) -> models.KillSwitchOut:
    """Show a kill switch; 404 when it is off."""
    return _kill_switch(services.kill_switches.get(by, scope, target))


@router.put("/admin/kill-switches/{scope}/{target:path}", tags=["kill switches"])
async def kill(
    by: By, services: Services, scope: str, target: str, body: Annotated[models.KillBody | None, Body()] = None
) -> models.KillSwitchOut:
    """Refuse new calls of a tenant, project, user or model, and end those under way. A user is `project_id/user_id`."""
    return _kill_switch(services.kill_switches.turn_on(by, scope, target, reason=(body or models.KillBody()).reason))


@router.delete("/admin/kill-switches/{scope}/{target:path}", status_code=204, tags=["kill switches"])
async def revive(by: By, services: Services, scope: str, target: str, reason: KillReason = None) -> None:
    """Serve it again."""
    services.kill_switches.turn_off(by, scope, target, reason=reason)


@router.post("/admin/minting-key/rotate", status_code=201, tags=["operators"])
async def rotate_minting_key(
    by: By, services: Services, body: Annotated[models.RotateBody | None, Body()] = None
) -> models.MintingKeyOut:
    """Sign minted tokens with a new key. Tokens of the older ones stay good until they expire, unless revoked here."""
    by.require_operator()
    asked = body or models.RotateBody()
    return models.MintingKeyOut(kid=await services.minting_keys.rotate(revoke_others=asked.revoke_others))


def _tenant(tenant: Tenant) -> models.TenantOut:
    return models.TenantOut(
        id=tenant.id, name=tenant.name, plan=cast("models.Plan", tenant.plan), created_at=iso(tenant.created_at)
    )


def _settings(project: Project) -> models.SettingsOut:
    return models.SettingsOut(**settings_json(project.deployed))


def _project(project: Project, services: ManagementServices) -> models.ProjectOut:
    return models.ProjectOut(
        id=project.id,
        tenant_id=project.tenant_id,
        name=project.name,
        slug=project.slug,
        host=f"{project.slug}.{services.base_domain}",
        status="suspended" if project.status == "suspended" else "active",
        dns_status=project.dns_status,
        created_at=iso(project.created_at),
        settings=_settings(project),
    )


def _deployment(project: Project) -> models.DeploymentOut:
    return models.DeploymentOut(
        deployed=_settings(project),
        draft=None if project.draft is None else models.SettingsOut(**settings_json(project.draft)),
        has_draft=project.draft is not None,
    )


def _key(key: KeyRecord) -> models.KeyOut:
    return models.KeyOut(
        id=key.id,
        name=key.name,
        role=cast("models.KeyRole", key.role),
        last4=key.last4,
        created_at=iso(key.created_at),
    )


def _new_key(key: KeyRecord, plaintext: str) -> models.NewKeyOut:
    return models.NewKeyOut(**_key(key).model_dump(), key=plaintext)


def _signing_key(key: SigningKey) -> models.SigningKeyOut:
    return models.SigningKeyOut(
        kid=key.kid,
        tenant_id=key.tenant_id,
        name=key.name,
        public_key_pem=key.public_pem,
        created_at=iso(key.created_at),
    )


def _kill_switch(record: SwitchRecord) -> models.KillSwitchOut:
    return models.KillSwitchOut(
        scope=record.switch.scope,
        target=record.switch.target or None,
        reason=record.reason,
        set_by=record.set_by,
        set_at=iso(record.set_at),
    )


def _kill_switch_change(change: SwitchChange) -> models.KillSwitchChangeOut:
    return models.KillSwitchChangeOut(
        turned="on" if change.is_on else "off",
        scope=change.switch.scope,
        target=change.switch.target or None,
        reason=change.reason,
        changed_by=change.changed_by,
        changed_at=iso(change.changed_at),
    )


def management_app(services: ManagementServices) -> FastAPI:
    """Build the app. It serves `/v1/openapi.json`, and no page that loads from elsewhere."""
    app = FastAPI(
        title="Behest management API",
        version="1",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.include_router(router)
    app.include_router(management_analytics.router)
    app.include_router(management_budgets.router)
    app.include_router(management_exports.router)
    app.include_router(management_events.router)
    app.include_router(management_webhooks.router)
    app.include_router(management_tiers.router)
    app.add_exception_handler(GatewayError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_shape)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_middleware(_Shield)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Leave 422 out of the API reference: it is answered as 400."""
    generate: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change the document


def trace_id_of(scope: Scope) -> str:
    """The id that the front gave the request, or nothing."""
    state = cast("dict[str, Any]", scope.get("state") or {})
    return str(state.get("request_id", ""))


def _answer(scope: Scope, code: str, status: int, message: str, *, retryable: bool = False) -> JSONResponse:
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(flat_envelope(code, message, retryable=retryable, trace_id=trace_id_of(scope)), status, headers)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101  (for the type checker; registered for this type)
    return _answer(request.scope, error.code, error.status, error.message, retryable=error.retryable)


async def _refuse_shape(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return _answer(request.scope, "validation_error", 400, _sentence(error.errors()))


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 404:
        return _answer(request.scope, "not_found", 404, "There is nothing at this address.")
    if error.status_code == 405:
        answer = _answer(request.scope, "method_not_allowed", 405, f"This address does not take {request.method}.")
        answer.headers.update(error.headers or {})
        return answer
    return _answer(request.scope, "validation_error", 400, "The body cannot be read.")


def _sentence(errors: Sequence[Any]) -> str:
    """Say what is wrong with a body, by field, without repeating what was sent."""
    said: dict[str, None] = {}
    for error in errors:
        if error["type"] == "json_invalid":
            return "The body is not JSON."
        name = ".".join(str(part) for part in error["loc"][1:])[:200]
        if not name:
            return "The body must be a JSON object, sent with Content-Type: application/json."
        match error["type"]:
            case "missing":
                said[f"{name} is required"] = None
            case "extra_forbidden":
                said[f"{name} is not a field that is known here"] = None
            case _:
                said[f"{name}: {str(error['msg'])[:200]}"] = None
    return "; ".join(list(said)[:5])


class _Shield:
    """Answers a failure that nobody foresaw with a flat 500, and lets no answer be kept by a cache.

    The log names the kind of the failure and where it was, never its message: that may quote a secret.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_private(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message["headers"], (b"cache-control", b"no-store")]}
            await send(message)

        try:
            await self._app(scope, receive, send_private)
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("management request %s failed: %s\n%s", trace_id_of(scope), type(error).__name__, where)
            if started:
                raise
            failed: Callable[[Scope, Receive, Send], Awaitable[None]] = _answer(
                scope, "server_error", 500, "The gateway failed; the trace id finds the reason.", retryable=True
            )
            await failed(scope, receive, send_private)
