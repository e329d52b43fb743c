"""Who calls are for: minting tokens, and sending requests with the right one."""

from __future__ import annotations

import httpx

from .._config import ResolvedConfig
from .._errors import BehestAuthError, BehestBadRequestError
from .._minting import MintOptions, TokenRequest, session_id_problem, session_of, token_request
from .._results import MintResult
from .._wire import Ask
from ._tokens import AsyncMinter, AsyncTokenSource
from ._transport import AsyncTransport


class AsyncAuthModule:
    """Mints tokens for your users.

    Attributes:
        last_session_id: The session of the token that was minted or used last, or None.
    """

    def __init__(
        self,
        config: ResolvedConfig,
        transport: AsyncTransport,
        minter: AsyncMinter,
        tokens: AsyncTokenSource,
        *,
        bound_to: MintOptions | None = None,
    ) -> None:
        self.last_session_id: str | None = None
        self._config = config
        self._transport = transport
        self._minter = minter
        self._tokens = tokens
        self._bound_to = bound_to

    async def mint(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        tier: int | str | None = None,
        ttl: int | None = None,
        role: str | None = None,
    ) -> MintResult:
        """Make a new token for a user, to be handed to their browser.

        Args:
            user_id: Your own id of the signed-in user; the client's default user when left out.
            session_id: Groups calls for cost attribution; a new one is made when left out.
            tier: The user's plan, from your billing data: a number or a name.
            ttl: Seconds that the token lives, 60 to 86400; the client's default when left out.
            role: `"user"` when left out.

        Returns:
            The token, its session, and when it ends. It is always a new one.

        Raises:
            BehestBadRequestError: The user id is empty or reserved, or the ttl out of range; nothing was sent.
            BehestAuthError: The key was refused.
            BehestError: Anything else that the gateway answered, or that it could not be reached.

        >>> behest = AsyncBehest()
        >>> minted = await behest.auth.mint(user_id="u_42", tier=2, ttl=900)
        >>> minted.ttl, minted.session_id == behest.auth.last_session_id
        (900, True)
        """
        options = MintOptions(user_id=user_id, session_id=session_id, tier=tier, ttl=ttl, role=role)
        minted = await self._minter.mint(self.token_request(options))
        self.last_session_id = minted.session_id
        return minted

    def token_request(self, options: MintOptions) -> TokenRequest:
        """Check what is asked, within what this module is bound to."""
        if self._bound_to is not None:
            if options.user_id not in (None, self._bound_to.user_id):
                raise BehestBadRequestError(
                    f"this client speaks for user {self._bound_to.user_id!r} only; use for_user() for another."
                )
            options = options.over(self._bound_to)
        return token_request(options, self._config)

    async def fetch(self, ask: Ask, options: MintOptions, token: str | None) -> httpx.Response:
        """Send a request for somebody and read the whole answer."""
        return await self._transport.read(await self.open(ask, options, token))

    async def open(self, ask: Ask, options: MintOptions, token: str | None) -> httpx.Response:
        """Send a request for somebody, with the given token or else with one that is kept for them.

        A kept token that is refused (401) is replaced once: the gateway's keys may have changed since it was minted.
        """
        if token is not None:
            session_id = self._session_beside(token, options)
            return await self._transport.open(ask, token=token, session_id=session_id)
        request = self.token_request(options)
        minted = await self._take(request)
        try:
            return await self._transport.open(ask, token=minted.token, session_id=minted.session_id)
        except BehestAuthError as refusal:
            if refusal.status != 401:
                raise
        self._tokens.forget(minted.token)
        minted = await self._take(request)
        return await self._transport.open(ask, token=minted.token, session_id=minted.session_id)

    async def _take(self, request: TokenRequest) -> MintResult:
        minted = await self._tokens.get(request)
        self.last_session_id = minted.session_id
        return minted

    def _session_beside(self, token: str, options: MintOptions) -> str | None:
        if not token or not token.isascii() or not token.isprintable():
            raise BehestBadRequestError("token must be a JWT; leave it out to have one minted.")
        problem = session_id_problem(options.session_id) if options.session_id is not None else None
        if problem:
            raise BehestBadRequestError(f"{problem}.")
        return options.session_id or session_of(token) or self.last_session_id
