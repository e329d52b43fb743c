"""Tenants: the organisations that own projects."""

from __future__ import annotations

from dataclasses import replace

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import TenantStore
from behest_gateway.control.publishing import Publishing
from behest_gateway.control.records import Tenant
from behest_gateway.control.rules import clean_name, clean_plan
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.ids import new_id


class Tenants:
    """Makes, lists and changes tenants."""

    def __init__(self, store: TenantStore, publishing: Publishing, clock: Clock) -> None:
        self._store = store
        self._publishing = publishing
        self._clock = clock

    def create(self, actor: Actor, *, name: str, plan: str = "free") -> Tenant:
        """Make a tenant; operators only."""
        actor.require_operator()
        tenant = Tenant(id=new_id(), name=clean_name(name), plan=clean_plan(plan), created_at=self._clock.now_us())
        self._store.insert_tenant(tenant)
        return tenant

    def list(self, actor: Actor) -> list[Tenant]:
        """Every tenant; operators only."""
        actor.require_operator()
        return self._store.tenants()

    def get(self, actor: Actor, tenant_id: str | None) -> Tenant:
        """The tenant of the actor, or the one that an operator names.

        Raises:
            GatewayError: 404 when there is none.
        """
        wanted = actor.tenant_to_act_for(tenant_id)
        tenant = self._store.tenant(wanted)
        if tenant is None:
            raise GatewayError("not_found", "There is no tenant of this id.", param="tenant_id")
        return tenant

    def change(
        self, actor: Actor, tenant_id: str | None, *, name: str | None = None, plan: str | None = None
    ) -> Tenant:
        """Rename a tenant, or move it to another plan; the plan is an operator's to change."""
        tenant = self.get(actor, tenant_id)
        if plan is not None and plan != tenant.plan:
            actor.require_operator()
            tenant = replace(tenant, plan=clean_plan(plan))
        if name is not None:
            tenant = replace(tenant, name=clean_name(name))
        self._store.update_tenant(tenant)
        self._publishing.tenant(tenant.id)
        return tenant
