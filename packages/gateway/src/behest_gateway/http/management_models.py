"""The bodies of the management API, in and out; the API reference is made from them.

They check shapes. What a value may be is decided in `control`, so that a program without HTTP is held to it as well.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Item = TypeVar("Item")

Plan = Literal["free", "pro", "max", "business", "enterprise"]
KeyRole = Literal["user", "admin"]
SwitchScope = Literal["global", "tenant", "project", "user", "model"]
Time = Annotated[str, Field(description="ISO 8601 in UTC", examples=["2026-01-31T12:00:00Z"])]
Id = Annotated[str, Field(examples=["0198c0de-7a11-7c0f-9f00-3b1c5a4e2d10"])]
Amount = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": 9_000_000}, {"type": "string"}],
            "description": "US dollars; a text is read exactly",
            "examples": [25, "12.50"],
        }
    ),
]


class Body(BaseModel):
    """What a caller sends: a name that is not known is refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="A sentence for people", examples=["There is no project of this id."])
    message: str = Field(description="The same sentence")
    code: str = Field(description="Stable, for programs", examples=["NOT_FOUND"])
    retryable: bool = Field(description="Whether the same request may succeed later")
    trace_id: str = Field(description="Finds the request in the gateway's log")


class Listing(BaseModel, Generic[Item]):
    """A list, oldest first."""

    data: list[Item]


class TenantBody(Body):
    """A new tenant."""

    name: str = Field(examples=["Acme"])
    plan: Plan = "free"


class TenantChange(Body):
    """What to change about a tenant; only an operator may change the plan."""

    name: str | None = Field(default=None, examples=["Acme Inc."])
    plan: Plan | None = None


class TenantOut(BaseModel):
    """An organisation that owns projects."""

    id: Id
    name: str
    plan: Plan
    created_at: Time


class SettingsBody(Body):
    """Settings by name; what is left out stays as it is deployed."""

    provider_model: str = Field(
        default_factory=str, description="The model of calls that name none", examples=["gpt-4o-mini"]
    )
    allowed_models: list[str] | None = Field(
        default=None, description="Models that calls may name besides; null means any with a known price"
    )
    allowed_origins: list[str] = Field(
        default_factory=list, description="Origins that may call from a browser", examples=[["https://app.example.com"]]
    )
    rpm_limit: int = Field(default_factory=int, description="Requests a minute for the project", examples=[60])
    user_rpm_limit: int | None = Field(
        default=None, description="Requests a minute for each user; null means a tenth of the project's, at least 3"
    )
    key_rpm_limit: int | None = Field(
        default=None, description="Requests a minute of the tokens that one API key minted; null means no limit"
    )
    tpm_limit: int | None = Field(default=None, description="Tokens a minute for the project; null means no limit")
    user_tpm_limit: int | None = Field(default=None, description="Tokens a minute for each user; null means no limit")
    key_tpm_limit: int | None = Field(
        default=None, description="Tokens a minute of the tokens that one API key minted; null means no limit"
    )
    max_concurrent: int | None = Field(
        default=None, description="Calls under way at once for the project; null means no limit"
    )
    user_max_concurrent: int | None = Field(
        default=None, description="Calls under way at once for each user; null means no limit"
    )
    key_max_concurrent: int | None = Field(
        default=None, description="Calls under way at once of the tokens that one API key minted; null means no limit"
    )
    user_requests_per_day: int | None = Field(
        default=None, description="For each user whose token names no tier, in UTC; null means no limit"
    )
    user_tokens_per_day: int | None = Field(default=None, description="Likewise; null means no limit")
    user_tokens_per_month: int | None = Field(default=None, description="Likewise; null means no limit")
    max_output_tokens: int = Field(default_factory=int, description="For calls that set no limit", examples=[4096])
    min_output_tokens: int = Field(
        default_factory=int, description="A call that can afford fewer is refused with 402", examples=[16]
    )
    system_prompt: str | None = Field(default=None, description="Put before the messages of every call")
    memory_enabled: bool = Field(default_factory=bool, description="Threads are kept", examples=[True])
    memory_window: int = Field(
        default_factory=int, description="Stored messages that are told again, at most; 0 for none", examples=[20]
    )
    retention_days: int = Field(
        default_factory=int, description="Messages of threads are forgotten after so many days; 0 is never"
    )
    store_tool_calls: bool = Field(
        default_factory=bool, description="Calls of tools and their results are kept too", examples=[True]
    )
    session_memory: bool = Field(
        default_factory=bool, description="What is said in a session without a thread is remembered for a day"
    )

    def given(self) -> dict[str, Any]:
        """Only what the caller named."""
        return self.model_dump(exclude_unset=True)


class SettingsOut(BaseModel):
    """The settings of a project."""

    provider_model: str
    allowed_models: list[str] | None
    allowed_origins: list[str]
    rpm_limit: int
    user_rpm_limit: int | None
    key_rpm_limit: int | None
    tpm_limit: int | None
    user_tpm_limit: int | None
    key_tpm_limit: int | None
    max_concurrent: int | None
    user_max_concurrent: int | None
    key_max_concurrent: int | None
    user_requests_per_day: int | None
    user_tokens_per_day: int | None
    user_tokens_per_month: int | None
    max_output_tokens: int
    min_output_tokens: int
    system_prompt: str | None
    memory_enabled: bool
    memory_window: int
    retention_days: int
    store_tool_calls: bool
    session_memory: bool


class DeploymentOut(BaseModel):
    """What is in effect, and what would be after the next deploy."""

    deployed: SettingsOut
    draft: SettingsOut | None
    has_draft: bool


class ProjectBody(Body):
    """A new project. Its settings are deployed at once."""

    tenant_id: str | None = Field(default=None, description="Needed with the operator secret")
    name: str = Field(examples=["Support chat"])
    slug: str | None = Field(default=None, description="Made up when left out", examples=["support-chat"])
    settings: SettingsBody | None = None


class ProjectChange(Body):
    """What to change about a project."""

    name: str = Field(examples=["Support chat, EU"])


class ProjectOut(BaseModel):
    """A project: what keys, budgets and settings belong to."""

    id: Id
    tenant_id: Id
    name: str
    slug: str
    host: str = Field(description="The project's own host", examples=["support-chat.localhost"])
    status: Literal["active", "suspended"]
    dns_status: str = Field(examples=["READY"])
    created_at: Time
    settings: SettingsOut


class KeyBody(Body):
    """A new API key."""

    name: str | None = Field(default=None, examples=["production backend"])
    role: KeyRole = Field(default="user", description="The highest role that tokens minted with it may have")


class KeyOut(BaseModel):
    """An API key, without the key."""

    id: Id
    name: str
    role: KeyRole
    last4: str = Field(examples=["9f3c"])
    created_at: Time


class NewKeyOut(KeyOut):
    """A fresh API key."""

    key: str = Field(description="Shown here and never again", examples=["behest_sk_live_…"])


class SigningKeyBody(Body):
    """A new signing key: generated here, or the public half of one that was made elsewhere."""

    tenant_id: str | None = Field(default=None, description="Needed with the operator secret")
    name: str | None = Field(default=None, examples=["backend 2026"])
    public_key_pem: str | None = Field(
        default=None, description="SPKI, RSA of 2048 bits or more; a key is generated when it is left out"
    )


class SigningKeyOut(BaseModel):
    """A key that a tenant's backend signs tokens with."""

    kid: str = Field(examples=["sk_5b2c9f1d3e4a6b7c8d9e0f1a2b3c4d5e"])
    tenant_id: Id
    name: str
    public_key_pem: str
    created_at: Time


class NewSigningKeyOut(SigningKeyOut):
    """A fresh signing key."""

    private_key_pem: str | None = Field(
        default=None, description="PKCS#8; there when the key was generated, shown here and never again"
    )


class KillBody(Body):
    """Why something is turned off."""

    reason: str | None = Field(default=None, description="For the record", examples=["runaway agent"])


class KillSwitchOut(BaseModel):
    """A kill switch that is on."""

    scope: SwitchScope
    target: str | None = Field(
        description="The tenant, the project, `project_id/user_id` or the model; null for `global`", examples=["gpt-4o"]
    )
    reason: str
    set_by: str = Field(description="`operator`, or `admin` and a user id", examples=["operator"])
    set_at: Time


class KillSwitchChangeOut(BaseModel):
    """Somebody turned a kill switch on or off."""

    turned: Literal["on", "off"]
    scope: SwitchScope
    target: str | None
    reason: str
    changed_by: str
    changed_at: Time


class UsedOut(BaseModel):
    """Sums of attempts that were made."""

    requests: int
    tokens: int
    input_tokens: int
    cached_read_tokens: int = Field(description="Of the input, read from the provider's cache")
    output_tokens: int
    cost_usd: float


class StepUsed(UsedOut):
    """What was used in an hour or a day."""

    timestamp: Time


class UserUsed(UsedOut):
    """What a user used. `user_id` is null when it was erased."""

    user_id: str | None


class SessionUsed(UsedOut):
    """What a session of a user used."""

    session_id: str
    user_id: str | None


class ThreadUsed(UsedOut):
    """What a thread of a user used."""

    thread_id: str
    user_id: str | None


class ModelUsed(UsedOut):
    """What was used of a model; with `byok` the customer's own provider key paid."""

    model: str
    byok: bool


class TierUsed(UsedOut):
    """What the callers of a tier used; null is that of tokens without one."""

    tier: str | None


UsedKind = TypeVar("UsedKind", bound=UsedOut)


class Analysis(BaseModel, Generic[UsedKind]):
    """Sums over a window, which is made of whole hours or days of UTC; `to` is its end."""

    window: dict[str, Time] = Field(examples=[{"from": "2026-04-01T00:00:00Z", "to": "2026-05-01T00:00:00Z"}])
    data: list[UsedKind]


class RotateBody(Body):
    """How to exchange the gateway's signing key."""

    revoke_others: bool = Field(default=False, description="Refuse tokens of the older keys at once: one has leaked")


class MintingKeyOut(BaseModel):
    """The gateway's key that signs from now on."""

    kid: str = Field(examples=["bh_0f1e2d3c4b5a69788796a5b4c3d2e1f0"])
