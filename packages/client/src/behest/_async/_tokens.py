"""Where tokens come from: the mint, a private key, or the cache in front of both."""

from __future__ import annotations

import copy
import threading
import time

from .._config import ResolvedConfig
from .._errors import BehestError
from .._minting import TokenRequest, generate_session_id, mint_body, read_minted
from .._results import MintResult
from .._signing import LocalSigner
from .._synchronization import AsyncLock
from .._tokens import TokenCache
from .._wire import mint_ask, read_object
from ._transport import AsyncTransport


class AsyncMinter:
    """Makes tokens: exchanges the API key for one, or signs one.

    Raises:
        BehestConfigError: The private key cannot be used.
    """

    def __init__(self, config: ResolvedConfig, transport: AsyncTransport) -> None:
        self._config = config
        self._transport = transport
        self._signer = LocalSigner(config) if config.mode == "sign" else None

    async def mint(self, request: TokenRequest) -> MintResult:
        """Make a new token.

        Raises:
            BehestError: The mint refused, could not be reached, or answered without a token.
        """
        session_id = request.session_id or generate_session_id()
        now = int(time.time())
        if self._signer is not None:
            return self._signer.sign(request, session_id, now=now)
        response = await self._transport.open(mint_ask(mint_body(request, session_id)), token=self._config.key)
        answer = read_object(await self._transport.read(response))
        return read_minted(answer, request, session_id, now=now)


class AsyncTokenSource:
    """Gives out tokens that are good for a while yet; those who ask for the same one at once cause a single mint.

    A mint that fails, fails for everybody who was waiting for it; whoever asks later starts a new one.
    """

    def __init__(self, minter: AsyncMinter) -> None:
        self._minter = minter
        self._cache = TokenCache()
        self._guard = threading.Lock()
        self._flights: dict[TokenRequest, _Flight] = {}

    async def get(self, request: TokenRequest) -> MintResult:
        """Return a token for the request.

        Raises:
            BehestError: It could not be minted.
        """
        minted = self._cache.find(request, now=time.monotonic())
        if minted is not None:
            return minted
        with self._guard:
            flight = self._flights.setdefault(request, _Flight())
        async with flight.lock:
            if flight.minted is not None:
                return flight.minted
            if flight.failure is not None:
                raise copy.copy(flight.failure)
            try:
                flight.minted = await self._mint(request)
            except BehestError as failure:
                flight.failure = failure
                raise
            finally:
                with self._guard:
                    if self._flights.get(request) is flight:
                        del self._flights[request]
            return flight.minted

    def forget(self, token: str) -> bool:
        """Drop a token that the gateway refused; say whether it was one of these."""
        return self._cache.forget(token)

    async def _mint(self, request: TokenRequest) -> MintResult:
        asked_at = time.monotonic()
        minted = await self._minter.mint(request)
        self._cache.keep(request, minted, now=asked_at)
        return minted


class _Flight:
    """A mint under way: those who wait at its lock find the outcome here."""

    __slots__ = ("failure", "lock", "minted")

    def __init__(self) -> None:
        self.lock = AsyncLock()
        self.minted: MintResult | None = None
        self.failure: BehestError | None = None
