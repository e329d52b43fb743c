"""What the routes of the management plane call, and who calls them: the nouns of `control`, and the actor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

from behest_protocol.claims import API_KEY_PREFIX
from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from behest_gateway.control.access import Actor
from behest_gateway.control.admins import Admins
from behest_gateway.control.analytics import Analytics, AnalyticsReader, Asked
from behest_gateway.control.budgets import Budgets
from behest_gateway.control.deploying import Deploying
from behest_gateway.control.events import EventLog, Events
from behest_gateway.control.exporting import ExportReader, Exports
from behest_gateway.control.keys import Keys
from behest_gateway.control.operators import Operators
from behest_gateway.control.ports import BudgetCounters, PublishedStore, RsaKeys, SecretHasher, Users
from behest_gateway.control.projects import Projects
from behest_gateway.control.publishing import Publishing
from behest_gateway.control.signing_keys import SigningKeys
from behest_gateway.control.switches import KillSwitches
from behest_gateway.control.tenants import Tenants
from behest_gateway.control.tiers import Tiers
from behest_gateway.control.webhooks import Seal, Webhooks, WebhookStore
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.snapshot import Publisher
from behest_gateway.http import management_models as models
from behest_gateway.mint.signing import MintingKeys


class Identity(Protocol):
    """Who a verified token speaks for."""

    @property
    def tenant_id(self) -> str: ...

    @property
    def project_id(self) -> str: ...

    @property
    def user_id(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def key_id(self) -> str | None: ...


class TokenVerifier(Protocol):
    """Verifies a user's token, as the data plane does."""

    def verify(self, token: str) -> Identity:
        """Return who a token speaks for; GatewayError when it is not good."""
        ...


class ManagementStore(PublishedStore, Protocol):
    """Everything that the management plane keeps."""


class KeyWorks(SecretHasher, RsaKeys, Protocol):
    """The slow mathematics of keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementServices:
    """What the routes call. `base_domain` is what a project's slug is put before, to be its host."""

    tenants: Tenants
    projects: Projects
    deploying: Deploying
    keys: Keys
    signing_keys: SigningKeys
    budgets: Budgets
    tiers: Tiers
    analytics: Analytics
    exports: Exports
    kill_switches: KillSwitches
    events: Events
    webhooks: Webhooks
    operators: Operators
    minting_keys: MintingKeys
    admins: Admins
    verifier: TokenVerifier
    base_domain: str

    @classmethod
    def over(
        cls,
        *,
        store: ManagementStore,
        publisher: Publisher,
        users: Users,
        counters: BudgetCounters,
        analytics: AnalyticsReader,
        exports: ExportReader,
        event_log: EventLog,
        webhook_store: WebhookStore,
        seal: Seal,
        allow_private_webhooks: bool,
        works: KeyWorks,
        operators: Operators,
        minting_keys: MintingKeys,
        verifier: TokenVerifier,
        clock: Clock,
        base_domain: str,
        publishing: Publishing,
        sells_plans: bool = False,
    ) -> ManagementServices:
        """Build the nouns of `control` over its ports; `sells_plans` as in `Tiers`."""
        tenants = Tenants(store, publishing, clock)
        projects = Projects(store, publishing, tenants, clock)
        return cls(
            tenants=tenants,
            projects=projects,
            deploying=Deploying(store, publishing, projects, clock),
            keys=Keys(store, projects, publisher, works, clock),
            signing_keys=SigningKeys(store, tenants, publisher, works, clock),
            budgets=Budgets(store, tenants, projects, publishing, users, counters, clock),
            tiers=Tiers(store, projects, publishing, clock, sells_plans=sells_plans),
            analytics=Analytics(analytics, projects, clock),
            exports=Exports(exports, projects, tenants, clock),
            kill_switches=KillSwitches(store, tenants, projects, publisher, users, clock),
            events=Events(event_log, projects),
            webhooks=Webhooks(webhook_store, projects, seal, clock, allow_private=allow_private_webhooks),
            operators=operators,
            minting_keys=minting_keys,
            admins=Admins(store),
            verifier=verifier,
            base_domain=base_domain,
        )


async def _services(request: Request) -> ManagementServices:
    return cast("ManagementServices", request.app.state.services)


Services = Annotated[ManagementServices, Depends(_services)]

_bearer = HTTPBearer(auto_error=False, description="The operator secret, or a minted token of role admin")
_secret = APIKeyHeader(name="X-Admin-Secret", auto_error=False, description="The operator secret")


async def _actor(
    services: Services,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    secret: Annotated[str | None, Security(_secret)],
) -> Actor:
    if secret is not None:
        if await services.operators.check(secret):
            return Actor()
        raise GatewayError("invalid_token", "X-Admin-Secret is not this gateway's operator secret.")
    token = bearer.credentials if bearer is not None else ""
    if not token:
        raise GatewayError(
            "invalid_token", "Send the operator secret, or a token of role admin: Authorization: Bearer …"
        )
    if await services.operators.check(token):
        return Actor()
    if token.startswith(API_KEY_PREFIX):
        raise GatewayError("invalid_token", "An API key only mints; mint a token of role admin with it, and send that.")
    if token.count(".") != 2:
        raise GatewayError("invalid_token", "The bearer is neither the operator secret nor a token.")
    who = services.verifier.verify(token)
    return services.admins.actor(
        tenant_id=who.tenant_id, project_id=who.project_id, user_id=who.user_id, role=who.role, key_id=who.key_id
    )


async def _again(
    services: Services,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    secret: Annotated[str | None, Security(_secret)],
) -> Callable[[], Awaitable[Actor]]:
    async def ask() -> Actor:
        return await _actor(services, bearer, secret)

    return ask


By = Annotated[Actor, Depends(_actor)]
Again = Annotated[Callable[[], Awaitable[Actor]], Depends(_again)]
"""Says who asks once more, or refuses; for an answer that takes long."""

KillReason = Annotated[str | None, Query(description="For the record")]


async def _asked(
    since: Annotated[str | None, Query(alias="from", description="A date or time; 30 days back when left out")] = None,
    until: Annotated[str | None, Query(alias="to", description="A date, which it includes, or a time")] = None,
    limit: Annotated[int, Query(description="How many are listed at most, up to 1,000")] = 50,
) -> Asked:
    return Asked(since=since, until=until, limit=limit)


AskedQuery = Annotated[Asked, Depends(_asked)]
TenantQuery = Annotated[str | None, Query(description="An operator names the tenant")]

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Problem, "description": text}
    for status, text in (
        (400, "A field is wrong; the message names it"),
        (401, "No credential, or not a good one"),
        (403, "A good credential, but not for this"),
        (404, "There is no such thing, or not for this credential"),
        (409, "The state does not allow this now"),
    )
}
"""The refusals that any route may answer with, for the API reference."""
