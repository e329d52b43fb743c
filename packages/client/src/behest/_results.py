"""What calls return: JSON objects that are read as `answer.choices[0].message.content` or as `answer["choices"]`.

Each class names the fields that it knows; a field that the gateway adds is kept and can be read all the same. A known
field that may be absent reads as None.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Generator, Mapping
from typing import Any, Self, Union, cast, get_args, get_origin, get_type_hints


class Record(dict[str, Any]):
    """A JSON object whose fields are also attributes.

    A field named like a method of `dict` (`items`, `keys` ...) is read with brackets.

    >>> record = Record.of({"id": "t_1", "owner": {"name": "Ada"}})
    >>> record.owner.name, record["owner"]["name"]
    ('Ada', 'Ada')
    """

    __slots__ = ()

    @classmethod
    def of(cls, source: Mapping[str, Any]) -> Self:
        """Wrap a decoded JSON object, and the objects inside it."""
        kinds = _shape(cls).kinds
        return cls({name: _wrap(value, kinds.get(name, Record)) for name, value in source.items()})

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name in _shape(type(self)).optional:
            return None
        raise AttributeError(f"this {type(self).__name__} has no field {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"this {type(self).__name__} has no field {name!r}")
        del self[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"


class FunctionCall(Record):
    """A function that the model wants called, with its arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(Record):
    """One tool call of an answer; in a stream, a part of one."""

    id: str | None
    index: int | None
    type: str | None
    function: FunctionCall


class ChatMessage(Record):
    """A message of a finished answer; `messages.append(message)` continues the conversation."""

    role: str
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCall] | None


class Choice(Record):
    """One of the `n` answers."""

    index: int
    message: ChatMessage
    finish_reason: str | None
    logprobs: Record | None


class CompletionUsage(Record):
    """What a call used, in tokens and, when the gateway says so, in US dollars."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: float | None
    prompt_tokens_details: Record | None
    completion_tokens_details: Record | None


class ChatCompletion(Record):
    """A finished answer.

    >>> ChatCompletion.of({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}}]}).text
    'Hi.'
    """

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage | None
    system_fingerprint: str | None
    service_tier: str | None

    @property
    def text(self) -> str:
        """The text of the first answer, empty when it has none."""
        return (self.choices[0].message.content or "") if self.choices else ""


class Delta(Record):
    """What a chunk adds to an answer."""

    role: str | None
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCall] | None


class ChunkChoice(Record):
    """One answer's part of a chunk."""

    index: int
    delta: Delta
    finish_reason: str | None
    logprobs: Record | None


class ChatCompletionChunk(Record):
    """A piece of a streamed answer.

    >>> ChatCompletionChunk.of({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}).text
    'Hi'
    """

    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None
    system_fingerprint: str | None
    service_tier: str | None

    @property
    def text(self) -> str:
        """The text that this chunk adds to the first answer, empty when it adds none."""
        return (self.choices[0].delta.content or "") if self.choices else ""


class Thread(Record):
    """A stored conversation."""

    id: str
    title: str | None
    last_message_at: str | None
    messages_count: int | None


class ThreadMessage(Record):
    """A message of a stored conversation."""

    role: str
    content: str | None
    created_at: str | None


class UsageTotals(Record):
    """Sums over the asked-for time."""

    requests: int | None
    tokens: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float


class UsageEntry(Record):
    """Sums over one step of the asked-for granularity, which begins at `timestamp`."""

    timestamp: str
    requests: int | None
    tokens: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float


class BudgetState(Record):
    """How far a budget is used up, in the unit that it counts: the fields of the other units are None.

    Attributes:
        window: `"day"`, `"month"`, `"rolling"` (with `hours`) or `"lifetime"`.
        model: The model that a budget of scope `"model"` is about.
        mode: `"enforce"`, or `"shadow"` for a budget that refuses nothing.
        resets_at: When it begins anew; None for a lifetime, and of a rolling window when the first part comes back.

    >>> state = BudgetState.of({"scope": "each_user", "limit_tokens": 500, "spent_tokens": 12, "held_tokens": 0})
    >>> state.limit_tokens, state.limit_usd
    (500, None)
    """

    id: str
    scope: str
    model: str | None
    window: str
    hours: int | None
    mode: str | None
    limit_usd: float | None
    spent_usd: float | None
    held_usd: float | None
    limit_tokens: int | None
    spent_tokens: int | None
    held_tokens: int | None
    limit_requests: int | None
    spent_requests: int | None
    held_requests: int | None
    resets_at: str | None


class UsageReport(Record):
    """What was used in a stretch of time.

    >>> UsageReport.of({"totals": {"tokens": 11, "cost_usd": 0.002}, "breakdown": []}).totals.cost_usd
    0.002
    """

    totals: UsageTotals
    breakdown: list[UsageEntry]
    budgets: list[BudgetState] | None


class MintResult(Record):
    """A token for one user, and for how long it is good. Its text does not show the token.

    Attributes:
        token: The JWT, which goes to the browser as the OpenAI SDK's `apiKey`.
        session_id: The session that the token belongs to.
        ttl: Seconds that the token lives.
        expires_at: When it ends, as seconds since 1970.

    >>> minted = MintResult(token="header.payload.signature", session_id="s_1", ttl=900, expires_at=1_800_000_900)
    >>> minted
    MintResult(token='***', session_id='s_1', ttl=900, expires_at=1800000900)
    >>> minted.bundle()
    {'token': 'header.payload.signature', 'sessionId': 's_1', 'ttl': 900, 'expiresAt': 1800000900}
    """

    token: str
    session_id: str
    ttl: int
    expires_at: int

    def bundle(self) -> dict[str, Any]:
        """What an app's token endpoint answers to its browser code, in the names that the browser SDKs read."""
        return {
            "token": self.token,
            "sessionId": self.session_id,
            "ttl": self.ttl,
            "expiresAt": self.expires_at,
        }

    def __repr__(self) -> str:
        hidden = {name: "***" if name in ("token", "access_token") else value for name, value in self.items()}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in hidden.items())})"

    def __await__(self) -> Generator[None, None, Self]:
        """Let code that awaits the synchronous `mint()`, as older documents show, go on working."""
        return self
        yield


class LegacyMintResult(MintResult):
    """What the deprecated `mint_token()` returns: a `MintResult` that repeats fields in their older names."""

    sessionId: str  # noqa: N815
    access_token: str
    expires_in: int


class _Shape:
    """What a record's annotations say: which fields hold records of a kind, and which may be absent."""

    __slots__ = ("kinds", "optional")

    def __init__(self, cls: type[Record]) -> None:
        hints = get_type_hints(cls)
        self.kinds = {name: kind for name, hint in hints.items() if (kind := _record_in(hint)) is not None}
        self.optional = frozenset(name for name, hint in hints.items() if type(None) in get_args(hint))


@functools.cache
def _shape(cls: type[Record]) -> _Shape:
    return _Shape(cls)


def _record_in(hint: Any) -> type[Record] | None:
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint
    if get_origin(hint) in (list, Union, types.UnionType):
        return next((kind for part in get_args(hint) if (kind := _record_in(part)) is not None), None)
    return None


def _wrap(value: object, kind: type[Record]) -> Any:
    if isinstance(value, dict):
        return kind.of(cast("dict[str, Any]", value))
    if isinstance(value, list):
        return [_wrap(item, kind) for item in cast("list[object]", value)]
    return value
