"""An issuer's keys, kept: fetched once however many ask, and seldom however much is forged.

Keys are good for ten minutes after they were fetched. A token that names another key may be a forgery or the first one
after a rotation, so it leads to one fetch, and then to none until thirty seconds after that fetch *ended*: whoever asks
meanwhile waits for the same fetch and shares its outcome. Keys are only ever replaced by a set that was read
completely; a forged token, an outage or an empty set takes none away. While the issuer cannot be reached, keys are used
for one more hour.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from .errors import InvalidCredentialError, UnavailableError
from .ports import FETCH_SECONDS, Fetcher, FetchError
from .rules.keys import KeySetError, KeySource, VerificationKey, find_keys

KEEP_SECONDS = 600.0
COOL_DOWN_SECONDS = 30.0
STALE_SECONDS = 3600.0
_WAIT_SECONDS = 3 * FETCH_SECONDS
"""A fetch is two pages at most; who waits for somebody else's does not wait longer than this."""

_log = logging.getLogger("behest_auth")


class KeyCache:
    """The keys of one source. It is shared by threads and event loops."""

    def __init__(self, source: KeySource, fetcher: Fetcher, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._fetcher = fetcher
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: dict[str, VerificationKey] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._flight: Future[bool] | None = None

    def get(self, key_id: str) -> VerificationKey:
        """The key of this id.

        Raises:
            InvalidCredentialError: `unknown_key`.
            UnavailableError: `keys_unavailable`.
        """
        while True:
            flight, leads = self._join(key_id)
            if flight is None:
                return self._pick(key_id)
            if leads:
                self._lead(flight)
            try:
                if flight.result(_WAIT_SECONDS):
                    return self._pick(key_id)
            except TimeoutError:
                raise UnavailableError("keys_unavailable", "somebody else's fetch takes too long") from None

    async def aget(self, key_id: str) -> VerificationKey:
        """The key of this id, without blocking the event loop; otherwise the same."""
        while True:
            flight, leads = self._join(key_id)
            if flight is None:
                return self._pick(key_id)
            if leads:
                await self._alead(flight)
            try:
                # The shield keeps one caller who gives up from ending the wait of all the others.
                if await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(flight)), _WAIT_SECONDS):
                    return self._pick(key_id)
            except TimeoutError:
                raise UnavailableError("keys_unavailable", "somebody else's fetch takes too long") from None

    def _join(self, key_id: str) -> tuple[Future[bool] | None, bool]:
        """The fetch to wait for, if there must be one, and whether the caller is the one to do it."""
        with self._lock:
            if not self._must_fetch(key_id):
                return None, False
            if self._flight is not None:
                return self._flight, False
            self._flight = Future()
            self._flight.set_running_or_notify_cancel()
            return self._flight, True

    def _must_fetch(self, key_id: str) -> bool:
        now = self._monotonic()
        is_fresh = self._fetched is not None and now - self._fetched < KEEP_SECONDS
        if is_fresh and key_id in self._keys:
            return False
        return self._tried is None or now - self._tried >= COOL_DOWN_SECONDS

    def _pick(self, key_id: str) -> VerificationKey:
        with self._lock:
            if self._fetched is None or self._monotonic() - self._fetched >= KEEP_SECONDS + STALE_SECONDS:
                raise UnavailableError("keys_unavailable", self._source.url)
            key = self._keys.get(key_id)
        if key is None:
            raise InvalidCredentialError("unknown_key", key_id[:64])
        return key

    def _lead(self, flight: Future[bool]) -> None:
        found: dict[str, VerificationKey] | None = None
        is_over = False
        try:
            steps = find_keys(self._source)
            ask = next(steps)
            while True:
                ask = steps.send(self._fetcher.get(ask))
        except StopIteration as end:
            found, is_over = end.value, True
        except (FetchError, KeySetError) as problem:
            self._complain(problem)
            is_over = True
        finally:
            self._land(flight, found, is_over=is_over)

    async def _alead(self, flight: Future[bool]) -> None:
        found: dict[str, VerificationKey] | None = None
        is_over = False
        try:
            steps = find_keys(self._source)
            ask = next(steps)
            while True:
                answer = await self._fetcher.aget(ask)
                try:
                    ask = steps.send(answer)
                except StopIteration as end:
                    found, is_over = end.value, True
                    break
        except (FetchError, KeySetError) as problem:
            self._complain(problem)
            is_over = True
        finally:
            self._land(flight, found, is_over=is_over)

    def _land(self, flight: Future[bool], found: dict[str, VerificationKey] | None, *, is_over: bool) -> None:
        """End a fetch. One that was cancelled counts for nothing, and one of those who wait takes its place."""
        with self._lock:
            now = self._monotonic()
            if found is not None:
                self._keys, self._fetched = found, now
            if is_over:
                self._tried = now
            self._flight = None
        flight.set_result(is_over)

    def _complain(self, problem: Exception) -> None:
        _log.warning("No keys from %s: %s", self._source.url, problem)
