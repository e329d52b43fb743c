"""What the management plane needs from outside. Each call of a store is one step: whole or not at all.

A change may come with `events`, which are written in the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from behest_gateway.control.records import KeyRecord, Project, SigningKey, SwitchChange, SwitchRecord, Tenant, TopUp
from behest_gateway.core.budgets import Budget, BudgetState
from behest_gateway.core.events import Event
from behest_gateway.core.snapshot import ProjectSettings
from behest_gateway.core.tiers import Tier


class FactStore(Protocol):
    """Facts about the data directory itself."""

    def fact(self, name: str) -> str | None:
        """The value of a fact, if it was ever set."""
        ...

    def set_facts(self, facts: dict[str, str]) -> None:
        """Set facts, in place of earlier values."""
        ...


class TenantStore(Protocol):
    """Where tenants are kept."""

    def insert_tenant(self, tenant: Tenant) -> None: ...

    def update_tenant(self, tenant: Tenant) -> None:
        """Write the name and the plan."""
        ...

    def tenant(self, tenant_id: str) -> Tenant | None: ...

    def tenants(self) -> list[Tenant]:
        """Every tenant, oldest first."""
        ...


class ProjectStore(Protocol):
    """Where projects are kept. Deleted ones are never returned."""

    def insert_project(self, project: Project) -> bool:
        """Store a project; False when its slug is taken."""
        ...

    def update_project(self, project: Project) -> None:
        """Write the name and the status."""
        ...

    def save_settings(
        self,
        project_id: str,
        deployed: ProjectSettings,
        draft: ProjectSettings | None,
        *,
        events: Sequence[Event] = (),
    ) -> None:
        """Write the settings of a project, and what is told of it."""
        ...

    def delete_project(self, project_id: str, at: int) -> None:
        """Mark a project deleted with its keys, budgets and tiers, drop its webhooks, and set its slug free."""
        ...

    def project(self, project_id: str) -> Project | None: ...

    def projects(self, tenant_id: str | None) -> list[Project]:
        """The projects of a tenant, or of all, oldest first."""
        ...


class KeyStore(Protocol):
    """Where API keys are kept. Revoked ones are never returned."""

    def insert_key(self, key: KeyRecord) -> None: ...

    def key(self, project_id: str, key_id: str) -> KeyRecord | None: ...

    def keys(self, project_id: str | None) -> list[KeyRecord]:
        """The keys of a project, or of all, oldest first."""
        ...

    def revoke_key(self, key_id: str, at: int, *, events: Sequence[Event] = ()) -> None: ...

    def replace_key(self, key_id: str, key: KeyRecord, *, events: Sequence[Event] = ()) -> None:
        """Revoke a key and store the one that takes its place."""
        ...


class SigningKeyStore(Protocol):
    """Where tenants' signing keys are kept, their public halves only."""

    def insert_signing_key(self, key: SigningKey) -> None: ...

    def signing_key(self, kid: str) -> SigningKey | None:
        """A key that is in force."""
        ...

    def signing_key_of(self, public_pem: str) -> SigningKey | None:
        """A key by its public half, also when it was revoked."""
        ...

    def signing_keys(self, tenant_id: str | None) -> list[SigningKey]:
        """The keys in force of a tenant, or of all, oldest first."""
        ...

    def revoke_signing_key(self, kid: str, at: int, *, events: Sequence[Event] = ()) -> None: ...


class BudgetStore(Protocol):
    """Where budgets are kept. Deleted ones, and those of erased users, are never returned."""

    def key(self, project_id: str, key_id: str) -> KeyRecord | None: ...

    def insert_budget(self, budget: Budget, user_ref: int | None) -> None: ...

    def budgets(self, project_id: str | None) -> list[Budget]:
        """The budgets of a project, or of all projects, oldest first."""
        ...

    def tenant_budgets(self, tenant_id: str | None) -> list[Budget]:
        """The budgets of scope tenant of a tenant, or of all tenants, oldest first."""
        ...

    def update_budget(self, budget: Budget) -> None:
        """Write the limit, the mode and the thresholds."""
        ...

    def delete_budget(self, budget_id: str, at: int) -> None: ...

    def add_top_up(self, record: TopUp) -> None:
        """Write a top-up, and raise its budget's limit by it."""
        ...

    def top_up(self, budget_id: str, top_up_id: str) -> TopUp | None: ...

    def top_ups(self, budget_id: str) -> list[TopUp]:
        """What was added to a budget, oldest first."""
        ...


class SwitchStore(Protocol):
    """Where kill switches are kept, and who changed them. Those of erased users are never returned."""

    def put_switch(self, record: SwitchRecord, *, events: Sequence[Event] = ()) -> None:
        """Turn a switch on, in place of an earlier one, and write down who did."""
        ...

    def delete_switch(
        self, record: SwitchRecord, *, by: str, reason: str, at: int, events: Sequence[Event] = ()
    ) -> None:
        """Turn a switch off, and write down who did."""
        ...

    def switches(self, tenant_id: str | None) -> list[SwitchRecord]:
        """The switches of a tenant, or all, oldest first."""
        ...

    def switch_changes(self, tenant_id: str | None, limit: int) -> list[SwitchChange]:
        """The last changes of a tenant's switches, or of all, newest first."""
        ...


class TierStore(Protocol):
    """Where tiers are kept that say something: built-in ones with overrides, and projects' own. Deleted ones are never
    returned."""

    def put_tier(self, project_id: str, tier: Tier) -> None:
        """Store a tier; of one that is there, write the overrides."""
        ...

    def delete_tier(self, project_id: str, name: str, at: int) -> None: ...

    def tiers(self, project_id: str) -> list[Tier]:
        """The tiers of a project, oldest first."""
        ...

    def tiers_by_project(self) -> dict[str, list[Tier]]:
        """The tiers of every project that has any, oldest first."""
        ...


class PublishedStore(
    TenantStore, ProjectStore, KeyStore, SigningKeyStore, BudgetStore, SwitchStore, TierStore, Protocol
):
    """Everything that is published at the start."""


class Users(Protocol):
    """Gives a project's users their numbers; the ledger's own, because both write the same rows."""

    def ref(self, project_id: str, user_id: str) -> int:
        """The number of a user, made when missing; durable when it returns."""
        ...


class BudgetCounters(Protocol):
    """What budgets have counted."""

    def state(self, budget: Budget, user_id: str | None) -> BudgetState:
        """The state of a budget in its window of now; `user_id` is None for a budget that is not of users."""
        ...

    def refused(self, budget: Budget) -> int:
        """How often it refused in its window of now, or would have in shadow mode, over all of its subjects."""
        ...

    def opened(self, budget: Budget) -> None:
        """Start counting for a new budget, from what the ledger shows for its window."""
        ...


class SecretHasher(Protocol):
    """Slow hashes of secrets, off the event loop."""

    async def hash(self, secret: str) -> str:
        """Hash a secret with Argon2id."""
        ...

    async def verify(self, hashed: str, secret: str) -> bool:
        """Say whether `secret` is what was hashed."""
        ...


class KeyPair(Protocol):
    """A fresh RSA key in PEM: the private half as PKCS#8, the public half as SPKI."""

    @property
    def private_pem(self) -> str: ...

    @property
    def public_pem(self) -> str: ...


class RsaKeys(Protocol):
    """Makes and checks RSA keys."""

    async def generate(self) -> KeyPair:
        """Make a key of 2048 bits, off the event loop."""
        ...

    def public_pem(self, text: str) -> str:
        """Check a public key and write it in the one form that is stored; ValueError says what is wrong with it."""
        ...
