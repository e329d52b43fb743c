"""A request and a reply as the pages of this package see them, whatever server is in front."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from behest_gateway.core.errors import invalid

Headers = list[tuple[bytes, bytes]]

MAX_PARAMETERS = 100


@dataclass(slots=True, kw_only=True)
class Request:
    """One HTTP request.

    Attributes:
        headers: By lower-case name; the last of a name wins.
        body: Reads the whole body, within the gateway's limits.
        gone: Returns once the caller has hung up.
    """

    method: str
    path: str
    query_string: bytes
    headers: dict[bytes, bytes]
    request_id: str
    body: Callable[[], Awaitable[bytes]]
    gone: Callable[[], Awaitable[None]]

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


class Responder:
    """How an answer is sent: `start`, then `write` until `end` is true. Nothing is sent for a caller who has gone."""

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head."""
        raise NotImplementedError

    async def write(self, body: bytes, *, end: bool) -> None:
        """Send a part of the body; waits while the caller reads slower than this writes."""
        raise NotImplementedError
