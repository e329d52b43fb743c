"""When a call is tried again, and after how long. Pure: the answer and a random number go in, seconds come out.

A refusal that a retry cannot mend (402 and the other 4xx) is never tried again. What the gateway says in
`X-Should-Retry` and `Retry-After` goes before our own judgement. A call that costs money is sent again after a
connection that broke before any answer, but not after a silence that ran into the time-out: the provider may be busy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from behest_protocol.headers import SHOULD_RETRY

from ._errors import BehestError

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_ASKED_WAIT = 60
"""Seconds. A gateway that asks for more patience than this gets its error raised at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How often to try again."""

    max_retries: int

    def after_answer(
        self, error: BehestError, headers: Mapping[str, str], *, retries: int, chance: float
    ) -> float | None:
        """Seconds to wait before the next try, or None to give up.

        Args:
            error: What the answer means.
            headers: The answer's headers, in any letter case when they are httpx's.
            retries: How many retries there were.
            chance: A random number from 0 to 1, which spreads callers out.
        """
        status = error.status or 0
        if retries >= self.max_retries or not (status in (408, 429) or status >= 500):
            return None
        if headers.get(SHOULD_RETRY, "").strip().lower() == "false":
            return None
        if error.retry_after is None:
            return _wait(retries, chance)
        return float(error.retry_after) if error.retry_after <= LONGEST_ASKED_WAIT else None

    def after_silence(self, problem: httpx.HTTPError, *, repeatable: bool, retries: int, chance: float) -> float | None:
        """The same, when no answer began.

        Args:
            problem: What httpx says.
            repeatable: Whether sending the request twice does no harm.
            retries: How many retries there were.
            chance: A random number from 0 to 1.
        """
        if retries >= self.max_retries or not isinstance(problem, httpx.TransportError):
            return None
        if isinstance(problem, (httpx.ReadTimeout, httpx.WriteTimeout)) and not repeatable:
            return None
        if isinstance(problem, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
            return None
        return _wait(retries, chance)


def _wait(retries: int, chance: float) -> float:
    return float(min(FIRST_WAIT * 2**retries, LONGEST_WAIT) * (1 - chance / 4))
