"""What a provider says that breaks the protocol, byte by byte."""

from __future__ import annotations

import gzip
import json

from ..support.rough_provider import RESET, Steps

_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
_COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Grüße"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    },
    ensure_ascii=False,
).encode()


def _length(body: bytes, more: int = 0) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % (len(body) + more) + body


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def _event(delta: str, reason: str = "null", usage: str = "null") -> bytes:
    choices = f'[{{"index":0,"delta":{{"content":"{delta}"}},"finish_reason":{reason}}}]'
    return f'data: {{"object":"chat.completion.chunk","choices":{choices},"usage":{usage}}}\n\n'.encode()


_USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}\n\n'
_DONE = b"data: [DONE]\n\n"
_CHUNKED = _SSE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_GOOD_STREAM = _event("Hi") + _event("!", '"stop"') + _USAGE + _DONE
_SPLIT = _event("Grüße")
_AT = _SPLIT.index("ü".encode()) + 1

ROUGH_ANSWERS: dict[str, Steps] = {
    "closes-at-once": (),
    "resets-at-once": (RESET,),
    "half-a-head": (b"HTTP/1.1 200 OK\r\nContent-Ty",),
    "no-http": (b"220 mail.example.com ESMTP ready\r\n",),
    "endless-head": (b"HTTP/1.1 200 OK\r\nX-Filler: " + b"a" * 200_000 + b"\r\n" + _length(_COMPLETION),),
    "gzip": (_JSON_HEAD + b"Content-Encoding: gzip\r\n" + _length(gzip.compress(_COMPLETION)),),
    "short-body": (_JSON_HEAD + _length(_COMPLETION, more=10),),
    "empty-body": (_JSON_HEAD + _length(b""),),
    "not-a-completion": (_JSON_HEAD + _length(b'{"hello":"world"}'),),
    "deep-answer": (_JSON_HEAD + _length(b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),),
    "until-close": (_JSON_HEAD + b"Connection: close\r\n\r\n" + _COMPLETION,),
    "early-hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _JSON_HEAD + _length(_COMPLETION),),
    "two-answers": (_JSON_HEAD + _length(_COMPLETION) + _JSON_HEAD + _length(_COMPLETION),),
    "reset-in-body": (_JSON_HEAD + _length(_COMPLETION, more=10), RESET),
    "huge-wait": (
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: " + b"9" * 400 + b"\r\n" + _length(b'{"error":{}}'),
    ),
    "deep-error": (b"HTTP/1.1 400 Bad Request\r\n" + _length(b'{"error":' + b"[" * 60_000),),
    "created": (b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n" + _length(_COMPLETION),),
    "json-for-stream": (_JSON_HEAD + _length(_COMPLETION),),
    "empty-stream": (_CHUNKED + b"0\r\n\r\n",),
    "only-done": (_CHUNKED + _chunk(_DONE) + b"0\r\n\r\n",),
    "half-an-event": (_CHUNKED + _chunk(_event("Hi")), _chunk(_event("there")[:-20]) + b"0\r\n\r\n"),
    "no-final-chunk": (_CHUNKED + _chunk(_event("Hi")),),
    "stream-reset": (_CHUNKED + _chunk(_event("Hi")), RESET),
    "bad-chunk-size": (_CHUNKED + _chunk(_event("Hi")), b"zz\r\nnonsense\r\n"),
    "split-utf8": (
        _CHUNKED + _chunk(_SPLIT[:_AT]),
        _chunk(_SPLIT[_AT:]) + _chunk(_event("", '"stop"') + _USAGE + _DONE) + b"0\r\n\r\n",
    ),
    "odd-but-legal": (
        _CHUNKED
        + _chunk(b": a comment\n\nevent: message\nid: 1\nretry: 10\n" + _GOOD_STREAM.replace(b"data: ", b"data:"))
        + b"0\r\n\r\n",
    ),
    "good-then-garbage": (_CHUNKED + _chunk(_event("Hi") + b"data: {nonsense\n\n" + _DONE) + b"0\r\n\r\n",),
    "good-then-an-error": (
        _CHUNKED + _chunk(_event("Hi") + b'data: {"error":{"message":"Out of luck"}}\n\n' + _DONE) + b"0\r\n\r\n",
    ),
    "bare-cr": (_CHUNKED + _chunk(_GOOD_STREAM.replace(b"\n", b"\r")) + b"0\r\n\r\n",),
    "done-and-more": (_CHUNKED + _chunk(_GOOD_STREAM + _event("too late")) + b"0\r\n\r\n",),
    "events-to-the-end": (_SSE_HEAD + b"Connection: close\r\n\r\n" + _GOOD_STREAM,),
}
