"""Stored conversations: what the stages, the store and the pages say to each other about them.

A conversation belongs to one user of one project. A thread lasts until it is deleted, a session until a day after its
last message. Both are made by the first turn that is kept in them.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from msgspec import Struct

from behest_gateway.core.errors import GatewayError, invalid

Message = dict[str, Any]
"""A message as the chat dialect writes it."""

Kind = Literal["thread", "session"]

ABORTED = "aborted"
"""The finish reason of an answer that did not come to its end."""

SESSION_US = 24 * 3_600_000_000
"""How long a session is remembered after its last message, in microseconds."""

MAX_TITLE = 60

_THREAD_ID = re.compile(r"[A-Za-z0-9._:-]{1,255}")


def thread_id_problem(text: str, param: str) -> GatewayError | None:
    """The 400 for what is no thread's id, or None; `param` is where it was given."""
    if _THREAD_ID.fullmatch(text) is not None:
        return None
    return invalid("A thread's id is 1 to 255 letters, digits, '.', '_', ':' and '-'.", param)


class Conversation(Struct, frozen=True, kw_only=True):
    """Which conversation a call belongs to, and what is kept of it.

    Attributes:
        name: The thread's or the session's id, as the caller chose it.
        tier: The name of the caller's tier; its retention applies to the conversation.
        window: How many messages of it a provider is told again.
        with_tools: Tool calls and their results are kept.
    """

    project_id: str
    user_id: str
    kind: Kind
    name: str
    tier: str | None
    window: int
    with_tools: bool


class Stored(Struct, frozen=True, kw_only=True):
    """A message that is kept.

    Attributes:
        position: Its place in the conversation; later ones have higher places.
        finish_reason: Why a provider stopped there; None for what the caller sent.
        created_at: Microseconds since 1970.
    """

    position: int
    message: Message
    finish_reason: str | None = None
    created_at: int = 0


class Remembered(Struct, frozen=True, kw_only=True):
    """What is kept of a conversation.

    Attributes:
        ref: The store's number of it; one that was deleted never comes back.
        messages: In order; perhaps only the last ones.
        is_whole: They are all of it.
        expired: The first and last place of what is too old to be remembered.
    """

    ref: int
    messages: tuple[Stored, ...]
    is_whole: bool = True
    expired: tuple[int, int] | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """The part of a turn that is known before its answer.

    Attributes:
        ref: The conversation that was read, or None when there was none yet.
        messages: What the caller sent and is not kept yet.
        replaces: The first and last place of what the caller's own history no longer has.
    """

    conversation: Conversation
    ref: int | None
    messages: tuple[Message, ...]
    replaces: tuple[int, int] | None = None


class Turn(Struct, frozen=True, kw_only=True):
    """What is added to a conversation when an attempt is settled: each message as JSON, with its finish reason."""

    conversation: Conversation
    ref: int | None
    replaces: tuple[int, int] | None
    messages: tuple[tuple[bytes, str | None], ...]
    title: str | None


def text_of(content: object) -> str | None:
    """The text of a message's content, its parts joined; None when it is not text alone.

    >>> text_of("Hi"), text_of(None), text_of([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    ('Hi', '', 'ab')
    >>> text_of([{"type": "image_url"}]) is None
    True
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in content if isinstance(content, list) else [None]:  # pyright: ignore[reportUnknownVariableType]
        text: object = part.get("text") if isinstance(part, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)
