"""A tenant's admins: whoever holds a token of role admin, for as long as the key that minted it is in force.

A user's token lives until it expires, whatever becomes of the API key; that is how far a lost one reaches. An admin's
can do more, so here each request asks whether its project and its key still stand.
"""

from __future__ import annotations

from typing import Protocol

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import KeyStore, ProjectStore
from behest_gateway.core.errors import GatewayError


class AdminStore(ProjectStore, KeyStore, Protocol):
    """Where projects and their keys are kept."""


class Admins:
    """Turns verified tokens into actors."""

    def __init__(self, store: AdminStore) -> None:
        self._store = store

    def actor(self, *, tenant_id: str, project_id: str, user_id: str, role: str, key_id: str | None) -> Actor:
        """The actor that a verified token speaks for.

        Args:
            key_id: The API key that minted the token.

        Raises:
            GatewayError: 403 when the token may not manage, 401 when its project or its key is no more.
        """
        if role != "admin":
            raise GatewayError("forbidden", "Managing needs the operator secret or a token of role admin.")
        project = self._store.project(project_id)
        if project is None or project.tenant_id != tenant_id:
            raise GatewayError("invalid_token", "The project of this token does not exist.")
        if project.status != "active":
            raise GatewayError("forbidden", "The project of this token is suspended; an operator can resume it.")
        if key_id is None or self._store.key(project_id, key_id) is None:
            raise GatewayError("invalid_token", "The API key that minted this token was revoked; mint with another.")
        return Actor(tenant_id=tenant_id, user_id=user_id)
