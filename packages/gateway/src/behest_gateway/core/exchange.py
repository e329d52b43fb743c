"""The types between the stages.

Each stage takes what only the stage before returns, so that a request that skipped one does not type-check:

    Call -> Addressed -> Identified -> Entered -> Composed -> Guarded -> Routed -> Admitted

They are frozen and share structure; the body of a call is decoded once, in `compose`, and encoded once, in `route`.
"""

from __future__ import annotations

from typing import Any

from behest_protocol.usage import Usage
from msgspec import Struct

from behest_gateway.core.budgets import Amounts, Budget, Slot
from behest_gateway.core.prices import PriceVector
from behest_gateway.core.snapshot import ProjectSnapshot
from behest_gateway.core.threads import Asked, Conversation, Turn
from behest_gateway.core.tiers import Policy


class Call(Struct, frozen=True, kw_only=True):
    """A request as it arrived, with nothing believed yet.

    Attributes:
        operation: What is asked for: `chat`, or `read` for what costs nothing.
        request_id: Ours; also the trace id.
        started_at: Microseconds since 1970.
        clock: Seconds of the monotonic clock at the same moment, for durations.
        host: The `Host` header, with its port.
        token: The bearer token.
        most_nano: The caller's own cap on what this may cost, nano-dollars.
        wants_comment: The caller wants the cost as a comment at the end of a stream.
        body: The bytes of the body.
    """

    operation: str
    request_id: str
    started_at: int
    clock: float
    host: str
    token: str | None
    session_id: str | None = None
    thread_id: str | None = None
    most_nano: int | None = None
    wants_comment: bool = False
    body: bytes = b""


class Addressed(Struct, frozen=True):
    """A call whose host is understood: `project` is the one of a slug host, or None on a shared host."""

    call: Call
    project: ProjectSnapshot | None


class Caller(Struct, frozen=True, kw_only=True):
    """Who a verified token speaks for. `tier` is what the token says, by `core.tiers.tier_key`; the name of the tier
    that it gets is the policy's."""

    tenant_id: str
    project_id: str
    user_id: str
    role: str
    tier: str | None
    session_id: str | None
    key_id: str | None
    kid: str
    expires_at: int


class Identified(Struct, frozen=True):
    """A call whose caller is known, the deployed project that it is for, and what is in force there for this caller.

    Settings are read from the policy: those of the project are overlaid there by the caller's tier.
    """

    call: Call
    caller: Caller
    project: ProjectSnapshot
    policy: Policy


class Entered(Struct, frozen=True):
    """A call that is within its rates and whose project is open."""

    identified: Identified


class Composed(Struct, frozen=True, kw_only=True):
    """The request as it will be asked, still without a model's own quirks.

    Attributes:
        body: The decoded JSON object without `model`, `stream`, `stream_options` and limits of output.
        model: What to ask; never empty.
        model_asked: What the caller named, or an empty string.
        max_tokens: The caller's own limit on output, if any.
        max_tokens_field: The field that the caller wrote it in, if any.
        choices: `n`.
        wants_usage: The caller asked for the usage chunk of a stream.
        conversation: Where it is kept, if it is.
        asked: What is to be kept of it, once its conversation was recalled.
    """

    identified: Identified
    body: dict[str, Any]
    model: str
    model_asked: str
    stream: bool
    wants_usage: bool
    max_tokens: int | None
    max_tokens_field: str | None
    choices: int
    conversation: Conversation | None = None
    asked: Asked | None = None


class Guarded(Struct, frozen=True):
    """A request that the guards let through, perhaps changed by them."""

    composed: Composed


class Profile(Struct, frozen=True, kw_only=True):
    """What is peculiar about a model, as data.

    Attributes:
        max_tokens_field: How this model is told to stop.
        hides_output: It bills output that it does not send, such as reasoning.
        searches: It looks things up by itself, at a price that no bound covers.
        in_flight_tokens: How many tokens a provider may have made, and bill, beyond those that arrived.
    """

    max_tokens_field: str = "max_tokens"
    hides_output: bool = False
    searches: bool = False
    in_flight_tokens: int = 64


class Provider(Struct, frozen=True, kw_only=True):
    """Where attempts go. `official` is false for a host that the operator chose, which is told who is asking."""

    name: str
    base_url: str
    api_key: str | None
    official: bool


class Plan(Struct, frozen=True, kw_only=True):
    """One attempt that may be made: where, as which model, at which price, with which bytes.

    Attributes:
        payload: The JSON object to send, without its limit of output, which is known only once money is held.
    """

    number: int
    provider: Provider
    model: str
    profile: Profile
    price: PriceVector
    max_tokens_field: str
    payload: bytes


class Routed(Struct, frozen=True):
    """A request with its plan of attempts, in the order in which they are tried."""

    guarded: Guarded
    plans: tuple[Plan, ...]


class Hold(Struct, frozen=True, kw_only=True):
    """What is set aside for one attempt.

    Attributes:
        amounts: The most that the attempt can take: nano-dollars, tokens, requests.
        input: The part of it that is for input.
        max_tokens: The limit of output that it pays for, per choice.
        slots: Where it is counted.
        claims: The same as budgets, each with the subject of it that the attempt counts in.
        would_refuse: Budgets in shadow mode that had too little left for it.
    """

    attempt_id: str
    amounts: Amounts
    input: Amounts
    max_tokens: int
    slots: tuple[Slot, ...]
    expires_at: int
    claims: tuple[tuple[Budget, str], ...] = ()
    would_refuse: tuple[str, ...] = ()


class Entry(Struct, frozen=True, kw_only=True):
    """Who and what an attempt is for: the part of its ledger row that is known before it is sent."""

    attempt_id: str
    request_id: str
    attempt: int
    operation: str
    started_at: int
    tenant_id: str
    project_id: str
    user_id: str
    api_key_id: str | None
    session_id: str | None
    thread_id: str | None
    tier: str | None
    provider: str
    model_asked: str
    model: str
    stream: bool
    price_version: str
    price_hash: str
    byok: bool = False


class Admitted(Struct, frozen=True, kw_only=True):
    """An attempt that may be sent, because the most that it can cost is set aside.

    Attributes:
        clamped: The hold pays for less output than was wished for.
        since: When its request began, in seconds of the monotonic clock.
    """

    routed: Routed
    plan: Plan
    entry: Entry
    hold: Hold
    clamped: bool
    since: float


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt ended: the other part of its ledger row.

    `state` is one of settled, estimated, unconfirmed, released and refused; `charged` is what counts in budgets; `turn`
    is what its conversation gets, in the same transaction.
    """

    state: str
    charged: Amounts
    usage: Usage
    status: int
    error_code: str | None
    finish_reason: str | None
    latency_us: int
    first_byte_us: int | None
    turn: Turn | None = None
