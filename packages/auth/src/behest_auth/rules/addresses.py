"""Which addresses may be asked for keys, and which origins a page may have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from ..errors import ConfigError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


def is_safe_address(url: str, *, allow_http: bool = False) -> bool:
    """Whether keys from this address can be believed: HTTPS, or plain HTTP that stays on this machine.

    >>> is_safe_address("https://id.acme.com/keys"), is_safe_address("http://127.0.0.1:9000/keys")
    (True, True)
    >>> is_safe_address("http://id.acme.com/keys"), is_safe_address("https://user:pw@id.acme.com")
    (False, False)
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and (allow_http or host in _LOOPBACK))


def address(url: object, argument: str, *, allow_http: bool = False) -> str:
    """Take an address that somebody configured.

    Raises:
        ConfigError: It is missing, or its keys could not be believed.

    >>> address("https://abc.supabase.co/", "url")
    'https://abc.supabase.co/'
    """
    if not isinstance(url, str) or not url:
        raise ConfigError(f"{argument} is required: the provider's address, such as https://id.example.com.")
    if not is_safe_address(url, allow_http=allow_http):
        raise ConfigError(f"{argument} must be an https:// address (http:// only for this machine), not {url!r}.")
    return url


def exact_origins(origins: Iterable[str]) -> tuple[str, ...]:
    """Take the origins of an app's pages, exactly as browsers write them.

    Raises:
        ConfigError: One of them is a wildcard, has a path, or is no origin.

    >>> exact_origins(["https://app.acme.com", "http://localhost:5173"])
    ('https://app.acme.com', 'http://localhost:5173')
    """
    found = [origins] if isinstance(origins, str) else list(origins)
    for origin in found:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"{origin!r} is no origin: write scheme, host and port as the browser does, such as "
                "https://app.example.com, without a path. There are no wildcards."
            )
    return tuple(found)
