"""What a client was told: an argument wins over the environment, which wins over the default.

There is no default address, so that a key is never sent to a host that nobody chose.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx
from behest_protocol.claims import AUDIENCE, DEFAULT_TTL, ttl_problem, user_id_problem

from ._errors import BehestConfigError
from ._keys import Mode, detect_mode

DEFAULT_USER_ID = "default"
DEFAULT_ISSUER = "https://api.behest.ai"
DEFAULT_MAX_RETRIES = 2
EXAMPLE_BASE_URL = "http://localhost:8080"
MAX_DOLLARS = 10**9
NANO = Decimal("0.000000001")

Dollars: TypeAlias = float | str | Decimal
"""An amount of US dollars; as text or as a decimal it is exact."""


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig:
    """Every setting of a client, checked; its text shows no key.

    Attributes:
        mode: `"apiKey"` (tokens are exchanged for the key) or `"sign"` (tokens are signed here).
        key: The API key, or the private key as PEM.
        base_url: The gateway's address, without a slash or `/v1` at its end.
        ttl: Seconds that a token lives, unless a call says otherwise.
        timeout: Seconds of silence to bear, or None for a limit that suits each kind of call.
        max_retries: How often a call is tried again.
        max_cost_usd: The most that a chat call may cost, in exact decimals, or None for what the budgets allow.

    >>> config = resolve_config(key="behest_sk_live_x", base_url="http://localhost:8080/v1/")
    >>> config.mode, config.base_url, config.ttl
    ('apiKey', 'http://localhost:8080', 3600)
    """

    mode: Mode
    key: str = field(repr=False)
    base_url: str
    default_user_id: str = DEFAULT_USER_ID
    ttl: int = DEFAULT_TTL
    tier: int | str | None = None
    issuer: str = DEFAULT_ISSUER
    audience: str = AUDIENCE
    kid: str | None = None
    tenant_id: str | None = None
    project_id: str | None = None
    http_client: httpx.Client | httpx.AsyncClient | None = field(default=None, repr=False)
    timeout: float | httpx.Timeout | None = None
    max_retries: int = DEFAULT_MAX_RETRIES
    max_cost_usd: str | None = None

    @property
    def masked_key(self) -> str:
        """Enough of the key to tell it from another, and not enough to use it."""
        return "RSA private key" if self.mode == "sign" else f"behest_sk_live_...{self.key[-4:]}"

    @property
    def is_loopback(self) -> bool:
        """Whether the gateway is on this machine; it is then never asked for through a proxy."""
        host = urlsplit(self.base_url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")


def resolve_config(
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
    http_client: httpx.Client | httpx.AsyncClient | None = None,
    warn: Callable[[str], None] | None = None,
    timeout: float | httpx.Timeout | None = None,
    max_retries: int = DEFAULT_MAX_RETRIES,
    max_cost_usd: Dollars | None = None,
) -> ResolvedConfig:
    """Collect and check the settings of a client, from its arguments and the `BEHEST_*` environment.

    Raises:
        BehestConfigError: Something is missing (`missing_env`; everything that is missing is named at once), the key
            cannot be used (`bad_key_format`), or a setting is out of its range (`invalid_option`).

    >>> resolve_config(key="behest_sk_live_x", base_url="http://localhost:8080", ttl=900).ttl
    900
    """
    raw_key = key or _deprecated_option(api_key, warn) or _env("BEHEST_KEY") or _deprecated_env(warn)
    address = base_url or _env("BEHEST_BASE_URL")
    ids = {
        "BEHEST_KID": kid or _env("BEHEST_KID"),
        "BEHEST_TENANT_ID": tenant_id or _env("BEHEST_TENANT_ID"),
        "BEHEST_PROJECT_ID": project_id or _env("BEHEST_PROJECT_ID"),
    }
    mode, plain_key = detect_mode(raw_key) if raw_key else (None, "")
    missing = [] if mode else ["BEHEST_KEY"]
    missing += [name for name, value in ids.items() if mode == "sign" and not value]
    missing += [] if address else ["BEHEST_BASE_URL"]
    if mode is None or address is None or missing:
        raise BehestConfigError(_what_is_missing(missing, signing=mode == "sign"), code="missing_env")
    return ResolvedConfig(
        mode=mode,
        key=plain_key,
        base_url=_address(address),
        default_user_id=_user_id(default_user_id or _env("BEHEST_USER_ID") or DEFAULT_USER_ID),
        ttl=_ttl(ttl if ttl is not None else _env("BEHEST_TTL") or DEFAULT_TTL),
        tier=tier if tier is not None else _tier(_env("BEHEST_TIER")),
        issuer=issuer or _env("BEHEST_ISSUER") or DEFAULT_ISSUER,
        audience=audience or _env("BEHEST_AUDIENCE") or AUDIENCE,
        kid=ids["BEHEST_KID"],
        tenant_id=ids["BEHEST_TENANT_ID"],
        project_id=ids["BEHEST_PROJECT_ID"],
        http_client=http_client,
        timeout=timeout,
        max_retries=_max_retries(max_retries),
        max_cost_usd=_max_cost(max_cost_usd),
    )


def dollars_text(amount: Dollars) -> str | None:
    """Write an amount in plain decimals, as headers carry it; None when it is none.

    >>> dollars_text(0.05), dollars_text(1e-06), dollars_text("free"), dollars_text(-1)
    ('0.05', '0.000001', None, None)
    >>> dollars_text(0.01 / 3)
    '0.003333333'
    """
    try:
        exact = Decimal(str(amount).strip())
    except InvalidOperation:
        return None
    if isinstance(amount, bool) or not exact.is_finite() or not 0 <= exact < MAX_DOLLARS:
        return None
    # The gateway counts in nano-dollars, and rounds a cap down as well.
    nano = exact if int(exact.as_tuple().exponent) >= -9 else exact.quantize(NANO, ROUND_DOWN)
    return format(nano.copy_abs(), "f")


def _env(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _what_is_missing(missing: list[str], *, signing: bool) -> str:
    why = " (a private key also needs its key id, tenant and project)" if signing else ""
    hint = f", for example {EXAMPLE_BASE_URL}" if "BEHEST_BASE_URL" in missing else ""
    return f"Missing {', '.join(missing)}{why}: set each in the environment or pass it to the client{hint}."


def _invalid(message: str) -> BehestConfigError:
    return BehestConfigError(message, code="invalid_option")


def _address(raw: str) -> str:
    # What was given is never repeated in a message: it may be a key in the wrong variable.
    try:
        parts = urlsplit(raw.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _invalid(f"BEHEST_BASE_URL is not an address; give one such as {EXAMPLE_BASE_URL}.") from None
    if parts.username is not None or parts.password is not None:
        raise _invalid("BEHEST_BASE_URL must not hold a user name or password; the key travels in a header.")
    if parts.scheme not in ("http", "https") or not host:
        raise _invalid(f"BEHEST_BASE_URL must start with http:// or https://, as in {EXAMPLE_BASE_URL}.")
    if parts.query or parts.fragment:
        raise _invalid(f"BEHEST_BASE_URL must end at its path, as in {EXAMPLE_BASE_URL}.")
    path = parts.path.rstrip("/")
    while path.endswith("/v1"):
        path = path.removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _user_id(value: str) -> str:
    problem = user_id_problem(value)
    if problem:
        raise _invalid(f"The default user id (BEHEST_USER_ID) cannot be used: {problem}.")
    return value


def _ttl(value: int | str) -> int:
    try:
        ttl: Any = int(value) if isinstance(value, str) else value
    except ValueError:
        raise _invalid("BEHEST_TTL must be a whole number of seconds.") from None
    problem = ttl_problem(ttl)
    if problem:
        raise _invalid(f"{problem} (BEHEST_TTL).")
    return int(ttl)


def _tier(value: str | None) -> int | str | None:
    return int(value) if value is not None and value.isascii() and value.isdigit() else value


def _max_retries(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _invalid(f"max_retries must be 0 or a positive whole number, not {value!r}.")
    return value


def _max_cost(value: Dollars | None) -> str | None:
    text = None if value is None else dollars_text(value)
    if value is not None and text is None:
        raise _invalid(f"max_cost_usd must be an amount of dollars such as 0.05, not {value!r}.")
    return text


def _deprecated_option(api_key: str | None, warn: Callable[[str], None] | None) -> str | None:
    if api_key:
        _deprecate("`api_key` is deprecated; pass `key` instead.", warn)
    return api_key


def _deprecated_env(warn: Callable[[str], None] | None) -> str | None:
    value = _env("BEHEST_API_KEY")
    if value:
        _deprecate("BEHEST_API_KEY is deprecated; rename it to BEHEST_KEY.", warn)
    return value


def _deprecate(message: str, warn: Callable[[str], None] | None) -> None:
    if warn is not None:
        warn(message)
    else:
        # From here: the helper, resolve_config, the client's __init__, and then the line that is to be changed.
        warnings.warn(message, DeprecationWarning, stacklevel=5)
