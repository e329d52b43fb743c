"""Make what is stored take effect: a project goes out as one immutable snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from behest_gateway.control.ports import PublishedStore
from behest_gateway.control.records import Project
from behest_gateway.core.budgets import Budget, BudgetSet, quota
from behest_gateway.core.snapshot import ProjectSnapshot, Publisher
from behest_gateway.core.tiers import Tier

PUBLISHED_ALLOWANCES: Mapping[str, int] = {"free": 5_000_000, "pro": 50_000_000, "max": 500_000_000}
"""Tokens a month that a tenant's plan allows, where a platform sells plans."""


def snapshot_of(project: Project, budgets: Iterable[Budget], tiers: Iterable[Tier] = ()) -> ProjectSnapshot:
    """What the stages see of a project."""
    return ProjectSnapshot(
        id=project.id,
        tenant_id=project.tenant_id,
        name=project.name,
        slug=project.slug,
        status=project.status,
        settings=project.deployed,
        budgets=BudgetSet(tuple(budgets)),
        tiers=tuple(tiers),
    )


class Publishing:
    """Publishes what the store holds, after it was committed.

    Args:
        allowances: Tokens a month by a tenant's plan; a plan that is not there has no limit.
    """

    def __init__(
        self, store: PublishedStore, publisher: Publisher, allowances: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._allowances = allowances

    def project(self, project_id: str) -> None:
        """Publish a project as it is stored now, or withdraw it when it is no more."""
        project = self._store.project(project_id)
        if project is None:
            self._publisher.withdraw_project(project_id)
        else:
            budgets = [*self._of_tenant(project.tenant_id), *self._store.budgets(project_id)]
            self._publisher.publish_project(snapshot_of(project, budgets, self._store.tiers(project_id)))

    def tenant(self, tenant_id: str) -> None:
        """Publish every project of a tenant as it is stored now."""
        for project in self._store.projects(tenant_id):
            self.project(project.id)

    def _of_tenant(self, tenant_id: str) -> list[Budget]:
        tenant = self._store.tenant(tenant_id)
        allowance = None if tenant is None else self._allowances.get(tenant.plan)
        budgets = self._store.tenant_budgets(tenant_id)
        return budgets if allowance is None else [quota("plan", tenant_id, "tokens", "month", allowance), *budgets]

    def everything(self) -> None:
        """Publish every project, key and kill switch; called once, at the start."""
        of_tenants = {tenant.id: self._of_tenant(tenant.id) for tenant in self._store.tenants()}
        of_projects: defaultdict[str, list[Budget]] = defaultdict(list)
        for budget in self._store.budgets(None):
            of_projects[budget.project_id or ""].append(budget)
        tiers = self._store.tiers_by_project()
        for project in self._store.projects(None):
            budgets = [*of_tenants[project.tenant_id], *of_projects[project.id]]
            self._publisher.publish_project(snapshot_of(project, budgets, tiers.get(project.id, ())))
        for key in self._store.keys(None):
            self._publisher.publish_api_key(key.published)
        for signing_key in self._store.signing_keys(None):
            self._publisher.publish_verification_key(signing_key.published)
        for record in self._store.switches(None):
            self._publisher.publish_switch(record.switch)
