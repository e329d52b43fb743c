"""Which messages of a stored conversation a provider is told, and which of a request's are new.

Clients come in two styles. Some send the new message alone and rely on the gateway for the rest; others send all that
their page shows, every time. The style is not declared, and a conversation may change from one to the other, so it is
recognised: a request with more than one message (those of the system not counted) that begins with what is stored, or
overlaps with the end of it, brings its history along.

Whatever the style, a provider sees each message once, in order. Two things blur the comparison, and are allowed for:
an answer that was aborted may be shorter in the page than here, or missing there; and a page may have dropped, changed
or repeated its last messages to ask again. The page is right then: what it no longer has is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from behest_gateway.core.threads import ABORTED, Message, Stored, text_of

INSTRUCTIONS = ("system", "developer")
_RESULTS = ("tool", "function")
_MOST_STEPS = 200_000
"""Comparisons in looking for an overlap; a request made to need more has none."""

_encoder = msgspec.json.Encoder(order="deterministic")


class Arranged(Struct, frozen=True, kw_only=True):
    """What becomes of a request.

    Attributes:
        inject: Goes before the caller's own messages.
        new: Of the caller's messages, those to keep.
        replaces: The first and last place of stored messages that the caller's history no longer has.
    """

    inject: tuple[Message, ...]
    new: tuple[Message, ...]
    replaces: tuple[int, int] | None = None


def brings_history(messages: Sequence[Message]) -> bool:
    """Whether all that is stored must be known, rather than the last messages of it."""
    said = [message for message in messages if message["role"] not in INSTRUCTIONS]
    return len(said) > 1


def arrange(
    stored: Sequence[Stored], messages: Sequence[Message], *, window: int, with_tools: bool, is_whole: bool = True
) -> Arranged:
    """Decide what a provider is told of a conversation, and what is new in a request.

    Args:
        stored: The conversation, or its last messages.
        messages: The caller's, without the instructions before the first other message.
        window: The most messages to inject; the last whole turn is injected even when it is longer.
        with_tools: Tool calls and their results are kept.
        is_whole: `stored` is all of it. Of a part only its end is looked for, and nothing is replaced.
    """
    said = [message for message in messages if message["role"] not in INSTRUCTIONS]
    known = [_Known(item, kept) for item in stored if (kept := kept_of(item.message, with_tools)) is not None]
    given = [_Given(kept) for message in said if (kept := kept_of(message, with_tools)) is not None]
    if not known or len(said) < 2:
        return Arranged(inject=_recent(known, window, messages), new=tuple([item.kept for item in given]))
    for item in (*known, *given):
        item.read()
    same, used, has_answer = _from_the_start(known, given) if is_whole else (0, 0, False)
    if used and same == len(known):
        return Arranged(inject=(), new=tuple([item.kept for item in given[used:]]))
    rewritten = (known[same].position, known[-1].position) if same < len(known) else None
    if used and used == len(given):
        return Arranged(inject=(), new=(), replaces=rewritten)
    end, older, matched = _overlap(known, given)
    if end:
        return Arranged(
            inject=_recent(known[:older], window - matched, messages), new=tuple([item.kept for item in given[end:]])
        )
    if has_answer:
        return Arranged(inject=(), new=tuple([item.kept for item in given[used:]]), replaces=rewritten)
    return Arranged(inject=_recent(known, window, messages), new=tuple([item.kept for item in given]))


def kept_of(message: Message, with_tools: bool) -> Message | None:
    """A message as it is kept, or None when nothing of it is."""
    role = message["role"]
    if role in INSTRUCTIONS:
        return None
    if role in _RESULTS:
        return message if with_tools else None
    if role != "assistant":
        return message
    if not with_tools and (message.get("tool_calls") or message.get("function_call")):
        message = {name: value for name, value in message.items() if name not in ("tool_calls", "function_call")}
    says = message.get("content") or message.get("refusal") or message.get("tool_calls") or message.get("function_call")
    return message if says or message.get("audio") else None


# What is the same --------------------------------------------------------------------------------------------------


class _Given:
    """A message of the caller's, as it is kept."""

    __slots__ = ("kept", "key", "role", "text")

    def __init__(self, kept: Message) -> None:
        self.kept = kept
        self.role: str = kept["role"]
        self.text = ""
        self.key: tuple[Any, ...] = ()

    def read(self) -> None:
        """Work out what it is compared by."""
        content = self.kept.get("content")
        text = text_of(content)
        self.text = _encoder.encode(content).decode() if text is None else text.strip()
        self.key = (self.role, self.text, _calls(self.kept), self.kept.get("tool_call_id") or None)


class _Known(_Given):
    """A message that is stored."""

    __slots__ = ("finish_reason", "position")

    def __init__(self, stored: Stored, kept: Message) -> None:
        super().__init__(kept)
        self.position = stored.position
        self.finish_reason = stored.finish_reason


def _calls(message: Message) -> tuple[Any, ...]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return ()
    return tuple([_encoder.encode(call) for call in cast("list[object]", calls)])


def _is_cut_of(given: _Given, known: _Known) -> bool:
    """The caller has the beginning of an answer that was aborted."""
    return given.role == "assistant" and bool(given.text) and known.text.startswith(given.text)


def _from_the_start(known: list[_Known], given: list[_Given]) -> tuple[int, int, bool]:
    """How far both agree from their beginnings: how much of each, and whether a provider's answer is in it."""
    at = used = 0
    has_answer = False
    while at < len(known) and used < len(given):
        mine, theirs = known[at], given[used]
        if mine.key == theirs.key:
            used += 1
            has_answer = has_answer or mine.finish_reason is not None
        elif mine.finish_reason != ABORTED:
            break
        elif _is_cut_of(theirs, mine):
            used += 1
            has_answer = True
        at += 1
    return at, used, has_answer


def _overlap(known: list[_Known], given: list[_Given]) -> tuple[int, int, int]:
    """Where in the caller's messages the stored ones end: after how many of theirs, how many of the stored come before
    all of theirs, and how many both have. All 0 when they do not overlap."""
    steps = 0
    for end in range(len(given), 0, -1):
        at, theirs, matched, is_sure = len(known) - 1, end - 1, 0, False
        while at >= 0 and theirs >= 0:
            steps += 1
            mine = known[at]
            if mine.key == given[theirs].key or (mine.finish_reason == ABORTED and _is_cut_of(given[theirs], mine)):
                theirs -= 1
                matched += 1
                is_sure = is_sure or mine.finish_reason is not None or matched > 1
            elif mine.finish_reason != ABORTED:
                break
            at -= 1
        else:
            if is_sure:
                return end, at + 1, matched
        if steps > _MOST_STEPS:
            break
    return 0, 0, 0


# What is told again ------------------------------------------------------------------------------------------------


def _recent(known: list[_Known], window: int, following: Sequence[Message]) -> tuple[Message, ...]:
    """The last whole turns that fit into a window, and in any case the last one; no call without its result, and no
    result without its call."""
    if window < 1 or not known:
        return ()
    starts = [index for index, item in enumerate(known) if item.role == "user"]
    first = next((index for index in starts if index >= len(known) - window), starts[-1] if starts else None)
    if first is None:
        first = max(0, len(known) - window)
    return tuple(_complete([item.kept for item in known[first:]], following))


def _complete(messages: list[Message], following: Sequence[Message]) -> list[Message]:
    complete: list[Message] = []
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        if message["role"] == "tool":
            continue
        calls = message.get("tool_calls")
        if message["role"] != "assistant" or not isinstance(calls, list):
            complete.append(message)
            continue
        results: list[Message] = []
        while at < len(messages) and messages[at]["role"] == "tool":
            results.append(messages[at])
            at += 1
        answered = {_text_in(result, "tool_call_id") for result in results}
        if at == len(messages):
            answered |= _leading_results(following)
        if all(
            isinstance(call, dict) and _text_in(cast("Message", call), "id") in answered
            for call in cast("list[object]", calls)
        ):
            complete += [message, *results]
        elif (said := kept_of(message, with_tools=False)) is not None:
            complete.append(said)
    return complete


def _text_in(message: Message, name: str) -> str | None:
    found = message.get(name)
    return found if isinstance(found, str) else None


def _leading_results(messages: Sequence[Message]) -> set[str | None]:
    found: set[str | None] = set()
    for message in messages:
        if message["role"] != "tool":
            break
        found.add(_text_in(message, "tool_call_id"))
    return found
