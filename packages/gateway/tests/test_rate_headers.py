"""The fields that say how rates stand: about the tightest in one family, about each in the other."""

from __future__ import annotations

from behest_gateway.http.rates import rate_headers
from behest_gateway.stages.door.ports import Measure, Rate, Scope, Standing


def stands(scope: Scope, measure: Measure, limit: int, remaining: int, reset: float) -> Standing:
    """A rate as it stands."""
    return Standing(Rate(scope, measure, (scope, measure), limit), remaining, reset)


def test_each_rate_is_named_and_the_tightest_of_a_measure_described() -> None:
    standings = [
        stands("user", "requests", 6, 5, 10.0),
        stands("project", "requests", 60, 3, 56.2),
        stands("key", "requests", 9, 3, 40.0),
        stands("user", "concurrency", 2, 1, 0.0),
        stands("user", "tokens", 90_000, 80_000, 6.0001),
        stands("project", "tokens", 900_000, 899_999, 0.00007),
    ]

    assert dict(rate_headers(standings)) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"3",
        b"x-ratelimit-reset-requests": b"57s",
        b"x-ratelimit-limit-tokens": b"90000",
        b"x-ratelimit-remaining-tokens": b"80000",
        b"x-ratelimit-reset-tokens": b"7s",
        b"ratelimit-policy": b'"user";q=6;w=60, "project";q=60;w=60, "key";q=9;w=60, '
        b'"user-concurrency";q=2;qu="concurrent-requests", '
        b'"user-tokens";q=90000;w=60;qu="tokens", "project-tokens";q=900000;w=60;qu="tokens"',
        b"ratelimit": b'"user";r=5;t=10, "project";r=3;t=57, "key";r=3;t=40, "user-concurrency";r=1, '
        b'"user-tokens";r=80000;t=7, "project-tokens";r=899999;t=1',
    }


def test_what_no_rate_applies_to_carries_no_field() -> None:
    assert rate_headers([]) == []
