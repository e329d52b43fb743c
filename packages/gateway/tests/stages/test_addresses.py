"""For whom a call counts: the peer, unless that is a proxy whom the operator trusts to say for whom it asks."""

from __future__ import annotations

import pytest
from behest_gateway.adapters.rates import MemoryRates
from behest_gateway.stages.door.addresses import client_of, networks_of
from behest_gateway.stages.door.stage import Doorstep

PROXIES = networks_of("10.0.0.0/8, fd00::/8, 127.0.0.1")
A = "203.0.113.7"


@pytest.mark.parametrize(
    ("peer", "said", "counted"),
    [
        (A, None, A),
        (A, "198.51.100.1", A),  # nobody believes a stranger
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", A, A),
        ("10.0.0.1", f"198.51.100.1, {A}", A),  # what the caller wrote stands left of what the proxy appends
        ("10.0.0.1", f"127.0.0.1,{A}", A),
        ("10.0.0.1", f"198.51.100.1, {A}, 10.9.9.9", A),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", f"{A}:4711", A),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:4711", "2001:db8:1:2::"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", f"{A}, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "," * 60_000, "10.0.0.1"),
        ("10.0.0.1", "1" * 60_000 + f", {A}", A),
        ("10.0.0.1", f"{A}, " + ", ".join(["10.0.0.2"] * 40), "10.0.0.2"),
        ("127.0.0.1", A, A),
        ("127.0.0.1", None, None),
        ("127.0.0.2", A, None),
        ("::1", None, None),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", None, "2001:db8:1:2::"),
        ("fd00::1", "2001:db8::1", "2001:db8::"),
        (f"::ffff:{A}", None, A),
        ("::ffff:10.0.0.1", A, A),
        ("::ffff:127.0.0.1", None, None),
        ("fe80::1%eth0", None, "fe80::"),
        ("", None, None),
    ],
)
def test_a_call_counts_for_the_nearest_address_that_is_no_trusted_proxy(
    peer: str, said: str | None, counted: str | None
) -> None:
    assert client_of(peer, said, PROXIES) == counted


@pytest.mark.parametrize("peer", [A, "10.0.0.1"])
def test_without_trusted_proxies_the_peer_counts_whatever_it_says(peer: str) -> None:
    assert client_of(peer, "198.51.100.1", ()) == peer


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example.com", "10.0.0.1 10.0.0.2"])
def test_what_is_no_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0|proxy"):
        networks_of(f"192.0.2.0/24, {text}")


def test_an_address_has_its_own_rate_and_zero_is_none() -> None:
    now = 0.0
    limited = Doorstep(MemoryRates(lambda: now), 2)
    free = Doorstep(MemoryRates(lambda: now), 0)

    refused = [limited.arrive(peer, None) is not None for peer in (A, A, A, "198.51.100.1", "127.0.0.1")]

    assert refused == [False, False, True, False, False]
    assert [free.arrive(A, None) for _ in range(5)] == [None] * 5
