"""How rates stand, as header fields of two families: `x-ratelimit-*` as OpenAI writes it, and the IETF's draft.

The draft is draft-ietf-httpapi-ratelimit-headers, of which `RateLimit` and `RateLimit-Policy` are lists of structured
fields. Its registry of units has none for tokens; `"tokens"` is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from behest_gateway.http.exchange import Headers
from behest_gateway.stages.door.ports import Rate, Standing

_NAMES = {"requests": "", "tokens": "-tokens", "concurrency": "-concurrency"}
_PARAMETERS = {"requests": ";w=60", "tokens": ';w=60;qu="tokens"', "concurrency": ';qu="concurrent-requests"'}


def rate_headers(standings: Sequence[Standing]) -> Headers:
    """The fields for all the rates that apply to a call; the `x-ratelimit-*` are about the tightest of a measure."""
    if not standings:
        return []
    requests: Standing | None = None
    tokens: Standing | None = None
    stands: list[bytes] = []
    for standing in standings:
        rate = standing.rate
        if rate.measure == "requests":
            if requests is None or _is_tighter(standing, requests):
                requests = standing
        elif rate.measure == "tokens":
            if tokens is None or _is_tighter(standing, tokens):
                tokens = standing
        else:
            stands.append(b'"%b";r=%d' % (_name(rate), standing.remaining))
            continue
        stands.append(b'"%b";r=%d;t=%d' % (_name(rate), standing.remaining, math.ceil(standing.reset)))
    fields: Headers = []
    if requests is not None:
        fields += (
            (b"x-ratelimit-limit-requests", b"%d" % requests.rate.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % requests.remaining),
            (b"x-ratelimit-reset-requests", duration(requests.reset)),
        )
    if tokens is not None:
        fields += (
            (b"x-ratelimit-limit-tokens", b"%d" % tokens.rate.limit),
            (b"x-ratelimit-remaining-tokens", b"%d" % tokens.remaining),
            (b"x-ratelimit-reset-tokens", duration(tokens.reset)),
        )
    rates = [standing.rate for standing in standings]
    policies = b", ".join([_policy(rate.scope, rate.measure, rate.limit) for rate in rates])
    fields += ((b"ratelimit-policy", policies), (b"ratelimit", b", ".join(stands)))
    return fields


def _is_tighter(one: Standing, other: Standing) -> bool:
    return (one.remaining, -one.reset) < (other.remaining, -other.reset)


def duration(seconds: float) -> bytes:
    """A time as OpenAI writes it, rounded up: `12ms`, `1s`, `6m0s`.

    >>> [duration(seconds) for seconds in (0, 0.0112, 0.9999, 1, 59.2, 360)]
    [b'0s', b'12ms', b'1s', b'1s', b'1m0s', b'6m0s']
    """
    if seconds < 1:
        milliseconds = math.ceil(seconds * 1000)
        if milliseconds < 1000:
            return b"%dms" % milliseconds if milliseconds > 0 else b"0s"
    whole = math.ceil(seconds)
    return b"%ds" % whole if whole < 60 else b"%dm%ds" % divmod(whole, 60)


def _name(rate: Rate) -> bytes:
    return _name_of(rate.scope, rate.measure)


@lru_cache(maxsize=64)
def _name_of(scope: str, measure: str) -> bytes:
    return (scope + _NAMES[measure]).encode()


@lru_cache(maxsize=4096)
def _policy(scope: str, measure: str, limit: int) -> bytes:
    return f'"{scope}{_NAMES[measure]}";q={limit}{_PARAMETERS[measure]}'.encode()
