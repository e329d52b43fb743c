"""What a verifier needs of the world: somebody who fetches a page, within limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

MAX_BYTES = 262_144
"""The largest answer that is read, in bytes. A key set of thirty RSA keys has 14 kB."""

FETCH_SECONDS = 5.0
"""How long one answer may take, from the connection to its last byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A page to GET; its headers may hold a credential, so they are not shown."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status; redirects are not followed."""

    status: int
    body: bytes = field(repr=False)


class FetchError(Exception):
    """Nothing usable came back: no connection, too slow, too large."""


class Fetcher(Protocol):
    """Fetches pages."""

    def get(self, ask: Ask) -> Answer:
        """Fetch a page of at most `MAX_BYTES` within `FETCH_SECONDS`.

        Raises:
            FetchError: It did not come, or not within the limits.
        """
        ...

    async def aget(self, ask: Ask) -> Answer:
        """Fetch a page without blocking the event loop; otherwise the same."""
        ...
