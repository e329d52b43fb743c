"""How a check is carried out: a provider says step by step what it needs, and this brings it.

A check is a generator: it yields what it needs (a key, a page), is sent that, and returns an identity. It does no I/O
itself, so one text serves blocking and async callers alike, and tests with values.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import ClassVar, Self, cast

from .errors import ConfigError, UnavailableError
from .identity import Credential, Identity
from .key_cache import KeyCache
from .ports import Answer, Ask, Fetcher, FetchError
from .rules.claims import MAX_LEEWAY
from .rules.keys import KeySource, VerificationKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWanted:
    """A key of a source, by its id."""

    source: KeySource
    key_id: str


Need = KeyWanted | Ask
Got = VerificationKey | Answer | None
Steps = Generator[Need, Got, Identity]
"""A check: needs come out, what was needed goes in, an identity is the end; it raises `AuthError`."""


def want_key(source: KeySource, key_id: str) -> Generator[Need, Got, VerificationKey]:
    """Within a check: ask for a key."""
    return cast("VerificationKey", (yield KeyWanted(source=source, key_id=key_id)))


def want_page(ask: Ask) -> Generator[Need, Got, Answer]:
    """Within a check: ask for a page."""
    return cast("Answer", (yield ask))


class Surroundings:
    """What verifiers share: who fetches for them, their clocks, and the keys that were fetched already.

    Args:
        fetcher: Fetches key sets, and asks providers where that is chosen.
        clock: Seconds since 1970, for what tokens say of time.
        monotonic: Seconds of a clock that nobody sets, for how long keys are kept.
    """

    _shared: ClassVar[Surroundings | None] = None

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fetcher = fetcher
        self._clock = clock
        self._monotonic = monotonic
        self._caches: dict[KeySource, KeyCache] = {}
        self._lock = threading.Lock()

    @classmethod
    def share(cls, surroundings: Surroundings) -> None:
        """Make these the ones of every verifier that is given none."""
        cls._shared = surroundings

    @classmethod
    def shared(cls) -> Surroundings:
        """Those of every verifier that is given none."""
        if cls._shared is None:  # pragma: no cover - importing behest_auth shares some
            raise ConfigError("import behest_auth first: it brings what fetches keys.")
        return cls._shared

    def now(self) -> int:
        """Seconds since 1970."""
        return int(self._clock())

    def run(self, steps: Steps) -> Identity:
        """Carry a check out.

        Raises:
            AuthError: As the check says, or `UnavailableError` when something cannot be fetched.
        """
        got: Got = None
        while True:
            try:
                need = steps.send(got)
            except StopIteration as end:
                return cast("Identity", end.value)
            if isinstance(need, KeyWanted):
                got = self._keys(need.source).get(need.key_id)
            else:
                try:
                    got = self.fetcher.get(need)
                except FetchError as problem:
                    raise UnavailableError("provider_unavailable", str(problem)) from problem

    async def arun(self, steps: Steps) -> Identity:
        """Carry a check out without blocking the event loop; otherwise the same."""
        got: Got = None
        while True:
            try:
                need = steps.send(got)
            except StopIteration as end:
                return cast("Identity", end.value)
            if isinstance(need, KeyWanted):
                got = await self._keys(need.source).aget(need.key_id)
            else:
                try:
                    got = await self.fetcher.aget(need)
                except FetchError as problem:
                    raise UnavailableError("provider_unavailable", str(problem)) from problem

    def _keys(self, source: KeySource) -> KeyCache:
        with self._lock:
            cache = self._caches.get(source)
            if cache is None:
                cache = self._caches[source] = KeyCache(source, self.fetcher, self._monotonic)
            return cache


class Provider(ABC):
    """A verifier whose check is a generator.

    Attributes:
        name: The provider, part of user ids that are hashed and of session ids.
        cookie: The cookie that may hold the credential, or None.
        tier_claim: Where this provider keeps a user's plan, if there is a usual place.
    """

    name: str = ""
    cookie: str | None = None
    tier_claim: str | None = None

    def __init__(self, *, leeway: int, surroundings: Surroundings | None) -> None:
        if type(leeway) is not int or not 0 <= leeway <= MAX_LEEWAY:
            raise ConfigError(f"leeway must be 0 to {MAX_LEEWAY} seconds, not {leeway!r}.")
        self.leeway = leeway
        self._surroundings = surroundings if surroundings is not None else Surroundings.shared()

    @classmethod
    @abstractmethod
    def from_env(cls) -> Self:
        """Set it up from the provider's own environment variables.

        Raises:
            ConfigError: One is missing; the message names it.
        """

    @abstractmethod
    def check(self, credential: Credential, now: int) -> Steps:
        """Check a credential, step by step, at a time in seconds since 1970."""

    def verify(self, credential: Credential) -> Identity:
        """Check a credential.

        Raises:
            AuthError: It is bad, not for this, or cannot be checked now.
        """
        return self._surroundings.run(self.check(credential, self._surroundings.now()))

    async def averify(self, credential: Credential) -> Identity:
        """Check a credential without blocking the event loop; otherwise the same."""
        return await self._surroundings.arun(self.check(credential, self._surroundings.now()))
