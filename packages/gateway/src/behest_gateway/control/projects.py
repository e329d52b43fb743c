"""Projects: what is deployed, suspended and deleted as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import PublishedStore
from behest_gateway.control.publishing import Publishing
from behest_gateway.control.records import Project
from behest_gateway.control.rules import clean_name, clean_slug, new_slug
from behest_gateway.control.settings import read_settings
from behest_gateway.control.tenants import Tenants
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.ids import new_id
from behest_gateway.core.snapshot import ProjectSettings

_SLUG_TRIES = 20


class Projects:
    """Makes, lists, changes and ends projects."""

    def __init__(self, store: PublishedStore, publishing: Publishing, tenants: Tenants, clock: Clock) -> None:
        self._store = store
        self._publishing = publishing
        self._tenants = tenants
        self._clock = clock

    def create(
        self,
        actor: Actor,
        *,
        tenant_id: str | None,
        name: str,
        slug: str | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> Project:
        """Make a project and deploy its settings at once.

        Raises:
            GatewayError: 400 for a field, 404 for the tenant, 409 when the slug is taken.
        """
        tenant = self._tenants.get(actor, tenant_id)
        project = Project(
            id=new_id(),
            tenant_id=tenant.id,
            name=clean_name(name),
            slug=new_slug() if slug is None else clean_slug(slug),
            deployed=read_settings(settings or {}, ProjectSettings()),
            created_at=self._clock.now_us(),
        )
        tries = 1 if slug is not None else _SLUG_TRIES
        for _ in range(tries):
            if self._store.insert_project(project):
                self._publishing.project(project.id)
                return project
            if slug is not None:
                raise GatewayError("conflict", f"The slug {slug!r} is taken; choose another.", param="slug")
            project = replace(project, slug=new_slug())
        raise GatewayError("unavailable", "No free slug was found; name one in the request.", param="slug")

    def list(self, actor: Actor, tenant_id: str | None = None) -> list[Project]:
        """The projects that an actor sees, of one tenant when it is named."""
        return self._store.projects(actor.tenants_in_view(tenant_id))

    def get(self, actor: Actor, project_id: str) -> Project:
        """One project.

        Raises:
            GatewayError: 404 when there is none, or it is another tenant's.
        """
        project = self._store.project(project_id)
        if project is None or not actor.sees(project.tenant_id):
            raise GatewayError("not_found", "There is no project of this id.")
        return project

    def rename(self, actor: Actor, project_id: str, *, name: str) -> Project:
        """Give a project another name; its slug stays."""
        return self._change(replace(self.get(actor, project_id), name=clean_name(name)))

    def suspend(self, actor: Actor, project_id: str) -> Project:
        """Refuse every mint and call of a project until it is resumed."""
        return self._change(replace(self.get(actor, project_id), status="suspended"))

    def resume(self, actor: Actor, project_id: str) -> Project:
        """Serve a project again."""
        return self._change(replace(self.get(actor, project_id), status="active"))

    def delete(self, actor: Actor, project_id: str) -> None:
        """End a project with its keys and budgets; the ledger keeps its rows."""
        project = self.get(actor, project_id)
        self._store.delete_project(project.id, self._clock.now_us())
        self._publishing.project(project.id)

    def _change(self, project: Project) -> Project:
        self._store.update_project(project)
        self._publishing.project(project.id)
        return project
