"""Make what is stored take effect: a project goes out as one immutable snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from behest_gateway.control.ports import PublishedStore
from behest_gateway.control.records import Project
from behest_gateway.core.snapshot import Budget, ProjectSnapshot, Publisher


def snapshot_of(project: Project, budgets: Iterable[Budget]) -> ProjectSnapshot:
    """What the stages see of a project."""
    return ProjectSnapshot(
        id=project.id,
        tenant_id=project.tenant_id,
        name=project.name,
        slug=project.slug,
        status=project.status,
        settings=project.deployed,
        budgets=tuple(budgets),
    )


class Publishing:
    """Publishes what the store holds, after it was committed."""

    def __init__(self, store: PublishedStore, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher

    def project(self, project_id: str) -> None:
        """Publish a project as it is stored now, or withdraw it when it is no more."""
        project = self._store.project(project_id)
        if project is None:
            self._publisher.withdraw_project(project_id)
        else:
            self._publisher.publish_project(snapshot_of(project, self._store.budgets(project_id)))

    def everything(self) -> None:
        """Publish every project, key and kill switch; called once, at the start."""
        budgets: defaultdict[str, list[Budget]] = defaultdict(list)
        for budget in self._store.budgets(None):
            budgets[budget.project_id].append(budget)
        for project in self._store.projects(None):
            self._publisher.publish_project(snapshot_of(project, budgets[project.id]))
        for key in self._store.keys(None):
            self._publisher.publish_api_key(key.published)
        for signing_key in self._store.signing_keys(None):
            self._publisher.publish_verification_key(signing_key.published)
        for record in self._store.switches(None):
            self._publisher.publish_switch(record.switch)
