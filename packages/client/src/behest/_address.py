"""Where to connect for a name under `.localhost`, which browsers resolve and many systems' resolvers do not."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where to connect, and what to call it there.

    Attributes:
        url: The base of every request's address.
        host: The `Host` header, when it is not what the url says.
    """

    url: str
    host: str | None = None


def address_of(base_url: str) -> Address:
    """Where to connect for a gateway's address.

    A name such as `amber-fox-042.localhost` means this machine (RFC 6761). Should the system not know it, the request
    goes to 127.0.0.1 and names the host in its header.

    >>> address_of("http://localhost:8080")
    Address(url='http://localhost:8080', host=None)
    """
    parts = urlsplit(base_url)
    name = parts.hostname or ""
    if parts.scheme != "http" or not name.endswith(".localhost") or _is_known(name):
        return Address(url=base_url)
    port = f":{parts.port}" if parts.port else ""
    return Address(url=f"http://127.0.0.1{port}{parts.path}", host=f"{name}{port}")


def _is_known(name: str) -> bool:
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True
