"""Who somebody is at the gateway: their user id, their tier and their session, from what a provider has said.

A user id and a session are functions of the identity alone. Whatever a page sends can choose among its own user's
threads, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from behest_protocol.claims import RESERVED_USER_IDS, user_id_problem

from ..errors import BadRequestError, ConfigError, ForbiddenError
from ..identity import Identity

Tier = int | str
"""A plan: its number or its name."""

RESERVED = RESERVED_USER_IDS | {"default", "anonymous", "anon", "null", "undefined", "none", "nil", "nan", "guest"}
"""Ids under which different people would meet, or which are not a person's; in small letters."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@|+=-]{0,127}")
_HASHED = re.compile(r"[a-z0-9]+-[0-9a-f]{40}")
_THREAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SESSIONS = uuid.UUID("3c0c1f3e-7f0e-5d6c-9a53-6a0a6f1d2b77")
_WRITTEN_BY_USERS = ("user_metadata", "unsafe_metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whom a token is minted for.

    Attributes:
        user_id: The same at every sign-in.
        session_id: The same for every token of one login, or a new one when the provider tells no login apart.
        tier: The user's plan, or None when none is sent.
    """

    user_id: str
    session_id: str
    tier: Tier | None


def user_id_of(identity: Identity) -> str:
    """The user id: the provider's own where it is plain, and otherwise a hash of issuer and subject.

    Raises:
        ForbiddenError: `reserved_user_id`.

    >>> ada = Identity(provider="auth0", issuer="https://acme.eu.auth0.com/", subject="auth0|ada", expires_at=0)
    >>> user_id_of(ada)
    'auth0|ada'
    """
    subject = identity.subject
    if not _PLAIN.fullmatch(subject) or _HASHED.fullmatch(subject):
        digest = hashlib.sha256(f"{identity.issuer}\0{subject}".encode("utf-8", "surrogatepass")).hexdigest()
        return f"{identity.provider}-{digest[:40]}"
    return accepted_user_id(subject)


def accepted_user_id(user_id: object) -> str:
    """Take a user id that is nobody else's by accident.

    Raises:
        ForbiddenError: `reserved_user_id`, or it cannot be one.
    """
    problem = user_id_problem(user_id)
    if problem or not isinstance(user_id, str) or user_id.strip().lower() in RESERVED:
        raise ForbiddenError("reserved_user_id", problem or repr(user_id))
    return user_id


def session_of(identity: Identity, user_id: str, thread: str | None) -> str:
    """The session id. No label that a page may send leads to another user's session.

    Args:
        thread: A label of the page's own, 1 to 64 letters, digits, `_` and `-`; None for the login's own session.

    Raises:
        BadRequestError: `bad_thread`.
    """
    if thread is not None and not _THREAD.fullmatch(thread):
        raise BadRequestError("bad_thread", repr(thread)[:80])
    if thread is None and identity.session is None:
        return str(uuid.uuid4())
    seed = [identity.provider, identity.issuer, user_id, identity.session if thread is None else None, thread]
    return str(uuid.uuid5(_SESSIONS, json.dumps(seed)))


def claim_at(claims: Mapping[str, Any], path: Sequence[str]) -> object:
    """The value at a path of names, or None."""
    value: object = claims
    for name in path:
        value = cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else None
    return value


def claim_path(claim: str | Sequence[str]) -> tuple[str, ...]:
    """Take the name of a claim: with dots between levels, or as a sequence when a name has dots itself.

    Raises:
        ConfigError: Users can write it themselves, or it is empty.

    >>> claim_path("app_metadata.plan"), claim_path("https://acme.com/plan")
    (('app_metadata', 'plan'), ('https://acme.com/plan',))
    """
    path = tuple(claim)
    if isinstance(claim, str):
        path = (claim,) if "://" in claim else tuple(claim.split("."))
    if not path or not all(path):
        raise ConfigError("tier_claim must name a claim, such as app_metadata.plan.")
    if any(part in _WRITTEN_BY_USERS for part in path):
        raise ConfigError(f"tier_claim must not read {'.'.join(path)}: users write {path[0]} themselves.")
    return path


def tiers_by_claim(
    tiers: Mapping[str, Tier], claim: str | Sequence[str], unknown: Callable[[str], None]
) -> Callable[[Identity], Tier]:
    """Map what a claim says to tiers; whatever is not listed is the lowest one: the least number, or the first name.

    Args:
        unknown: Told of a value that is not listed.

    Raises:
        ConfigError: There is no tier, or the claim is one that users write.

    >>> tier = tiers_by_claim({"free": 1, "pro": 2}, "app_metadata.plan", unknown=lambda said: None)
    >>> ada = Identity(provider="p", issuer="i", subject="s", expires_at=0, claims={"app_metadata": {"plan": "pro"}})
    >>> tier(ada)
    2
    """
    path = claim_path(claim)
    values = list(tiers.values())
    kinds = {type(value) for value in values}
    if not values or not kinds <= {int, str}:
        raise ConfigError("tier must map what the claim says to numbers or names of tiers.")
    numbers = [value for value in values if isinstance(value, int)]
    lowest: Tier = min(numbers) if len(numbers) == len(values) else values[0]
    known = dict(tiers)

    def tier(identity: Identity) -> Tier:
        said = claim_at(identity.claims, path)
        if isinstance(said, str) and said in known:
            return known[said]
        if said is not None:
            unknown(repr(said)[:80])
        return lowest

    return tier
