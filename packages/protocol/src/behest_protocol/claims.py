"""Who a token speaks for: the claims of a Behest JWT, and the limits that both ends hold to."""

from __future__ import annotations

MIN_TTL = 60
MAX_TTL = 86_400
DEFAULT_TTL = 3_600
"""Seconds that a minted token lives."""

MAX_USER_ID = 255
"""Characters in a user id, at most."""

AUDIENCE = "behest"
ISSUERS = ("https://api.behest.app", "https://api.behest.ai", "behest")
"""The issuers that published clients write; a gateway accepts them all and mints as the first."""

ROLES = ("user", "admin", "dashboard-service")

RESERVED_USER_IDS = frozenset({"dashboard-service", "admin", "system", "root", "service", "behest"})

API_KEY_PREFIX = "behest_sk_live_"
PRIVATE_KEY_PREFIX = "behest_pk_"
KEY_ID_PREFIX = "sk_"


def user_id_problem(user_id: object) -> str | None:
    """Say in a sentence what is wrong with a user id, or None when it may be used.

    >>> user_id_problem("u_42") is None
    True
    >>> user_id_problem("Admin")
    "user_id 'Admin' is reserved; use your own user's id"
    """
    if not isinstance(user_id, str):
        return "user_id is required and must be a string"
    if not user_id.strip():
        return "user_id must not be empty; pass the id of the signed-in user"
    if len(user_id) > MAX_USER_ID:
        return f"user_id is longer than {MAX_USER_ID} characters"
    if any(ord(c) < 32 or ord(c) == 127 for c in user_id):
        return "user_id must not contain control characters"
    if any("\ud800" <= c <= "\udfff" for c in user_id):
        return "user_id is not valid Unicode"
    if user_id.lower() in RESERVED_USER_IDS:
        return f"user_id {user_id!r} is reserved; use your own user's id"
    return None


def ttl_problem(ttl: object) -> str | None:
    """Say in a sentence what is wrong with a time to live in seconds, or None when it may be used.

    >>> ttl_problem(59)
    'ttl must be between 60 and 86400 seconds, not 59'
    """
    if isinstance(ttl, bool) or not isinstance(ttl, int):
        return "ttl must be a whole number of seconds"
    if not MIN_TTL <= ttl <= MAX_TTL:
        return f"ttl must be between {MIN_TTL} and {MAX_TTL} seconds, not {ttl}"
    return None
