"""The tokens that are still good, by what was asked for. A value with a lock, and no I/O."""

from __future__ import annotations

import threading
from collections import OrderedDict

from ._minting import TokenRequest
from ._results import MintResult

REFRESH_BEFORE = 60
"""Seconds before its end at which a token is no longer used; a token of under two minutes is used for half its life."""

MAX_TOKENS = 10_000
"""Tokens that are kept; the one that was not used for longest goes first."""


class TokenCache:
    """Keeps a token for each request until shortly before it ends.

    Times are seconds of any clock that does not go backwards.

    >>> cache = TokenCache()
    >>> asked = TokenRequest(user_id="u_42", session_id=None, tier=None, ttl=900, role="user")
    >>> cache.keep(asked, MintResult(token="t", session_id="s", ttl=900, expires_at=0), now=0.0)
    >>> cache.find(asked, now=839.0).session_id
    's'
    >>> cache.find(asked, now=840.0) is None
    True
    """

    __slots__ = ("_limit", "_lock", "_tokens")

    def __init__(self, limit: int = MAX_TOKENS) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._tokens: OrderedDict[TokenRequest, tuple[MintResult, float]] = OrderedDict()

    def find(self, request: TokenRequest, *, now: float) -> MintResult | None:
        """The token for a request, when it is good for a while yet."""
        with self._lock:
            found = self._tokens.get(request)
            if found is None:
                return None
            minted, until = found
            if now >= until:
                del self._tokens[request]
                return None
            self._tokens.move_to_end(request)
            return minted

    def keep(self, request: TokenRequest, minted: MintResult, *, now: float) -> None:
        """Keep a token that was asked for at `now`."""
        until = now + minted.ttl - min(REFRESH_BEFORE, minted.ttl / 2)
        with self._lock:
            self._tokens[request] = (minted, until)
            self._tokens.move_to_end(request)
            while len(self._tokens) > self._limit:
                self._tokens.popitem(last=False)

    def forget(self, token: str) -> bool:
        """Drop a token that was refused; say whether it was here."""
        with self._lock:
            for request, (minted, _) in self._tokens.items():
                if minted.token == token:
                    del self._tokens[request]
                    return True
            return False
