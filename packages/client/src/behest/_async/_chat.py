"""Chat completions, whole or streamed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, overload

import httpx

from .._config import Dollars
from .._minting import MintOptions
from .._results import ChatCompletion
from .._wire import chat_ask, read_completion
from ._auth import AsyncAuthModule
from ._stream import AsyncStream


class AsyncChatModule:
    """Chat.

    Attributes:
        completions: Where `create` is, as in the OpenAI SDK.
    """

    def __init__(self, auth: AsyncAuthModule, base_url: str, max_cost_usd: str | None = None) -> None:
        self.completions = AsyncCompletions(auth, base_url, max_cost_usd)


class AsyncCompletions:
    """Chat completions."""

    def __init__(self, auth: AsyncAuthModule, base_url: str, max_cost_usd: str | None = None) -> None:
        self._auth = auth
        self._base_url = base_url
        self._max_cost_usd = max_cost_usd

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Mapping[str, Any]],
        model: str | None = None,
        stream: Literal[False] | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        thread_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        max_cost_usd: Dollars | None = None,
        **params: Any,
    ) -> ChatCompletion: ...

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Mapping[str, Any]],
        model: str | None = None,
        stream: Literal[True],
        user_id: str | None = None,
        session_id: str | None = None,
        thread_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        max_cost_usd: Dollars | None = None,
        **params: Any,
    ) -> AsyncStream: ...

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Mapping[str, Any]],
        model: str | None = None,
        stream: bool | None,
        user_id: str | None = None,
        session_id: str | None = None,
        thread_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        max_cost_usd: Dollars | None = None,
        **params: Any,
    ) -> ChatCompletion | AsyncStream: ...

    async def create(
        self,
        *,
        messages: Iterable[Mapping[str, Any]],
        model: str | None = None,
        stream: bool | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        thread_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        max_cost_usd: Dollars | None = None,
        **params: Any,
    ) -> ChatCompletion | AsyncStream:
        """Ask the model.

        Args:
            messages: The conversation so far; with a `thread_id`, only what is new.
            model: A model that the project allows; the project's own when left out.
            stream: Whether to get the answer in chunks as it is written.
            user_id: Whom the cost is attributed to; the client's default user when left out.
            session_id: Groups calls for cost attribution; the token's session when left out.
            thread_id: A stored conversation; it begins with the first message sent to it.
            tier: The user's plan, from your billing data.
            token: A token of `auth.mint()` to use instead of one that this client keeps.
            timeout: Seconds of silence to bear; 600 when left out.
            max_cost_usd: The most that this call may cost, or the client's cap when left out: the answer gets shorter,
                or the call is refused with 402.
            params: Anything else that the OpenAI API takes: `temperature`, `tools`, `max_tokens`,
                `stream_options={"include_usage": True}` (whose last chunk also tells the cost) ...

        Returns:
            The answer, or a stream of its chunks.

        Raises:
            BehestQuotaError: A budget is used up; `details` says which, and when it resets.
            BehestRateLimitError: Too many requests, even after the retries.
            BehestBadRequestError: The request is malformed, or the user id cannot be used.
            BehestAuthError: The key or the token was refused.
            BehestServerError: The gateway or its provider failed, or could not be reached.
            BehestError: A guardrail refused the text (451), or the stream cannot be read.

        >>> behest = AsyncBehest()
        >>> answer = await behest.chat.completions.create(
        ...     messages=[{"role": "user", "content": "Say hello."}], user_id="u_42"
        ... )
        >>> answer.choices[0].message.content, answer["choices"][0]["message"]["content"]
        ('Hello, u_42!', 'Hello, u_42!')
        """
        body = {"model": model, "messages": list(messages), **params, "stream": stream}
        ask = chat_ask(
            body,
            thread_id=thread_id,
            timeout=timeout,
            max_cost_usd=self._max_cost_usd if max_cost_usd is None else max_cost_usd,
        )
        options = MintOptions(user_id=user_id, session_id=session_id, tier=tier)
        if stream:
            return AsyncStream(await self._auth.open(ask, options, token), self._base_url)
        return read_completion(await self._auth.fetch(ask, options, token))
