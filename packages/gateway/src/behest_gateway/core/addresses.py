"""Which IP addresses belong to the public internet. Whatever else there is may be somebody's inside."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_PUBLIC_V6 = IPv6Network("2000::/3")
"""The one block that global unicast is given from (RFC 4291); mapped, translated and local addresses lie outside."""

_NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments, the few that are global too
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # a cloud's metadata, in a block that is public otherwise
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Whether an IP address is public: not private, local, shared, multicast, reserved or tunnelled.

    >>> is_public("93.184.215.14"), is_public("127.0.0.1"), is_public("::ffff:93.184.215.14"), is_public("a.example")
    (True, False, False, False)
    """
    ip = read_address(address)
    if ip is None or ip.is_multicast or not ip.is_global:
        return False
    if isinstance(ip, IPv6Address) and ip not in _PUBLIC_V6:
        return False
    return not any(ip.version == network.version and ip in network for network in _NOT_PUBLIC)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address, without the zone that some systems append; None for anything else."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
