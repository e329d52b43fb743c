"""A project as it is deployed: what the stages read, frozen, so that no request sees half of a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from behest_gateway.core.budgets import BudgetSet
from behest_gateway.core.switches import Switch, Switches
from behest_gateway.core.tiers import LOWEST, Policy, Tier, policies_of, policy_of

DEFAULT_MODEL = "gpt-4o-mini"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """What an operator chooses for a project. Names are those of the management API.

    Attributes:
        provider_model: The model that a call gets which names none.
        allowed_models: Models that a call may name besides it; None means any whose price is known.
        allowed_origins: Origins of pages that may call from a browser, matched exactly.
        rpm_limit: Requests a minute for the whole project.
        user_rpm_limit: Requests a minute for each user; None means a tenth of the project's, at least 3.
        key_rpm_limit: Requests a minute of the tokens that one API key minted; None in this and what follows: no limit.
        tpm_limit, user_tpm_limit, key_tpm_limit: Tokens a minute, likewise.
        max_concurrent, user_max_concurrent, key_max_concurrent: Calls under way at once, likewise.
        user_requests_per_day, user_tokens_per_day, user_tokens_per_month: What each user may take whose token names no
            tier; None means no limit.
        max_output_tokens: Written into a call that sets no limit of its own.
        min_output_tokens: An answer shorter than this is not worth its hold; the call is then refused with 402.
        system_prompt: Put before the caller's messages.
        memory_enabled: Threads are kept.
        memory_window: The most stored messages that a provider is told again; 0 for none.
        retention_days: Messages of threads are forgotten after so many days; 0 keeps them for ever.
        store_tool_calls: Calls of tools and their results are kept too.
        session_memory: What is said in a session without a thread is remembered for a day.
    """

    provider_model: str = DEFAULT_MODEL
    allowed_models: tuple[str, ...] | None = None
    allowed_origins: tuple[str, ...] = ()
    rpm_limit: int = 60
    user_rpm_limit: int | None = None
    key_rpm_limit: int | None = None
    tpm_limit: int | None = None
    user_tpm_limit: int | None = None
    key_tpm_limit: int | None = None
    max_concurrent: int | None = None
    user_max_concurrent: int | None = None
    key_max_concurrent: int | None = None
    user_requests_per_day: int | None = None
    user_tokens_per_day: int | None = None
    user_tokens_per_month: int | None = None
    max_output_tokens: int = 4096
    min_output_tokens: int = 16
    system_prompt: str | None = None
    memory_enabled: bool = True
    memory_window: int = 20
    retention_days: int = 0
    store_tool_calls: bool = True
    session_memory: bool = False

    @property
    def effective_user_rpm(self) -> int:
        """Requests a minute for each user, after the default is applied."""
        return max(3, self.rpm_limit // 10) if self.user_rpm_limit is None else self.user_rpm_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSnapshot:
    """One deployed project. `status` is `active` or `suspended`; `budgets` has its tenant's as well.

    Attributes:
        tiers: The built-in tiers that were overridden, and the project's own.
        policy: What is in force for callers without a tier.
        policies: What is in force for those of a tier, by each of the names of it that a token may have.
    """

    id: str
    tenant_id: str
    name: str
    slug: str
    status: str = "active"
    settings: ProjectSettings = field(default_factory=ProjectSettings)
    budgets: BudgetSet = field(default_factory=BudgetSet)
    tiers: tuple[Tier, ...] = ()
    policy: Policy = field(init=False, compare=False, repr=False)
    policies: Mapping[str, Policy] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", policy_of(self.id, self.settings, None))
        object.__setattr__(self, "policies", policies_of(self.id, self.settings, self.tiers))

    def policy_for(self, tier: str | None) -> Policy:
        """What is in force for a caller, by `tiers.tier_key` of the token's claim. A tier that is not there, because a
        tenant made it up or it was deleted since, counts as the lowest."""
        if tier is None:
            return self.policy
        return self.policies.get(tier) or self.policies[LOWEST]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A public key that tokens are checked with. `tenant_id` is None for the gateway's own minting keys."""

    kid: str
    tenant_id: str | None
    public_pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key as stored: never the key itself. `lookup` is the SHA-256 of it in hex, `hash` its Argon2id."""

    id: str
    project_id: str
    role: str
    lookup: str
    hash: str


class Directory(Protocol):
    """What is published: the stages look things up here and nowhere else. No call does I/O."""

    def project(self, project_id: str) -> ProjectSnapshot | None:
        """The deployed project of an id."""
        ...

    def project_by_slug(self, slug: str) -> ProjectSnapshot | None:
        """The deployed project of a slug."""
        ...

    def verification_key(self, kid: str) -> VerificationKey | None:
        """The key of a kid, unless it was revoked."""
        ...

    def verification_keys(self) -> tuple[VerificationKey, ...]:
        """Every key in force, for the JWKS."""
        ...

    def knows_origin(self, origin: str) -> bool:
        """Some project allows pages of this origin."""
        ...

    def api_key(self, lookup: str) -> ApiKey | None:
        """The API key of a SHA-256 in hex, unless it was revoked."""
        ...

    def switches(self) -> Switches:
        """The kill switches that are on; nearly always none."""
        ...


class Publisher(Protocol):
    """How the management plane changes what is published; each call takes effect for the next request."""

    def publish_project(self, project: ProjectSnapshot) -> None:
        """Put a project in place of its earlier snapshot."""
        ...

    def withdraw_project(self, project_id: str) -> None:
        """Take a project and its API keys away."""
        ...

    def publish_verification_key(self, key: VerificationKey) -> None:
        """Accept tokens of a key."""
        ...

    def withdraw_verification_key(self, kid: str) -> None:
        """Refuse tokens of a key, also those verified before."""
        ...

    def publish_api_key(self, key: ApiKey) -> None:
        """Accept an API key."""
        ...

    def withdraw_api_key(self, lookup: str) -> None:
        """Refuse an API key, also when it was verified before."""
        ...

    def publish_switch(self, switch: Switch) -> None:
        """Refuse what a kill switch stops, and end what is under way of it."""
        ...

    def withdraw_switch(self, switch: Switch) -> None:
        """Serve it again."""
        ...
