"""The client itself, and the client bound to one user."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from .._config import DEFAULT_MAX_RETRIES, Dollars, ResolvedConfig, resolve_config
from .._errors import BehestBadRequestError
from .._keys import Mode
from .._minting import MintOptions
from .._results import LegacyMintResult
from ._auth import AsyncAuthModule
from ._chat import AsyncChatModule
from ._openai import AsyncOpenAIClients
from ._threads import AsyncThreadsModule
from ._tokens import AsyncMinter, AsyncTokenSource
from ._transport import AsyncTransport
from ._usage import AsyncUsageModule

if TYPE_CHECKING:
    import openai


class AsyncBehest:
    """A client of one project of a gateway. It belongs on a server: it holds the project's key.

    Each argument that is left out is read from the environment: `BEHEST_KEY`, `BEHEST_BASE_URL`, `BEHEST_USER_ID`,
    `BEHEST_TTL`, `BEHEST_TIER`, `BEHEST_ISSUER`, `BEHEST_AUDIENCE`, and for a private key `BEHEST_KID`,
    `BEHEST_TENANT_ID`, `BEHEST_PROJECT_ID`.

    One client serves many threads and users. Tokens are kept per user, session and tier, and replaced a minute before
    they end. A call is tried again, twice by default, after a broken connection, 408, 429 and 5xx, unless the gateway
    says otherwise.

    Args:
        key: An API key (`behest_sk_live_...`), which is exchanged for tokens, or an RSA private key, which signs them
            here: PEM or base64 of PEM, with or without `behest_pk_` in front.
        api_key: Deprecated; `key`.
        tenant_id: The tenant that a private key belongs to.
        project_id: The project that tokens signed by it are for.
        kid: The id of the private key.
        base_url: The gateway's address, such as `http://localhost:8080`; it has no default.
        default_user_id: Whom calls are for that name nobody; `"default"`.
        tier: The plan of users for whom no call names one.
        ttl: Seconds that tokens live, 60 to 86400; 3600.
        issuer: The issuer that tokens signed here name.
        audience: The audience that tokens signed here name.
        http_client: An `httpx.AsyncClient` to use and leave open; its own time-outs then hold.
        warn: Called with each deprecation instead of `warnings.warn`.
        timeout: Seconds of silence to bear in every call; by default 30 for the mint, 600 for chat, 60 for the rest.
        max_retries: How often to try a call again; 2.
        max_cost_usd: The most that a chat call may cost for which no call says another amount, in US dollars.

    Attributes:
        config: The settings, checked.
        mode: `"apiKey"` or `"sign"`.
        auth: Mints tokens.
        chat: Chat completions.
        threads: Stored conversations.
        usage: What was used, and what it cost.

    Raises:
        BehestConfigError: A setting is missing or cannot be used.

    >>> async with AsyncBehest(key="behest_sk_live_0123456789abcdef", base_url="http://localhost:8080") as behest:
    ...     print(behest)
    AsyncBehest(mode='apiKey', base_url='http://localhost:8080', key='behest_sk_live_...cdef')
    """

    def __init__(
        self,
        *,
        key: str | None = None,
        api_key: str | None = None,
        tenant_id: str | None = None,
        project_id: str | None = None,
        kid: str | None = None,
        base_url: str | None = None,
        default_user_id: str | None = None,
        tier: int | str | None = None,
        ttl: int | None = None,
        issuer: str | None = None,
        audience: str | None = None,
        http_client: httpx.AsyncClient | None = None,
        warn: Callable[[str], None] | None = None,
        timeout: float | httpx.Timeout | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        max_cost_usd: Dollars | None = None,
    ) -> None:
        self.config: ResolvedConfig = resolve_config(
            key=key,
            api_key=api_key,
            tenant_id=tenant_id,
            project_id=project_id,
            kid=kid,
            base_url=base_url,
            default_user_id=default_user_id,
            tier=tier,
            ttl=ttl,
            issuer=issuer,
            audience=audience,
            http_client=http_client,
            warn=warn,
            timeout=timeout,
            max_retries=max_retries,
            max_cost_usd=max_cost_usd,
        )
        self.mode: Mode = self.config.mode
        self._transport = AsyncTransport(self.config)
        self._minter = AsyncMinter(self.config, self._transport)
        self._tokens = AsyncTokenSource(self._minter)
        self._openai = AsyncOpenAIClients(self.config, self._transport.address, self._tokens)
        self.auth = self._auth_module()
        self.chat = AsyncChatModule(self.auth, self.config.base_url, self.config.max_cost_usd)
        self.threads = AsyncThreadsModule(self.auth)
        self.usage = AsyncUsageModule(self.auth)

    def for_user(
        self,
        user_id: str,
        *,
        session_id: str | None = None,
        tier: int | str | None = None,
        ttl: int | None = None,
    ) -> AsyncBehestUser:
        """Return a client that speaks for one user, and for nobody else. It is cheap: make one per request.

        Args:
            user_id: Your own id of the signed-in user.
            session_id: Groups its calls for cost attribution; the token's session when left out.
            tier: The user's plan, from your billing data.
            ttl: Seconds that its tokens live.

        Raises:
            BehestBadRequestError: The user id is empty or reserved, or another argument out of its range.

        >>> behest = AsyncBehest()
        >>> ada = behest.for_user("u_42", tier=2)
        >>> (await ada.chat.completions.create(messages=[{"role": "user", "content": "Say hello."}])).text
        'Hello, u_42!'
        """
        options = MintOptions(user_id=user_id, session_id=session_id, tier=tier, ttl=ttl)
        return AsyncBehestUser(self._auth_module(options), self._openai, options, self.config)

    def openai(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        thread_id: str | None = None,
        tier: int | str | None = None,
        ttl: int | None = None,
        **options: Any,
    ) -> openai.AsyncOpenAI:
        """Return an OpenAI client that goes through the gateway for a user; its token renews itself.

        Args:
            user_id: Whom its calls are for; the client's default user when left out.
            session_id: Groups its calls for cost attribution.
            thread_id: A stored conversation that its calls go to.
            tier: The user's plan, from your billing data.
            ttl: Seconds that its tokens live.
            options: Anything else that `openai.AsyncOpenAI` takes.

        Returns:
            The client. All of them share one pool of connections, which this client closes. With an `http_client` of
            your own, a token is still renewed before it ends, but not after a 401.

        Raises:
            BehestConfigError: The `openai` package is missing or too old (`missing_package`).
            BehestBadRequestError: The user id is empty or reserved, or another argument out of its range.

        >>> behest = AsyncBehest()
        >>> client = behest.openai(user_id="u_42")
        >>> answer = await client.chat.completions.create(
        ...     model="default", messages=[{"role": "user", "content": "Say hello."}]
        ... )
        >>> answer.choices[0].message.content
        'Hello, u_42!'
        """
        request = self.auth.token_request(MintOptions(user_id=user_id, session_id=session_id, tier=tier, ttl=ttl))
        return self._openai.client(request, thread_id=thread_id, options=options)

    async def mint_token(self, **options: Any) -> LegacyMintResult:
        """Deprecated: `auth.mint()`. It also takes `userId` and `sessionId`, and repeats fields in their older names.

        >>> import warnings
        >>> behest = AsyncBehest()
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", DeprecationWarning)
        ...     minted = await behest.mint_token(userId="u_42", ttl=900)
        >>> minted["expires_in"], minted["access_token"] == minted["token"]
        (900, True)
        """
        warnings.warn("mint_token() is deprecated; use auth.mint().", DeprecationWarning, stacklevel=2)
        renamed = {_OLD_NAMES.get(name, name): value for name, value in options.items()}
        minted = await self.auth.mint(**renamed)
        return LegacyMintResult(**minted, sessionId=minted.session_id, access_token=minted.token, expires_in=minted.ttl)

    async def close(self) -> None:
        """Close the connections that this client opened, those of its OpenAI clients too."""
        await self._openai.close()
        await self._transport.close()

    aclose = close  # async only

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        config = self.config
        return f"AsyncBehest(mode={config.mode!r}, base_url={config.base_url!r}, key={config.masked_key!r})"

    def _auth_module(self, bound_to: MintOptions | None = None) -> AsyncAuthModule:
        return AsyncAuthModule(self.config, self._transport, self._minter, self._tokens, bound_to=bound_to)


class AsyncBehestUser:
    """A client that speaks for one user; `AsyncBehest.for_user` makes it.

    Its calls are those of `AsyncBehest`, and refuse any other user id.

    Attributes:
        user_id: Whom it speaks for.
        auth: Mints tokens for this user.
        chat: Chat completions.
        threads: This user's stored conversations.
        usage: What this user used.

    >>> behest = AsyncBehest()
    >>> ada = behest.for_user("u_42")
    >>> (await ada.usage.get()).totals.cost_usd
    0.0015
    """

    def __init__(
        self, auth: AsyncAuthModule, openai_clients: AsyncOpenAIClients, options: MintOptions, config: ResolvedConfig
    ) -> None:
        # Without this, a missing id would fall to the default user, and one user's cost on everybody's account.
        if options.user_id is None:
            raise BehestBadRequestError("for_user() needs the id of the signed-in user.")
        auth.token_request(options)
        self.user_id: str = options.user_id
        self.auth = auth
        self.chat = AsyncChatModule(auth, config.base_url, config.max_cost_usd)
        self.threads = AsyncThreadsModule(auth)
        self.usage = AsyncUsageModule(auth)
        self._openai = openai_clients

    def openai(
        self, *, session_id: str | None = None, thread_id: str | None = None, **options: Any
    ) -> openai.AsyncOpenAI:
        """Return an OpenAI client for this user; see `AsyncBehest.openai`.

        >>> behest = AsyncBehest()
        >>> client = behest.for_user("u_42").openai(thread_id="t_1")
        >>> answer = await client.chat.completions.create(
        ...     model="default", messages=[{"role": "user", "content": "Say hello."}]
        ... )
        >>> answer.choices[0].message.content
        'Hello, u_42!'
        """
        request = self.auth.token_request(MintOptions(session_id=session_id))
        return self._openai.client(request, thread_id=thread_id, options=options)

    def __repr__(self) -> str:
        return f"AsyncBehestUser({self.user_id!r})"


_OLD_NAMES = {"userId": "user_id", "sessionId": "session_id"}
