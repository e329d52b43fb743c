"""From a credential to a Behest token: verify, decide who that is at the gateway, mint.

The SDK's client is known by its shape, so that a verifier can be used without it.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, cast, runtime_checkable

from behest_protocol.claims import ttl_problem

from .errors import AuthError, ConfigError, ForbiddenError, MintError
from .identity import Credential, Identity, Verifier
from .rules.addresses import exact_origins
from .rules.callers import Caller, Tier, accepted_user_id, session_of, tiers_by_claim, user_id_of

TTL = 600
"""Seconds that a token lives, unless it is told otherwise: how long somebody who signed out can still go on."""

_log = logging.getLogger("behest_auth")


class Bundle(TypedDict):
    """What a page gets: the names that the browser SDKs read.

    Attributes:
        token: The Behest JWT.
        sessionId: The session that the token belongs to.
        ttl: Seconds that it lives.
        expiresAt: When it ends, in seconds since 1970.
    """

    token: str
    sessionId: str
    ttl: int
    expiresAt: int


class Minting(Protocol):
    """What is used of `Behest().auth` and `AsyncBehest().auth`."""

    @property
    def mint(self) -> Callable[..., Any]:
        """Makes a token for a user."""
        ...


class Client(Protocol):
    """What is used of `Behest` and `AsyncBehest`."""

    @property
    def auth(self) -> Minting:
        """Mints tokens."""
        ...

    @property
    def for_user(self) -> Callable[..., Any]:
        """Makes a client that speaks for one user."""
        ...


@runtime_checkable
class _Refused(Protocol):
    """What is used of the SDK's `BehestError`."""

    status: int | None
    code: str | None
    trace_id: str | None
    retry_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """A token, and whom it is for."""

    identity: Identity
    caller: Caller
    bundle: Bundle


class TokenExchange:
    """Verifies credentials and mints tokens for their users.

    Args:
        verifier: Says who a credential speaks for.
        behest: The SDK's client, `Behest()` or `AsyncBehest()`.
        tier: The user's plan: a function of the identity, or what each value of `tier_claim` stands for. A value that
            is not listed, and a claim that is missing, stand for the lowest. Without it no tier is sent.
        tier_claim: Where the plan is, such as `"app_metadata.plan"`; the provider's usual claim when left out. A claim
            that users write themselves is refused.
        ttl: Seconds that tokens live, 60 to 86400.
        origins: The origins of the app's pages, for cookies and for answers to pages of another origin.
        user_id: Makes the user id of an identity, in place of the provider's own.
        allow: Says whether an identity may have a token at all, such as `lambda identity: identity.email_verified`.

    Raises:
        ConfigError: Something is missing or contradicts itself.
    """

    def __init__(
        self,
        verifier: Verifier,
        behest: Client,
        *,
        tier: Callable[[Identity], Tier | None] | Mapping[str, Tier] | None = None,
        tier_claim: str | Sequence[str] | None = None,
        ttl: int = TTL,
        origins: Sequence[str] = (),
        user_id: Callable[[Identity], str] | None = None,
        allow: Callable[[Identity], bool] | None = None,
    ) -> None:
        problem = ttl_problem(ttl)
        if problem:
            raise ConfigError(f"{problem}.")
        self.verifier = verifier
        self.behest = behest
        self.ttl = ttl
        self.origins = exact_origins(origins)
        if verifier.cookie is not None and not self.origins:
            raise ConfigError(
                f"origins is required, because {verifier.name} takes a cookie: the origins of your pages, such as "
                "https://app.example.com."
            )
        self._tier = self._tiers(tier, tier_claim if tier_claim is not None else verifier.tier_claim)
        self._user_id = user_id
        self._allow = allow
        self._is_async = inspect.iscoroutinefunction(behest.auth.mint)

    @property
    def is_async(self) -> bool:
        """Whether `behest` is an `AsyncBehest`."""
        return self._is_async

    def caller_of(self, identity: Identity, *, thread: str | None = None) -> Caller:
        """Decide who an identity is at the gateway.

        Args:
            thread: A label of the page's own, for a session beside the login's; another user's cannot be reached by it.

        Raises:
            ForbiddenError: `reserved_user_id` or `not_allowed`.
            BadRequestError: `bad_thread`.
        """
        if self._allow is not None and not self._allow(identity):
            raise ForbiddenError("not_allowed", identity.subject[:80])
        user_id = user_id_of(identity) if self._user_id is None else accepted_user_id(self._user_id(identity))
        tier = self._tier(identity) if self._tier is not None else None
        return Caller(user_id=user_id, session_id=session_of(identity, user_id, thread), tier=tier)

    def exchange(self, credential: Credential, *, thread: str | None = None) -> Exchanged:
        """Verify a credential and mint a token; `behest` must be a `Behest`.

        Raises:
            AuthError: The credential is bad, or no token can be made.
        """
        self.require_blocking()
        with _told(credential):
            identity = self.verifier.verify(credential)
            return self.mint(identity, thread=thread)

    async def aexchange(self, credential: Credential, *, thread: str | None = None) -> Exchanged:
        """Verify a credential and mint a token without blocking the event loop.

        Raises:
            AuthError: The credential is bad, or no token can be made.
        """
        with _told(credential):
            identity = await self.verifier.averify(credential)
            return await self.amint(identity, thread=thread)

    def mint(self, identity: Identity, *, thread: str | None = None) -> Exchanged:
        """Mint a token for somebody who was verified; `behest` must be a `Behest`.

        Raises:
            ForbiddenError: They may not have one.
            MintError: The gateway gave none.
        """
        caller = self.caller_of(identity, thread=thread)
        try:
            minted = self.behest.auth.mint(**self._wanted(caller))
        except Exception as problem:
            raise _mint_problem(problem) from problem
        return Exchanged(identity=identity, caller=caller, bundle=_bundle(minted))

    async def amint(self, identity: Identity, *, thread: str | None = None) -> Exchanged:
        """Mint a token for somebody who was verified, without blocking the event loop; otherwise the same."""
        if not self._is_async:
            return await asyncio.to_thread(self.mint, identity, thread=thread)
        caller = self.caller_of(identity, thread=thread)
        try:
            minted = await cast("Awaitable[Any]", self.behest.auth.mint(**self._wanted(caller)))
        except Exception as problem:
            raise _mint_problem(problem) from problem
        return Exchanged(identity=identity, caller=caller, bundle=_bundle(minted))

    def client_of(self, caller: Caller) -> Any:
        """The SDK's client that speaks for a caller and for nobody else."""
        return self.behest.for_user(caller.user_id, session_id=caller.session_id, tier=caller.tier, ttl=self.ttl)

    def require_blocking(self) -> None:
        """Check that `behest` can be used without an event loop.

        Raises:
            ConfigError: It is an `AsyncBehest`.
        """
        if self._is_async:
            raise ConfigError("behest must be Behest() here; AsyncBehest() is for aexchange(), FastAPI and Starlette.")

    def _wanted(self, caller: Caller) -> dict[str, Any]:
        return {"user_id": caller.user_id, "session_id": caller.session_id, "tier": caller.tier, "ttl": self.ttl}

    def _tiers(
        self,
        tier: Callable[[Identity], Tier | None] | Mapping[str, Tier] | None,
        claim: str | Sequence[str] | None,
    ) -> Callable[[Identity], Tier | None] | None:
        if tier is None or callable(tier):
            return tier
        if claim is None:
            raise ConfigError("tier_claim is required: where the plan is in the token, such as app_metadata.plan.")
        return tiers_by_claim(tier, claim, unknown=lambda said: _log.warning("No tier is set for plan %s", said))


class _told:  # noqa: N801  (used like a function)
    """Writes to the log why a credential was refused: the reason and a part of its hash, never the credential."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, AuthError):
            tell(problem, self._credential)


def tell(problem: AuthError, credential: Credential | None) -> None:
    """Write to the log why a request was refused."""
    mark = hashlib.sha256(credential.value.encode("utf-8", "replace")).hexdigest()[:12] if credential else "none"
    _log.log(logging.WARNING if problem.status >= 500 else logging.INFO, "Refused (credential %s): %s", mark, problem)


def _mint_problem(problem: Exception) -> Exception:
    """What went wrong at the gateway, as this package says it; whatever did not come from the SDK stays as it is."""
    if isinstance(problem, AuthError) or not isinstance(problem, _Refused):
        return problem
    said = f"{problem.code} (HTTP {problem.status}, trace {problem.trace_id})"
    if problem.status == 429:
        return MintError("rate_limited", said, retry_after=problem.retry_after)
    if problem.status is None or problem.status >= 500:
        return MintError("gateway_unavailable", said, retry_after=problem.retry_after)
    return MintError("mint_refused", said)


def _bundle(minted: Any) -> Bundle:
    return Bundle(token=minted.token, sessionId=minted.session_id, ttl=minted.ttl, expiresAt=minted.expires_at)
