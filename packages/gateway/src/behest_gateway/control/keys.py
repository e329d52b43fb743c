"""API keys: shown once, kept as a look-up and a slow hash, refused at once when revoked."""

from __future__ import annotations

import hashlib
import secrets

from behest_protocol.claims import API_KEY_PREFIX

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import KeyStore, SecretHasher
from behest_gateway.control.projects import Projects
from behest_gateway.control.records import KeyRecord, Project
from behest_gateway.control.rules import clean_name
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.events import Event, new_event
from behest_gateway.core.ids import new_id
from behest_gateway.core.snapshot import Publisher

KEY_ROLES = ("user", "admin")

MAX_KEYS = 1_000
"""API keys of a project that are in force at one time."""


class Keys:
    """Makes, lists, exchanges and revokes API keys."""

    def __init__(
        self, store: KeyStore, projects: Projects, publisher: Publisher, hasher: SecretHasher, clock: Clock
    ) -> None:
        self._store = store
        self._projects = projects
        self._publisher = publisher
        self._hasher = hasher
        self._clock = clock

    async def create(
        self, actor: Actor, project_id: str, *, name: str | None = None, role: str = "user"
    ) -> tuple[KeyRecord, str]:
        """Make an API key; the second value is the key itself, which cannot be had again."""
        self._projects.get(actor, project_id)
        if role not in KEY_ROLES:
            raise invalid(f"role is one of {', '.join(KEY_ROLES)}", "role")
        name = "default" if name is None else clean_name(name)
        key, plaintext = await self._new(project_id, name, role)
        # The project may have ended while the key was hashed.
        self._projects.get(actor, project_id)
        if len(self._store.keys(project_id)) >= MAX_KEYS:
            raise GatewayError("conflict", f"A project has at most {MAX_KEYS} API keys; revoke one first.")
        self._store.insert_key(key)
        self._publisher.publish_api_key(key.published)
        return key, plaintext

    def list(self, actor: Actor, project_id: str) -> list[KeyRecord]:
        """The keys of a project that are in force."""
        return self._store.keys(self._projects.get(actor, project_id).id)

    def revoke(self, actor: Actor, project_id: str, key_id: str) -> None:
        """Refuse a key from now on. Tokens that were minted with it live until they expire."""
        project = self._projects.get(actor, project_id)
        key = self._get(actor, project_id, key_id)
        at = self._clock.now_us()
        self._store.revoke_key(key.id, at, events=[self._told(actor, project, key, "revoked", at)])
        self._publisher.withdraw_api_key(key.lookup)

    async def rotate(self, actor: Actor, project_id: str, key_id: str) -> tuple[KeyRecord, str]:
        """Make a key of the same name and role, and refuse the old one from now on."""
        old = self._get(actor, project_id, key_id)
        key, plaintext = await self._new(project_id, old.name, old.role)
        # Somebody else may have revoked or exchanged it while the new one was hashed.
        old = self._get(actor, project_id, key_id)
        told = self._told(actor, self._projects.get(actor, project_id), old, "rotated", key.created_at)
        self._store.replace_key(old.id, key, events=[told])
        self._publisher.publish_api_key(key.published)
        self._publisher.withdraw_api_key(old.lookup)
        return key, plaintext

    def _told(self, actor: Actor, project: Project, key: KeyRecord, reason: str, at: int) -> Event:
        return new_event(
            "key_revoked",
            tenant_id=project.tenant_id,
            project_id=project.id,
            at=at,
            key_id=key.id,
            kind="api_key",
            name=key.name,
            reason=reason,
            by=actor.name,
        )

    def _get(self, actor: Actor, project_id: str, key_id: str) -> KeyRecord:
        self._projects.get(actor, project_id)
        key = self._store.key(project_id, key_id)
        if key is None:
            raise GatewayError("not_found", "There is no API key of this id; it may have been revoked.")
        return key

    async def _new(self, project_id: str, name: str, role: str) -> tuple[KeyRecord, str]:
        plaintext = API_KEY_PREFIX + secrets.token_hex(16)
        key = KeyRecord(
            id=new_id(),
            project_id=project_id,
            name=name,
            role=role,
            lookup=hashlib.sha256(plaintext.encode()).hexdigest(),
            hash=await self._hasher.hash(plaintext),
            last4=plaintext[-4:],
            created_at=self._clock.now_us(),
        )
        return key, plaintext
