"""How the fake provider counts: honest, deterministic, and never more tokens than bytes."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from behest_fakes.requests import ChatRequest, Message

PER_MESSAGE = 4
PER_REQUEST = 3
_BYTES_PER_TOKEN = 4

_TOKEN = re.compile(r"\s?\w{1,16}|\s?[^\w\s]{1,4}|\s{1,16}")


@lru_cache(maxsize=512)
def split(text: str) -> tuple[str, ...]:
    """Cut a text into word-like tokens, of at least one byte each, which join to the text again.

    >>> split("Hello, big world!")
    ('Hello', ',', ' big', ' world', '!')
    """
    return tuple(_TOKEN.findall(text))


def count_prompt(request: ChatRequest) -> int:
    """Count a prompt: a quarter of its UTF-8 bytes, rounded up, 4 a message and 3 a request.

    The bytes are those of the messages' texts, and of the JSON of what is not text: tool calls, tool definitions,
    images and a response format.
    """
    size = len(request.tools) + len(request.functions) + len(request.response_format)
    for message in request.messages:
        content = message.content
        if isinstance(content, str):
            size += len(content) if content.isascii() else len(content.encode())
        elif content is not None:
            for part in content:
                size += len(part_text(part).encode()) or len(part)
        size += len(message.tool_calls)
    return -(-size // _BYTES_PER_TOKEN) + PER_MESSAGE * len(request.messages) + PER_REQUEST


def part_text(part: msgspec.Raw) -> str:
    """The text of one content part, empty when it is no text."""
    try:
        return _TEXT_PART.decode(part).text
    except msgspec.ValidationError:
        return ""


class _TextPart(msgspec.Struct):
    text: str


_TEXT_PART = msgspec.json.Decoder(_TextPart)


def text_of(message: Message) -> str:
    """The text of a message, its parts joined."""
    content = message.content
    if content is None:
        return ""
    return content if isinstance(content, str) else "".join(map(part_text, content))


def last_user_text(request: ChatRequest) -> str:
    """The text of the last message whose role is `user`, empty without one."""
    for message in reversed(request.messages):
        if message.role == "user":
            return text_of(message)
    return ""
