"""Ready OpenAI clients, whose token is always a fresh one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from behest_protocol.headers import MAX_COST_USD, SESSION_ID, SHOULD_RETRY, THREAD_ID

from .._address import Address
from .._config import ResolvedConfig
from .._minting import TokenRequest
from .._openai_package import check_openai
from ._tokens import AsyncTokenSource

if TYPE_CHECKING:
    import openai


class AsyncOpenAIClients:
    """Makes OpenAI clients that share one pool of connections, however many users they speak for."""

    def __init__(self, config: ResolvedConfig, address: Address, tokens: AsyncTokenSource) -> None:
        self._config = config
        self._address = address
        self._tokens = tokens
        self._guard = threading.Lock()
        self._shared: Any = None

    def client(
        self, request: TokenRequest, *, thread_id: str | None = None, options: dict[str, Any]
    ) -> openai.AsyncOpenAI:
        """Make a client that speaks for whom the request names.

        Raises:
            BehestConfigError: The `openai` package is missing or too old (`missing_package`).
        """
        check_openai()
        import openai as sdk

        async def fresh_token() -> str:
            return (await self._tokens.get(request)).token

        if "http_client" not in options:
            options["http_client"] = self._http_client()
        options.setdefault("base_url", f"{self._address.url}/v1")
        options.setdefault("max_retries", self._config.max_retries)
        if self._config.timeout is not None:
            options.setdefault("timeout", self._config.timeout)
        known = {
            "Host": self._address.host,
            SESSION_ID: request.session_id,
            THREAD_ID: thread_id,
            MAX_COST_USD: self._config.max_cost_usd,
        }
        headers = {name: value for name, value in known.items() if value is not None}
        headers.update(options.pop("default_headers", None) or {})
        return sdk.AsyncOpenAI(api_key=fresh_token, default_headers=headers, **options)

    async def close(self) -> None:
        """Close the connections."""
        with self._guard:
            shared, self._shared = self._shared, None
        if shared is not None:
            await shared.shut()

    def _http_client(self) -> Any:
        with self._guard:
            if self._shared is None:
                self._shared = self._new_http_client()
            return self._shared

    def _new_http_client(self) -> Any:
        import openai as sdk

        tokens = self._tokens

        async def renew(response: Any) -> None:
            """Have a call that was refused (401) tried once more, with a new token."""
            if response.status_code != 401 or response.request.headers.get("x-stainless-retry-count") != "0":
                return
            if tokens.forget(response.request.headers.get("authorization", "").removeprefix("Bearer ")):
                response.headers[SHOULD_RETRY] = "true"
                response.headers["retry-after-ms"] = "1"

        class Shared(sdk.DefaultAsyncHttpxClient):
            """Stays open when one of the OpenAI clients that use it is closed."""

            async def aclose(self) -> None:
                pass

            async def shut(self) -> None:
                await super().aclose()

        return Shared(event_hooks={"response": [renew]}, trust_env=not self._config.is_loopback)
