"""What the upstream stage needs from the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol


class SendError(Exception):
    """The network failed.

    Args:
        kind: `unreached`: nothing was sent. `timed_out`: no answer in time. `broken`: it broke off, or is no HTTP.
    """

    def __init__(self, kind: Literal["unreached", "timed_out", "broken"], why: str) -> None:
        super().__init__(why)
        self.kind = kind


class Reply(Protocol):
    """An answer whose head has arrived. `close` is needed, and may be called at any time and more than once."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name."""
        ...

    async def chunk(self) -> bytes:
        """The next bytes of the body, or none at its end.

        Raises:
            SendError: The body broke off or stalled.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            SendError: The body broke off, stalled, or is longer than `limit` bytes.
        """
        ...

    def release(self) -> None:
        """The answer is complete in sense, if not in bytes: keep the connection if the body ends soon."""
        ...

    def close(self) -> None:
        """Stop the provider at once when it has not finished; otherwise keep the connection for the next attempt."""
        ...


class Sender(Protocol):
    """Sends requests over the network."""

    async def send(self, url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Reply:
        """POST a body and wait for the head of the answer. Cancelling it closes the connection at once.

        Raises:
            SendError: There is no answer.
        """
        ...
