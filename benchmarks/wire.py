"""The bytes on the wire: what is asked, what the mock provider answers, and how an answer is checked.

Every subject gets the same request and the same answer, so that only what lies between differs.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

MODEL = "gpt-4o-mini"
PIECES = tuple(f" word{number:02d}" for number in range(30))
"""The content of a stream, an event each."""

TEXT = "".join(PIECES) + "." * 690
"""The content of a JSON answer, which is then 1.4 KB long, as a short answer of a real provider is."""

INPUT_TOKENS = 410
OUTPUT_TOKENS = 30
PACE_SECONDS = 0.01
PACED = b"One word every 10 ms, please."
"""A body that holds this is answered at a pace of one event every 10 ms; any other at once."""

_SYSTEM = "You are a helpful assistant of a shop for garden tools. Answer briefly and kindly. " * 9
_QUESTION = "My spade bends when I dig in clay. Which one would you take, and why would it be better? " * 10

_USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_SAME: dict[str, Any] = {
    "id": "chatcmpl-Bench0000000000000000000000",
    "created": 1_760_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_bench",
}


class WrongAnswerError(Exception):
    """An answer is not what the mock provider sent; the message shows how it begins."""


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def request_body(*, stream: bool, paced: bool = False) -> bytes:
    """A chat request of 1.8 KB."""
    question = _QUESTION + (PACED.decode() if paced else "")
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}],
        "temperature": 0.2,
        "max_tokens": 256,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return _compact(body)


def request(host: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """An HTTP request, whole."""
    fields = {"Host": host, "Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def _answer_body() -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _compact({**_SAME, "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def _events() -> tuple[bytes, ...]:
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": "", "refusal": None}, None)]
    deltas += [({"content": piece}, None) for piece in PIECES]
    deltas.append(({}, "stop"))
    chunk = {**_SAME, "object": "chat.completion.chunk"}
    chunks = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], "usage": None}
        for delta, reason in deltas
    ]
    chunks.append({**chunk, "choices": [], "usage": _USAGE})
    return tuple(b"data: " + _compact(each) + b"\n\n" for each in chunks)


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_BODY = _answer_body()
EVENTS = _events()
"""The 33 events of a stream: the role, 30 words, the reason why it stops, and the usage. `[DONE]` follows the last."""

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_bench\r\n"
    b"openai-processing-ms: 1\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY
# X-Accel-Buffering tells nginx to pass each event on at once, as whoever streams through it has to.
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nx-request-id: req_bench\r\n"
    b"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)
STREAM_END = _http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
STREAM_PARTS = (
    STREAM_HEAD + _http_chunk(EVENTS[0]),
    *(_http_chunk(event) for event in EVENTS[1:-1]),
    _http_chunk(EVENTS[-1]) + STREAM_END,
)
"""What is sent at each beat of a paced stream."""

STREAM_AT_ONCE = b"".join(STREAM_PARTS)


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message


class _Used(msgspec.Struct):
    total_tokens: int


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Used


_decoder = msgspec.json.Decoder(_Completion)


def _wrong(body: bytes) -> WrongAnswerError:
    return WrongAnswerError(body[:300].decode("utf-8", "replace"))


def check_json(body: bytes) -> None:
    """Check the body of a JSON answer: the whole text, and the usage.

    Raises:
        WrongAnswerError: It is another.
    """
    try:
        found = _decoder.decode(body)
    except msgspec.DecodeError:
        raise _wrong(body) from None
    if found.choices[0].message.content != TEXT or found.usage.total_tokens != INPUT_TOKENS + OUTPUT_TOKENS:
        raise _wrong(body)


_FIRST, _LAST = (b'"content":"%s"' % PIECES[at].encode() for at in (0, -1))


def looks_whole(body: bytes) -> bool:
    """Whether a stream certainly has its 30 words and its end, at a glance and still in its HTTP chunks.

    False says nothing: a gateway may write JSON in another way, or cut an event over two chunks; `check_stream` knows.
    """
    return (
        body.count(b'"content":" word') == len(PIECES)
        and _FIRST in body
        and _LAST in body
        and body.rfind(b"data: [DONE]") > body.rfind(_LAST)
    )


def check_stream(body: bytes) -> None:
    """Check the body of a stream, its HTTP chunks undone: all the text in order, a usage, and `[DONE]` at the end.

    Raises:
        WrongAnswerError: It is another.
    """
    events = [line[5:].strip() for line in body.split(b"\n") if line.startswith(b"data:")]
    if not events or events[-1] != b"[DONE]":
        raise _wrong(body)
    text, event = "", b""
    used: object = 0
    try:
        for event in events[:-1]:
            chunk: Any = msgspec.json.decode(event)
            for choice in chunk["choices"]:
                text += choice["delta"].get("content") or ""
            used = (chunk["usage"] or {"total_tokens": used})["total_tokens"] if "usage" in chunk else used
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        raise _wrong(event) from None
    if text != "".join(PIECES) or used != INPUT_TOKENS + OUTPUT_TOKENS:
        raise WrongAnswerError(f"the stream says {text!r} and {used} tokens")


def undo_chunks(body: bytes) -> bytes:
    """Undo HTTP's chunked transfer coding.

    Raises:
        WrongAnswerError: It is malformed.
    """
    parts: list[bytes] = []
    at = 0
    try:
        while True:
            line_end = body.index(b"\r\n", at)
            size = int(body[at:line_end].split(b";")[0], 16)
            if size == 0:
                return b"".join(parts)
            parts.append(body[line_end + 2 : line_end + 2 + size])
            at = line_end + 4 + size
    except ValueError:
        raise _wrong(body[at:]) from None
