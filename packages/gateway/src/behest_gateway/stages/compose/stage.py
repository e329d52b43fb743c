"""Compose the request of a caller who was let in."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from behest_gateway.core.exchange import Composed, Entered
from behest_gateway.core.threads import Asked, Message, Remembered
from behest_gateway.stages.compose import history, rules
from behest_gateway.stages.compose.ports import Conversations


def compose(entered: Entered) -> Composed:
    """Read the body, choose the model and put the project's system prompt first.

    Raises:
        GatewayError: `validation_error`, naming the field that is wrong.
    """
    identified = entered.identified
    return rules.compose(identified, rules.decode_body(identified.call.body))


class Recall:
    """Puts what was said before into a request that belongs to a conversation."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    async def recall(self, composed: Composed) -> Composed:
        """Add a conversation's history, unless the caller brought it along.

        Raises:
            GatewayError: `server_error` when the conversation cannot be read.
        """
        conversation = composed.conversation
        if conversation is None:
            return composed
        messages = cast("list[Message]", composed.body["messages"])
        first = rules.instructions_before(messages)
        own = messages[first:]
        found = await self._conversations.recall(
            conversation, None if history.brings_history(own) else conversation.window
        )
        if found is not None and not found.is_whole and conversation.window and not _has_a_turn(found):
            found = await self._conversations.recall(conversation, None)
        arranged = history.arrange(
            found.messages if found is not None else (),
            own,
            window=conversation.window,
            with_tools=conversation.with_tools,
            is_whole=found is None or found.is_whole,
        )
        return replace(
            composed,
            body={**composed.body, "messages": [*messages[:first], *arranged.inject, *own]},
            asked=Asked(
                conversation=conversation,
                ref=found.ref if found is not None else None,
                messages=arranged.new,
                replaces=arranged.replaces if found is None or found.expired is None else found.expired,
            ),
        )


def _has_a_turn(found: Remembered) -> bool:
    return any(stored.message["role"] == "user" for stored in found.messages)
