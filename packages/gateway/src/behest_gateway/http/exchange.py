"""A request and a reply as the pages of this package see them, whatever server is in front."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from behest_gateway.core.errors import invalid

Headers = list[tuple[bytes, bytes]]

MAX_PARAMETERS = 100


@dataclass(slots=True, kw_only=True)
class Request:
    """One HTTP request, whole.

    Attributes:
        target: The path as it was sent, percent-encoded.
        headers: By lower-case name; the last of a name wins.
        body: The whole body, within the gateway's limit.
        request_id: Empty until the front has given it one.
        client: Where it came from: address and port.
    """

    method: str
    path: str
    target: bytes
    query_string: bytes
    headers: dict[bytes, bytes]
    body: bytes
    client: tuple[str, int]
    request_id: str = ""

    def header(self, name: bytes) -> str | None:
        """A header's value, or None."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value is not None else None

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last of a name wins.

        Raises:
            GatewayError: `validation_error` when there are too many.
        """
        text = self.query_string.decode("latin-1")
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS))
        except ValueError:
            raise invalid(f"The query has more than {MAX_PARAMETERS} parameters.") from None

    @property
    def bearer(self) -> str | None:
        """The bearer token, if there is one."""
        value = self.headers.get(b"authorization")
        if value is None or value[:7].lower() != b"bearer ":
            return None
        return value[7:].strip().decode("latin-1") or None


@dataclass(slots=True, kw_only=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes
    headers: Headers = field(default_factory=list[tuple[bytes, bytes]])


class Responder(Protocol):
    """How an answer is sent: with `reply`, or with `start`, `write` and `end`. What nobody waits for is dropped."""

    @property
    def status(self) -> int:
        """The status that was sent, or 0 when nothing was."""
        ...

    @property
    def left(self) -> bool:
        """The caller has hung up."""
        ...

    def cancel_when_left(self, wanted: bool) -> None:
        """Cancel the task that answers, as soon as the caller hangs up; or no longer."""
        ...

    def add(self, headers: Headers) -> None:
        """Name headers that the answer will carry, whichever it is."""
        ...

    def reply(self, reply: Reply) -> None:
        """Send a whole answer."""
        ...

    def start(self, status: int, headers: Headers) -> None:
        """Begin an answer of unknown length; its head goes out with its first part."""
        ...

    async def write(self, part: bytes) -> None:
        """Send a part; waits while the caller reads slower than this writes."""
        ...

    def end(self) -> None:
        """Say that that was the last part."""
        ...
