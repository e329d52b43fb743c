"""What the management plane keeps: one frozen value per noun. Times are microseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass, field

from behest_gateway.core.budgets import Budget
from behest_gateway.core.snapshot import ApiKey, ProjectSettings, VerificationKey
from behest_gateway.core.switches import Switch
from behest_gateway.core.tiers import Tier, TierValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organisation; it owns projects and signing keys."""

    id: str
    name: str
    plan: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project as its owners see it. `status` is `active` or `suspended`; the stages see `deployed` alone."""

    id: str
    tenant_id: str
    name: str
    slug: str
    status: str = "active"
    dns_status: str = "READY"
    deployed: ProjectSettings = field(default_factory=ProjectSettings)
    draft: ProjectSettings | None = None
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """An API key as its owners see it; the key itself is shown once and kept nowhere."""

    id: str
    project_id: str
    name: str
    role: str
    lookup: str
    hash: str
    last4: str
    created_at: int

    @property
    def published(self) -> ApiKey:
        """What minting reads of it."""
        return ApiKey(id=self.id, project_id=self.project_id, role=self.role, lookup=self.lookup, hash=self.hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """The public half of a key that a tenant signs its users' tokens with."""

    kid: str
    tenant_id: str
    name: str
    public_pem: str
    created_at: int
    revoked_at: int | None = None

    @property
    def published(self) -> VerificationKey:
        """What the verifier reads of it."""
        return VerificationKey(kid=self.kid, tenant_id=self.tenant_id, public_pem=self.public_pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """A budget with its state, in its unit; the sums are None for a budget that everybody has one of.

    Attributes:
        refused: How often it refused in this window, or would have in shadow mode.
    """

    budget: Budget
    resets_at: int | None
    spent: int | None
    held: int | None
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """Something was added to a budget of a lifetime, in the budget's unit."""

    id: str
    budget_id: str
    amount: int
    note: str
    added_by: str
    added_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TierView:
    """A tier, and what holds for its users after the project's settings are overlaid by it."""

    tier: Tier
    resolved: TierValues


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRecord:
    """A kill switch that is on.

    Attributes:
        user_ref: The number of the user that it is about, or 0.
        tenant_id: Whose it is; None for the operator's own scopes.
        set_by: `operator`, or `admin` and a user id.
    """

    switch: Switch
    user_ref: int
    tenant_id: str | None
    reason: str
    set_by: str
    set_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchChange:
    """A kill switch was turned on or off. The target of an erased user ends with `/`."""

    is_on: bool
    switch: Switch
    reason: str
    changed_by: str
    changed_at: int
