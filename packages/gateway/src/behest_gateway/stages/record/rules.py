"""What is kept of a conversation when an attempt ends."""

from __future__ import annotations

import msgspec

from behest_gateway.core.threads import ABORTED, MAX_TITLE, Asked, Message, Turn, text_of

_encoder = msgspec.json.Encoder()


def turn_of(asked: Asked, said: Message | None, finish_reason: str) -> Turn | None:
    """The turn that an attempt adds to its conversation, or None.

    What was asked is kept with its answer. An answer that was aborted before it said anything is none, and the caller
    will ask again: nothing is kept of that.
    """
    if said is None and finish_reason == ABORTED:
        return None
    messages: list[tuple[bytes, str | None]] = [(_encoder.encode(message), None) for message in asked.messages]
    if said is not None and (asked.conversation.with_tools or not said.get("tool_calls")):
        messages.append((_encoder.encode(said), finish_reason))
    elif said is not None and said.get("content"):
        kept = {name: value for name, value in said.items() if name != "tool_calls"}
        messages.append((_encoder.encode(kept), finish_reason))
    if not messages:
        return None
    return Turn(
        conversation=asked.conversation,
        ref=asked.ref,
        replaces=asked.replaces,
        messages=tuple(messages),
        title=title_of(asked.messages),
    )


def title_of(messages: tuple[Message, ...]) -> str | None:
    """The first message of a user in one line, cut to `MAX_TITLE` characters.

    >>> title_of(({"role": "user", "content": "What is  a\\nthread?"},))
    'What is a thread?'
    """
    for message in messages:
        if message["role"] == "user":
            text = " ".join((text_of(message.get("content")) or "").split())
            return text[:MAX_TITLE].rstrip() or None
    return None
