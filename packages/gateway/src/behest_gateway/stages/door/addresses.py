"""Whose address a call counts for, decided from what the network says and what trusted proxies add."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_V6_PREFIX = 64
"""What one customer gets of IPv6 at least, and may take any address of."""

_MOST_PROXIES = 16
_LONGEST_ADDRESS = 64
"""Characters of an address with a zone and a port, or fewer; what is longer is not even looked at."""


def networks_of(text: str) -> tuple[Network, ...]:
    """Read networks that are separated by commas, such as `10.0.0.0/8, fd00::/8, 192.0.2.7`.

    Raises:
        ValueError: One of them is no network; the message names it.
    """
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as a socket or a proxy writes it, perhaps with a port; None when it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def client_of(peer: str, forwarded_for: str | None, trusted: tuple[Network, ...]) -> str | None:
    """The address, or for IPv6 the network, that a call counts for; None for loopback and for what is no
    address, such as a local socket: these are never limited.

    Args:
        peer: Who opened the connection.
        forwarded_for: `X-Forwarded-For`, where each proxy appends who spoke to it. Believed from the right, and only as
            long as those who wrote it are trusted; anybody else may write there what they like.
    """
    address = _address(peer)
    if trusted and forwarded_for and address is not None and _is_in(address, trusted):
        for said in reversed(forwarded_for.rsplit(",", _MOST_PROXIES)):
            nearer = _address(said) if len(said) <= _LONGEST_ADDRESS else None
            if nearer is None:
                break
            address = nearer
            if not _is_in(address, trusted):
                break
    if address is None or address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> (128 - _V6_PREFIX) << (128 - _V6_PREFIX)))
    return str(address)


def _is_in(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
