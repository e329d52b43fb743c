"""Stored conversations of one user."""

from __future__ import annotations

import builtins

import httpx

from .._minting import MintOptions
from .._results import Thread, ThreadMessage
from .._wire import read_object, read_objects, threads_ask
from ._auth import AsyncAuthModule


class AsyncThreadsModule:
    """A user's stored conversations; a thread begins with the first chat call that names it by `thread_id`.

    Every method takes the same options: `user_id` (whose threads; the client's default user when left out),
    `session_id`, `tier`, `token` (a token of `auth.mint()`), and `timeout` (seconds of silence to bear; 60 when left
    out).
    """

    def __init__(self, auth: AsyncAuthModule) -> None:
        self._auth = auth

    async def list(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
    ) -> builtins.list[Thread]:
        """List a user's threads.

        >>> behest = AsyncBehest()
        >>> [thread.id for thread in await behest.threads.list(user_id="u_42")]
        ['t_1']
        """
        options = MintOptions(user_id=user_id, session_id=session_id, tier=tier)
        return read_objects(await self._auth.fetch(threads_ask(timeout=timeout), options, token), Thread)

    async def get(
        self,
        thread_id: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
    ) -> Thread:
        """Look at one thread.

        Raises:
            BehestError: The user has no such thread (404).

        >>> behest = AsyncBehest()
        >>> thread = await behest.threads.get("t_1", user_id="u_42")
        >>> thread.messages_count
        2
        """
        ask = threads_ask(thread_id=thread_id, timeout=timeout)
        options = MintOptions(user_id=user_id, session_id=session_id, tier=tier)
        return Thread.of(read_object(await self._auth.fetch(ask, options, token)))

    async def delete(
        self,
        thread_id: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
    ) -> None:
        """Delete a thread and its messages.

        Raises:
            BehestError: The user has no such thread (404).

        >>> behest = AsyncBehest()
        >>> await behest.threads.delete("t_1", user_id="u_42")
        """
        ask = threads_ask("DELETE", thread_id, timeout=timeout)
        options = MintOptions(user_id=user_id, session_id=session_id, tier=tier)
        await self._auth.fetch(ask, options, token)

    async def messages(
        self,
        thread_id: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
    ) -> builtins.list[ThreadMessage]:
        """Read a thread's messages, oldest first.

        Raises:
            BehestError: The user has no such thread (404).

        >>> behest = AsyncBehest()
        >>> [message.role for message in await behest.threads.messages("t_1", user_id="u_42")]
        ['user', 'assistant']
        """
        ask = threads_ask(thread_id=thread_id, messages=True, timeout=timeout)
        options = MintOptions(user_id=user_id, session_id=session_id, tier=tier)
        return read_objects(await self._auth.fetch(ask, options, token), ThreadMessage)
