"""What composing needs from the world: what was said before."""

from __future__ import annotations

from typing import Protocol

from behest_gateway.core.threads import Conversation, Remembered


class Conversations(Protocol):
    """Reads stored conversations."""

    async def recall(self, conversation: Conversation, last: int | None) -> Remembered | None:
        """What is kept of a conversation, or None when nothing is.

        Args:
            last: Only so many messages, the newest; all when it is None.

        Raises:
            GatewayError: `server_error` when it cannot be opened.
        """
        ...
