"""Webhooks by the Standard Webhooks scheme: what is signed and how, when it is tried again, and where it may go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from behest_gateway.core.addresses import is_public, read_address
from behest_gateway.core.errors import invalid
from behest_gateway.core.events import FIELDS

SECRET_PREFIX = "whsec_"  # noqa: S105  (what every secret begins with)
SECRET_BYTES = 32
MAX_URL = 2_048
MAX_OVERLAP_HOURS = 7 * 24

RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400)
"""How long after a failed attempt the next is made; after the last the delivery is dead."""

SPREAD = 0.2
"""A wait is up to this much longer, so that what failed together is not tried again together."""

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][!\"$-~]*)?"
)


def new_secret() -> str:
    """Make the secret of a webhook: `whsec_` and 32 random bytes in base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Sign a message: `v1,` and the base64 of its HMAC-SHA256 under the secret's bytes.

    >>> body = b'{"test": 2432232314}'
    >>> sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers_of(given: Sequence[str], message_id: str, timestamp: int, body: bytes) -> tuple[tuple[str, str], ...]:
    """The headers of a message that is signed with each of some secrets."""
    return (
        ("Content-Type", "application/json"),
        ("webhook-id", message_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", " ".join(sign(secret, message_id, timestamp, body) for secret in given)),
    )


def retry_at(attempts: int, now_us: int, luck: float) -> int | None:
    """When to try again after so many failed attempts, in microseconds; None when it is dead.

    Args:
        luck: From 0 to 1; how much of the spread is waited.

    >>> retry_at(1, 0, 0.0), retry_at(1, 0, 1.0), retry_at(8, 0, 0.0)
    (5000000, 6000000, None)
    """
    if attempts > len(RETRY_SECONDS):
        return None
    return now_us + int(RETRY_SECONDS[attempts - 1] * (1 + SPREAD * luck) * 1_000_000)


def read_url(url: str, *, allow_private: bool) -> str:
    """Check where a webhook goes; a name is resolved and checked again each time that something is sent.

    Raises:
        GatewayError: 400 for what is no URL, holds credentials or a fragment, is not public, or not https.
    """
    found = _URL.fullmatch(url)
    if len(url) > MAX_URL or found is None or not 0 < int(found["port"] or 1) < 65_536:
        raise invalid(
            f"url is an https address of at most {MAX_URL} visible ASCII characters, without user or fragment",
            "url",
        )
    if not allow_private:
        if found["scheme"] != "https":
            raise invalid("url must begin with https://; this gateway sends webhooks encrypted only", "url")
        host = found["host"].strip("[]")
        if host.lower() == "localhost" or (read_address(host) is not None and not is_public(host)):
            raise invalid("url must be a public address; this gateway sends nothing to private ones", "url")
    return url


def read_types(types: Sequence[str]) -> tuple[str, ...]:
    """Check which types a webhook is for, in the order of `FIELDS`; none of them means all. 400 for an unknown one."""
    known = [name for name in FIELDS if name != "webhook_test"]
    for name in types:
        if name not in known:
            raise invalid(f"types are some of {', '.join(known)}", "types")
    return tuple(name for name in known if name in types)
