"""The OpenAI chat dialect, towards a provider."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from behest_protocol import headers as names
from behest_protocol.sse import EventTooLargeError, SSEDecoder
from behest_protocol.usage import Usage, usage_from_openai
from msgspec import Struct

from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Admitted, Entry, Provider

MAX_MESSAGE = 1000
"""Characters of a provider's own error message that are passed on."""


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct):
    function: _Function | None = None


class _Delta(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


class _Completion(Struct):
    choices: list[_Choice]
    usage: msgspec.Raw = msgspec.Raw(b"null")


_chunk_decoder = msgspec.json.Decoder(_Chunk)
_completion_decoder = msgspec.json.Decoder(_Completion)
_any_decoder = msgspec.json.Decoder()
_NULL = b"null"


class MalformedError(ValueError):
    """The provider sent something that is not this dialect."""


class Completion(Struct, frozen=True):
    """What matters of a whole answer; its bytes go on as they are."""

    usage: Usage | None
    finish_reason: str | None


class Event(Struct, frozen=True, kw_only=True):
    """One event of a stream; `data` goes on as it is.

    Attributes:
        text_bytes: UTF-8 bytes of generated text in it: at least as many as its tokens.
        pieces: Choices that got text in it: at most as many as its tokens.
        only_usage: It carries nothing but the usage, which goes on only to a caller who asked for it.
        error: The provider's own error object, in mid-stream.
    """

    data: bytes
    text_bytes: int = 0
    pieces: int = 0
    finish_reason: str | None = None
    usage: Usage | None = None
    has_usage: bool = False
    only_usage: bool = False
    error: dict[str, Any] | None = None


def _object(value: object) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _bytes_of(text: str | None) -> int:
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _delta_bytes(delta: _Delta) -> int:
    total = _bytes_of(delta.content)
    if delta.tool_calls is not None or delta.function_call is not None:
        calls = [call.function for call in delta.tool_calls or ()] + [delta.function_call]
        total += sum(_bytes_of(f.name) + _bytes_of(f.arguments) for f in calls if f is not None)
    if delta.reasoning_content is not None or delta.reasoning is not None or delta.refusal is not None:
        total += max(_bytes_of(delta.reasoning_content), _bytes_of(delta.reasoning)) + _bytes_of(delta.refusal)
    return total


def read_event(data: bytes) -> Event:
    """Read the `data` of one event.

    Raises:
        MalformedError: It is not a chunk of this dialect.
    """
    try:
        chunk = _chunk_decoder.decode(data)
        text_bytes = pieces = 0
        finish: str | None = None
        for choice in chunk.choices or ():
            if choice.delta is not None and (size := _delta_bytes(choice.delta)):
                text_bytes += size
                pieces += 1
            if choice.finish_reason is not None:
                finish = choice.finish_reason
        if chunk.usage == _NULL and chunk.error == _NULL:
            return Event(data=data, text_bytes=text_bytes, pieces=pieces, finish_reason=finish)
        raw = _any_decoder.decode(chunk.usage)
        error = _any_decoder.decode(chunk.error)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise MalformedError(str(problem)) from None
    return Event(
        data=data,
        text_bytes=text_bytes,
        pieces=pieces,
        finish_reason=finish,
        usage=usage_from_openai(raw),
        has_usage=raw is not None,
        only_usage=raw is not None and not chunk.choices,
        error=None if error is None else _object(error) or {"message": str(error)},
    )


class StreamReader:
    """Bytes of a streamed answer become events.

    Attributes:
        done: `[DONE]` was read.
        malformed: An event that is not this dialect followed those that were given out last.
    """

    __slots__ = ("_sse", "done", "malformed")

    def __init__(self) -> None:
        self._sse = SSEDecoder()
        self.done = False
        self.malformed = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes, none at the end of the body.

        Raises:
            MalformedError: They begin with what is not this dialect.
        """
        try:
            found = self._sse.feed(chunk) if chunk else self._sse.close()
        except EventTooLargeError:
            raise MalformedError("an event is too large") from None
        events: list[Event] = []
        for data in found:
            if data == b"[DONE]":
                self.done = True
                break
            try:
                events.append(read_event(data))
            except MalformedError:
                if not events:
                    raise
                self.malformed = True
                break
        return events


def read_completion(body: bytes) -> Completion:
    """Read a whole answer.

    Raises:
        MalformedError: It is not a chat completion.
    """
    try:
        completion = _completion_decoder.decode(body)
        raw = _any_decoder.decode(completion.usage)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise MalformedError(str(problem)) from None
    reasons = [choice.finish_reason for choice in completion.choices if choice.finish_reason is not None]
    return Completion(usage_from_openai(raw), reasons[0] if reasons else None)


class _SaidFunction(Struct):
    name: str | None = None
    arguments: str | None = None


class _SaidCall(Struct):
    index: int = 0
    id: str | None = None
    type: str | None = None
    function: _SaidFunction | None = None


class _SaidMessage(Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_SaidCall] | None = None


class _SaidChoice(Struct):
    index: int = 0
    delta: _SaidMessage | None = None
    message: msgspec.Raw = msgspec.Raw(b"null")


class _SaidChunk(Struct):
    choices: list[_SaidChoice] | None = None


_said_decoder = msgspec.json.Decoder(_SaidChunk)


class Said:
    """The message that an answer says, put together from what was sent on to the caller. The first choice counts."""

    __slots__ = ("_calls", "_content", "_refusal", "_whole")

    def __init__(self) -> None:
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _SaidCall] = {}
        self._whole: dict[str, Any] | None = None

    def add(self, data: bytes) -> None:
        """Take the `data` of one event; what is not of this dialect says nothing."""
        for choice in self._choices(data):
            delta = choice.delta
            if choice.index or delta is None:
                continue
            if delta.content:
                self._content.append(delta.content)
            if delta.refusal:
                self._refusal.append(delta.refusal)
            for part in delta.tool_calls or ():
                self._add_call(part)

    def take(self, body: bytes) -> None:
        """Take a whole answer."""
        for choice in self._choices(body):
            if choice.index == 0:
                self._whole = _object(_any_decoder.decode(choice.message))

    def message(self, *, finished: bool) -> dict[str, Any] | None:
        """The message, or None when it says nothing. Of one that was not finished, calls of tools are left out."""
        if self._whole is not None:
            whole = {name: self._whole[name] for name in _SAID_FIELDS if self._whole.get(name)}
            return {"role": "assistant", "content": None, **whole} if whole else None
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._content) or None}
        if self._refusal:
            message["refusal"] = "".join(self._refusal)
        if self._calls and finished:
            message["tool_calls"] = [_call_object(call) for _, call in sorted(self._calls.items())]
        return message if len(message) > 2 or message["content"] else None

    def _choices(self, data: bytes) -> list[_SaidChoice]:
        try:
            return _said_decoder.decode(data).choices or []
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return []

    def _add_call(self, part: _SaidCall) -> None:
        known = self._calls.get(part.index)
        if known is None:
            function = part.function or _SaidFunction()
            self._calls[part.index] = _SaidCall(part.index, part.id, part.type, function)
            return
        known.id = known.id or part.id
        if part.function is not None and known.function is not None:
            known.function.name = (known.function.name or "") + (part.function.name or "") or None
            known.function.arguments = (known.function.arguments or "") + (part.function.arguments or "")


_SAID_FIELDS = ("content", "refusal", "tool_calls", "function_call", "audio")


def _call_object(call: _SaidCall) -> dict[str, Any]:
    function = call.function or _SaidFunction()
    named = {"name": function.name or "", "arguments": function.arguments or ""}
    return {"id": call.id, "type": call.type or "function", "function": named}


def url_of(provider: Provider) -> str:
    """Where chat completions are asked for."""
    return provider.base_url.rstrip("/") + "/chat/completions"


def _safe(value: str) -> str:
    """A header value of visible ASCII; anything else is percent-encoded."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(c if " " <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode("utf-8", "replace")) for c in value)


def headers_of(admitted: Admitted, role: str) -> tuple[tuple[str, str], ...]:
    """The header fields of an attempt. A provider of the operator's own is told who is asking."""
    provider, entry = admitted.plan.provider, admitted.entry
    fields = [
        ("Content-Type", "application/json"),
        ("Accept", "text/event-stream" if entry.stream else "application/json"),
        (names.CLIENT_REQUEST_ID, entry.attempt_id),
    ]
    if provider.api_key:
        fields.append(("Authorization", f"Bearer {provider.api_key}"))
    if not provider.official:
        fields += _edge(entry, role)
    return tuple(fields)


def _edge(entry: Entry, role: str) -> list[tuple[str, str]]:
    known = (entry.tenant_id, entry.project_id, entry.user_id, role, entry.tier, entry.session_id)
    return [(name, _safe(value)) for name, value in zip(names.EDGE, known, strict=True) if value]


def body_of(admitted: Admitted) -> bytes:
    """The JSON object of an attempt, with the limit of output that is paid for written into it."""
    plan = admitted.plan
    return b'{"%s":%d,%s' % (plan.max_tokens_field.encode(), admitted.hold.max_tokens, plan.payload[1:])


def _provider_message(body: bytes) -> tuple[str, str | None, str | None]:
    """A provider's own words: message, code and the field at fault."""
    try:
        whole = _any_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return "", None, None
    found = _object(whole)
    error: object = found.get("error", found) if found is not None else None
    if isinstance(error, str):
        return error[:MAX_MESSAGE], None, None
    error = _object(error)
    if error is None:
        return "", None, None
    message, code, param = error.get("message"), error.get("code"), error.get("param")
    return (
        message[:MAX_MESSAGE] if isinstance(message, str) else "",
        code if isinstance(code, str) else None,
        param if isinstance(param, str) else None,
    )


def _seconds(value: str | None) -> int | None:
    if value is None or not value.strip().isascii() or not value.strip().replace(".", "", 1).isdigit():
        return None
    return max(1, math.ceil(min(86_400.0, float(value))))


def refusal_of(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Turn a provider's error into ours, saying whose fault it is."""
    message, code, param = _provider_message(body)
    facts: dict[str, Any] = {"source": "provider", "provider_status": status}
    if code is not None:
        facts["provider_code"] = code
    if status == 429 and code == "insufficient_quota":
        return GatewayError(
            "upstream_error",
            "The provider refused the call: the operator's account there is out of credit.",
            details=facts,
            retryable=False,
        )
    if status == 429:
        wait = _seconds(headers.get("retry-after")) or 1
        return GatewayError(
            "rate_limited",
            f"The provider is limiting requests. Try again in {wait} s.",
            details=facts,
            retry_after=wait,
        )
    if status in (400, 404, 409, 413, 415, 422):
        said = message or f"The provider refused the request with status {status}."
        return GatewayError("validation_error", said, param=param, details=facts)
    if status in (401, 402, 403):
        return GatewayError(
            "upstream_error",
            "The provider refused the gateway's own credential. The operator should check its API key.",
            details=facts,
            retryable=False,
        )
    if status in (408, 504):
        return GatewayError("upstream_timeout", "The provider did not answer in time.", details=facts)
    return GatewayError("upstream_error", f"The provider failed with status {status}.", details=facts)
