"""Settings are changed in a draft, and take effect when it is deployed."""

from __future__ import annotations

from collections.abc import Mapping

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import ProjectStore
from behest_gateway.control.projects import Projects
from behest_gateway.control.publishing import Publishing
from behest_gateway.control.records import Project
from behest_gateway.control.settings import changed_settings, read_settings
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.events import new_event


class Deploying:
    """Saves, deploys and discards drafts."""

    def __init__(self, store: ProjectStore, publishing: Publishing, projects: Projects, clock: Clock) -> None:
        self._clock = clock
        self._store = store
        self._publishing = publishing
        self._projects = projects

    def save_draft(self, actor: Actor, project_id: str, settings: Mapping[str, object]) -> Project:
        """Keep settings as the draft, in place of an earlier one; what is not named stays as it is deployed."""
        project = self._projects.get(actor, project_id)
        draft = read_settings(settings, project.deployed)
        self._store.save_settings(project.id, project.deployed, draft)
        return self._projects.get(actor, project_id)

    def deploy(self, actor: Actor, project_id: str) -> Project:
        """Put the draft into effect for the next request.

        Raises:
            GatewayError: 409 when there is no draft.
        """
        project = self._projects.get(actor, project_id)
        if project.draft is None:
            raise GatewayError("conflict", "There is no draft to deploy; PUT the settings first.")
        told = new_event(
            "config_deployed",
            tenant_id=project.tenant_id,
            project_id=project.id,
            at=self._clock.now_us(),
            changed=",".join(changed_settings(project.deployed, project.draft)),
            by=actor.name,
        )
        self._store.save_settings(project.id, project.draft, None, events=[told])
        self._publishing.project(project.id)
        return self._projects.get(actor, project_id)

    def discard_draft(self, actor: Actor, project_id: str) -> None:
        """Drop the draft.

        Raises:
            GatewayError: 409 when there is none.
        """
        project = self._projects.get(actor, project_id)
        if project.draft is None:
            raise GatewayError("conflict", "There is no draft to discard.")
        self._store.save_settings(project.id, project.deployed, None)
