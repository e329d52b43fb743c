"""What the provider is told to do: rules, tried in order; the first that matches and has times left decides a call.

A rule says *when* (model, a part of the last user message, the end user), *how often*, and *what*: the reply, its
counts, its pace, and at most one fault. Unknown fields are errors, so that a typo does not become a silent success.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypedDict, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from behest_fakes.requests import ChatRequest
from behest_fakes.tokens import last_user_text

MAX_SCRIPTED_TOKENS = 1_000_000

_Count = Annotated[int, Meta(ge=0)]
_Tokens = Annotated[int, Meta(ge=0, le=MAX_SCRIPTED_TOKENS)]
_Milliseconds = Annotated[float, Meta(ge=0)]
_Bytes = Annotated[int, Meta(ge=0, le=256 * 1024 * 1024)]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class ScriptError(ValueError):
    """A rule is malformed; the message names the field."""


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which calls a rule is for; what is left out matches every call."""

    model: str | None = None
    contains: str | None = None
    """A part of the last user message."""
    user: str | None = None
    """The `X-End-User-Id` header."""
    stream: bool | None = None


_EVERY_CALL = When()


class _Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    pass


class Status(_Fault, frozen=True, kw_only=True, tag="status"):
    """Answer this status before any work. `body` is sent as JSON, or as it is when it is a string."""

    status: Annotated[int, Meta(ge=200, le=599)]
    body: Any = UNSET
    headers: dict[str, str] = {}


class Redirect(_Fault, frozen=True, kw_only=True, tag="redirect"):
    """Answer a redirect before any work."""

    location: str
    status: Annotated[int, Meta(ge=300, le=399)] = 307


class Hang(_Fault, frozen=True, kw_only=True, tag="hang"):
    """Accept the call and never answer; with `after_tokens`, begin to answer and then fall silent.

    With `after_usage` a stream falls silent when only its `[DONE]` is missing.
    """

    after_tokens: _Count | None = None
    after_usage: bool = False


class Cut(_Fault, frozen=True, kw_only=True, tag="cut"):
    """Close the connection in the middle of the body; with `reset`, by a TCP reset.

    With `after_usage` a stream is closed when only its `[DONE]` is missing.
    """

    after_tokens: _Count = 0
    after_usage: bool = False
    reset: bool = False


class Garbage(_Fault, frozen=True, kw_only=True, tag="garbage"):
    """Send an event that is no JSON, then go on, or with `end` end there. A JSON answer becomes the text."""

    after_tokens: _Count = 0
    text: str = "{this is not json"
    end: bool = False


class NotJson(_Fault, frozen=True, kw_only=True, tag="not_json"):
    """Answer 200 with a page of HTML, before any work."""

    body: str = "<!doctype html><title>Bad gateway</title><h1>Something went wrong</h1>"
    content_type: str = "text/html; charset=utf-8"


class NoUsage(_Fault, frozen=True, kw_only=True, tag="no_usage"):
    """Leave the usage out, asked for or not."""


class BadUsage(_Fault, frozen=True, kw_only=True, tag="bad_usage"):
    """Send this value as the usage; the bill keeps the truth."""

    usage: Any


class NoDone(_Fault, frozen=True, kw_only=True, tag="no_done"):
    """End a stream without `[DONE]`."""


class NoFinish(_Fault, frozen=True, kw_only=True, tag="no_finish"):
    """End without a finish reason."""


class IgnoreMaxTokens(_Fault, frozen=True, kw_only=True, tag="ignore_max_tokens"):
    """Generate `tokens` tokens, whatever the request's limit is."""

    tokens: _Tokens


class HugeEvent(_Fault, frozen=True, kw_only=True, tag="huge_event"):
    """Send one event, valid and without content, with this many bytes of padding. A JSON answer gets the padding."""

    bytes: _Bytes
    after_tokens: _Count = 0


class Crlf(_Fault, frozen=True, kw_only=True, tag="crlf"):
    """Frame a stream with CRLF."""


class ByteChunks(_Fault, frozen=True, kw_only=True, tag="byte_chunks"):
    """Write the body one byte at a time, each in a chunk of its own."""


class ErrorEvent(_Fault, frozen=True, kw_only=True, tag="error_event"):
    """Answer 200, and after some tokens send `{"error": …}` and end. A JSON answer is only the error."""

    after_tokens: _Count = 0
    error: Any = UNSET


Fault = (
    Status
    | Redirect
    | Hang
    | Cut
    | Garbage
    | NotJson
    | NoUsage
    | BadUsage
    | NoDone
    | NoFinish
    | IgnoreMaxTokens
    | HugeEvent
    | Crlf
    | ByteChunks
    | ErrorEvent
)


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule of the script. Counts are in tokens of one choice, delays in milliseconds."""

    when: When | None = None
    times: Annotated[int, Meta(ge=1)] | None = None
    """How many calls the rule decides; None for all."""
    reply: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    """`{"name": …, "arguments": {…} or JSON text}`, or the shape of the dialect with `function`."""
    completion_tokens: _Tokens | None = None
    """Generate exactly so many short tokens in place of a reply."""
    prompt_tokens: _Count | None = None
    cached_tokens: _Count | None = None
    """How much of the prompt was cached; at most the whole prompt."""
    reasoning_tokens: _Tokens | None = None
    """Hidden tokens generated before the first visible one; they count as completion tokens, and to the limit."""
    first_token_delay_ms: _Milliseconds | None = None
    token_delay_ms: _Milliseconds | None = None
    fault: Fault | None = None


class WhenFields(TypedDict, total=False):
    """`When` as plain data."""

    model: str | None
    contains: str | None
    user: str | None
    stream: bool | None


class RuleFields(TypedDict, total=False):
    """`Rule` as plain data, as Python code writes it; a fault is its `kind` and the fields of that kind."""

    when: WhenFields | None
    times: int | None
    reply: str | None
    tool_calls: list[dict[str, Any]] | None
    completion_tokens: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    first_token_delay_ms: float | None
    token_delay_ms: float | None
    fault: dict[str, Any] | None


def read_rule(raw: object) -> Rule:
    """Check a rule given as plain data.

    Raises:
        ScriptError: A field is unknown, missing or of the wrong type.
    """
    try:
        rule = msgspec.convert(raw, Rule)
    except msgspec.ValidationError as error:
        raise ScriptError(f"The rule is malformed: {error}") from None
    if rule.reply is not None and rule.completion_tokens is not None:
        raise ScriptError("The rule is malformed: reply and completion_tokens exclude each other")
    for call in rule.tool_calls or ():
        tool_call_parts(call)
    fault = rule.fault
    if isinstance(fault, Status):
        for name, value in fault.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
                raise ScriptError(f"The rule is malformed: header {name!r} cannot be sent - at `$.fault.headers`")
    if isinstance(fault, Redirect) and not (fault.location.isprintable() and fault.location.isascii()):
        raise ScriptError("The rule is malformed: the location cannot be sent - at `$.fault.location`")
    if isinstance(fault, NotJson) and not (fault.content_type.isprintable() and fault.content_type.isascii()):
        raise ScriptError("The rule is malformed: the content type cannot be sent - at `$.fault.content_type`")
    return rule


def tool_call_parts(call: dict[str, Any]) -> tuple[str | None, str, str]:
    """The id (None to have one made), name and arguments (JSON text) of a scripted tool call.

    Raises:
        ScriptError: There is no name.
    """
    nested = call.get("function", call)
    function = cast(dict[str, Any], nested) if isinstance(nested, dict) else {}
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise ScriptError("The rule is malformed: a tool call needs a name - at `$.tool_calls`")
    arguments = function.get("arguments", {})
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    call_id = call.get("id")
    return (call_id if isinstance(call_id, str) else None), name, text


class Script:
    """The rules in force, in the order in which they were added."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._added = 0

    def add(self, rule: Rule) -> str:
        """Add a rule at the end; return its id."""
        self._added += 1
        entry = _Entry(f"rule_{self._added}", rule)
        self._entries.append(entry)
        return entry.id

    def clear(self) -> None:
        self._entries.clear()

    def decide(self, request: ChatRequest, user: str | None) -> Rule | None:
        """The rule for this call, which uses up one of its times; None when no rule is for it."""
        text: str | None = None
        for entry in self._entries:
            when = entry.rule.when or _EVERY_CALL
            if entry.rule.times is not None and entry.used >= entry.rule.times:
                continue
            if when.model is not None and when.model != request.model:
                continue
            if when.user is not None and when.user != user:
                continue
            if when.stream is not None and when.stream is not bool(request.stream):
                continue
            if when.contains is not None:
                text = last_user_text(request) if text is None else text
                if when.contains not in text:
                    continue
            entry.used += 1
            return entry.rule
        return None

    def list(self) -> list[dict[str, Any]]:
        """The rules as plain data, each with its `id` and how often it was `used`."""
        return [{"id": entry.id, "used": entry.used, **msgspec.to_builtins(entry.rule)} for entry in self._entries]


class _Entry:
    __slots__ = ("id", "rule", "used")

    def __init__(self, id: str, rule: Rule) -> None:
        self.id = id
        self.rule = rule
        self.used = 0


def is_set(value: Any) -> bool:
    """Whether an optional field of a fault was given at all; null counts as given."""
    return not isinstance(value, UnsetType)
