"""The OpenAI dialect as bytes: replies cut into tokens and encoded once, chunks and answers put together from parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from behest_fakes.script import Rule, tool_call_parts
from behest_fakes.tokens import split

_encode = msgspec.json.encode

DONE = b"data: [DONE]\n\n"
EVENT_END = b"\n\n"
ROLE_DELTA = b'{"role":"assistant","content":"","refusal":null}'
_TOOL_ROLE_DELTA = b'{"role":"assistant","content":null}'
_SHORT_TOKENS = ("one ", "two ", "and ", "so ", "on, ")
_CYCLE = 6_000


class Reply(Struct, frozen=True, kw_only=True):
    """What one choice says: a delta a token, and how the message looks when `n` of them were generated."""

    deltas: Sequence[bytes]
    texts: Sequence[str]
    """The content tokens; tool call tokens follow them in `deltas`."""
    tool_calls: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Id, name and the argument tokens of each; the name itself is a token too."""
    whole: bytes = b""
    """The message as JSON when every token was generated, if that is known beforehand."""

    @property
    def role_delta(self) -> bytes:
        return _TOOL_ROLE_DELTA if self.tool_calls and not self.texts else ROLE_DELTA

    def message(self, tokens: int) -> bytes:
        """The message of a JSON answer after that many tokens."""
        if self.whole and tokens == len(self.deltas):
            return self.whole
        content = "".join(self.texts[:tokens])
        left = tokens - len(self.texts)
        calls: list[dict[str, Any]] = []
        for call_id, name, arguments in self.tool_calls:
            if left <= 0:
                break
            text = "".join(arguments[: left - 1])
            calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": text}})
            left -= 1 + len(arguments)
        message: dict[str, Any] = {"role": "assistant", "content": None if calls and not content else content}
        if calls:
            message["tool_calls"] = calls
        return _encode(message | {"refusal": None, "annotations": []})


def _delta(text: str) -> bytes:
    return b'{"content":' + _encode(text) + b"}"


def _content_reply(texts: tuple[str, ...]) -> Reply:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts), "refusal": None, "annotations": []}
    return Reply(deltas=tuple(map(_delta, texts)), texts=texts, whole=_encode(message))


@lru_cache(maxsize=256)
def text_reply(text: str) -> Reply:
    """A reply that says `text`, a token per word or so."""
    return _content_reply(split(text))


@lru_cache(maxsize=16)
def counted_reply(tokens: int) -> Reply:
    """A reply of exactly that many short tokens."""
    texts = _SHORT_TOKENS * (min(tokens, _CYCLE) // len(_SHORT_TOKENS) + 1)
    deltas = tuple(map(_delta, texts))
    times = tokens // len(texts) + 1
    return Reply(deltas=(deltas * times)[:tokens], texts=(texts * times)[:tokens])


def scripted_reply(rule: Rule, default: Reply, call_id: str) -> Reply:
    """What a rule says, or the default where it says nothing."""
    if rule.completion_tokens is not None:
        reply = counted_reply(rule.completion_tokens)
    elif rule.reply is not None:
        reply = text_reply(rule.reply)
    else:
        reply = default if not rule.tool_calls else text_reply("")
    if not rule.tool_calls:
        return reply
    calls: list[tuple[str, str, tuple[str, ...]]] = []
    deltas = list(reply.deltas)
    for index, call in enumerate(rule.tool_calls):
        given_id, name, arguments = tool_call_parts(call)
        tokens = split(arguments)
        calls.append((given_id or f"call_{call_id[-8:]}_{index}", name, tokens))
        opening = {"id": calls[-1][0], "type": "function", "function": {"name": name, "arguments": ""}}
        deltas.append(_encode({"tool_calls": [{"index": index, **opening}]}))
        deltas.extend(_encode({"tool_calls": [{"index": index, "function": {"arguments": token}}]}) for token in tokens)
    return Reply(deltas=tuple(deltas), texts=reply.texts, tool_calls=tuple(calls))


def default_reply(user_text: str) -> Reply:
    """The friendly answer to whatever was asked: about 50 tokens, and it mentions how the question began."""
    words = " ".join(user_text[:400].split())
    beginning = words[:40].rstrip()
    quote = f'"{beginning}…"' if len(words) > 40 else f'"{beginning}"'
    opening = f"You wrote {quote}." if words else "You wrote nothing at all."
    return text_reply(
        f"Hello! {opening} I am a small stand-in for a language model, so I know nothing about that, "
        "but I answer one token at a time, I count honestly, and when you press Stop I stop and charge no more."
    )


FIXED_REPLY = _content_reply(
    (
        "A budget checked before the",
        " call is made holds, because",
        " nothing above it is ever sent;",
        " a budget counted afterwards",
        " is only a sad report. ",
    )
    * 6
)
"""The answer of a benchmark: 30 content events, and a JSON answer of about 1.4 KB."""


class Envelope:
    """Everything around the deltas of one stream, encoded once a call."""

    __slots__ = ("_head", "_tail")

    def __init__(self, *, id: str, created: int, model: bytes, include_usage: bool) -> None:
        """`model` is encoded as JSON."""
        self._head = (
            b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,'
            b'"service_tier":"default","system_fingerprint":"fp_fake","choices":[' % (id.encode(), created, model)
        )
        self._tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"

    def chunk(self, index: int, delta: bytes, finish_reason: bytes = b"null") -> bytes:
        """The event of one delta; `finish_reason` is encoded as JSON."""
        return b'%b{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}%b' % (
            self._head,
            index,
            delta,
            finish_reason,
            self._tail,
        )

    def burst(self, deltas: Sequence[bytes]) -> bytes:
        """The events of several deltas of the first choice, in one piece."""
        head = self._head + b'{"index":0,"delta":'
        tail = b',"logprobs":null,"finish_reason":null}' + self._tail
        return head + (tail + head).join(deltas) + tail if deltas else b""

    def usage(self, usage: bytes) -> bytes:
        """The last event, without choices."""
        return self._head + b'],"usage":' + usage + b"}\n\n"

    def padded(self, size: int) -> bytes:
        """An event without content, with that many bytes of padding."""
        return self._head + b'],"obfuscation":"' + b"x" * size + b'"}\n\n'


def usage_json(*, prompt: int, completion: int, cached: int, reasoning: int) -> bytes:
    """The usage object; `cached` is a part of `prompt`, `reasoning` of `completion`."""
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
        b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
        % (prompt, completion, prompt + completion, cached, reasoning)
    )


def completion_json(
    *,
    id: str,
    created: int,
    model: bytes,
    message: bytes,
    finish_reason: bytes,
    n: int,
    usage: bytes | None,
    padding: int = 0,
) -> bytes:
    """A whole JSON answer; `model`, `message`, `finish_reason` and `usage` are encoded as JSON."""
    choices = b",".join(
        b'{"index":%d,"message":%b,"logprobs":null,"finish_reason":%b}' % (index, message, finish_reason)
        for index in range(n)
    )
    return b'{"id":"%b","object":"chat.completion","created":%d,"model":%b,"choices":[%b]%b%b,%b}' % (
        id.encode(),
        created,
        model,
        choices,
        b"" if usage is None else b',"usage":' + usage,
        b',"obfuscation":"' + b"x" * padding + b'"' if padding else b"",
        b'"service_tier":"default","system_fingerprint":"fp_fake"',
    )
