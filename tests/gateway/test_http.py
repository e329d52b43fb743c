"""HTTP itself: requests one after another, old clients, proxies, and those who hide one request in another."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import pytest

from ..support.world import CHAT, World, events_of, messages

SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer, as it came over the connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Wire:
    """A connection on which bytes are written, and answers are read one by one. Every wait is bounded."""

    def __init__(self, connection: socket.socket, stream: BinaryIO) -> None:
        self._connection = connection
        self._stream = stream

    def send(self, data: bytes) -> None:
        """Write bytes."""
        self._connection.sendall(data)

    def answer(self, *, to_head: bool = False) -> Answer:
        """Read the next answer to its end."""
        status = int(self._line().split()[1])
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Answer(status=status, headers=headers, body=b"" if to_head else self._body(status, headers))

    def _line(self) -> str:
        line = self._stream.readline()
        assert line.endswith(b"\r\n"), f"the connection was closed after {line!r}"
        return line[:-2].decode("latin-1")

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (100, 204):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._line(), 16):
                body += self._stream.read(size)
                assert self._line() == ""
            assert self._line() == ""
            return body
        if "content-length" in headers:
            return self._stream.read(int(headers["content-length"]))
        return self._stream.read()

    def is_closed(self) -> bool:
        """The gateway closes the connection and says nothing more."""
        try:
            return self._stream.read(1) == b""
        except ConnectionResetError:
            return True


@contextmanager
def wire(world: World) -> Generator[Wire]:
    """A connection to a world's gateway."""
    address = urlsplit(world.gateway.base_url)
    with (
        socket.create_connection((address.hostname, address.port), timeout=SECONDS) as connection,
        connection.makefile("rb") as stream,
    ):
        yield Wire(connection, stream)


def request(world: World, body: bytes | None = None, *fields: str, method: str = "POST", path: str = CHAT) -> bytes:
    """A request with a user's token."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: {world.bearer()['Authorization']}"]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *fields, "", ""]).encode() + (body or b"")


def question(text: str = "Hello there", **fields: Any) -> bytes:
    """The body of a chat."""
    return json.dumps({"messages": messages(text), **fields}).encode()


def reading(world: World, path: str = "/v1/models", *fields: str) -> bytes:
    """A request without a body."""
    return request(world, None, *fields, method="GET", path=path)


def test_requests_that_are_sent_ahead_are_answered_in_their_order(world: World) -> None:
    world.script({"when": {"contains": "slow"}, "reply": "Slowly.", "first_token_delay_ms": 200})
    world.script({"when": {"contains": "stream"}, "reply": "Flowing on."})

    with wire(world) as connection:
        connection.send(
            request(world, question("slow"))
            + request(world, question("stream", stream=True))
            + request(world, b"nonsense")
            + reading(world)
        )
        slow, stream, refused, models = (connection.answer() for _ in range(4))

    assert slow.json()["choices"][0]["message"]["content"] == "Slowly."
    assert events_of(stream.body)[-1] == b"[DONE]"
    assert (refused.status, refused.json()["code"]) == (400, "validation_error")
    assert models.json()["object"] == "list"
    assert [row.state for row in world.rows()] == ["settled", "settled", "refused"]


def test_a_connection_is_kept_until_somebody_says_otherwise(world: World) -> None:
    with wire(world) as connection:
        for _ in range(3):
            connection.send(reading(world))
            assert "connection" not in connection.answer().headers
        connection.send(reading(world, "/v1/models", "Connection: close"))
        last = connection.answer()

        assert (last.status, last.headers["connection"]) == (200, "close")
        assert connection.is_closed()


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_of_http_1_0_is_served_without_chunks(world: World, stream: bool) -> None:
    with wire(world) as connection:
        connection.send(request(world, question(stream=stream)).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        answer = connection.answer()

        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert "transfer-encoding" not in answer.headers
        assert answer.body.endswith(b"data: [DONE]\n\n") if stream else answer.json()["object"] == "chat.completion"
        assert connection.is_closed()


@pytest.mark.parametrize("path", ["/health", "/ready", "/.well-known/jwks.json"])
def test_a_head_has_the_length_of_what_it_does_not_send(world: World, path: str) -> None:
    with wire(world) as connection:
        connection.send(request(world, None, method="HEAD", path=path) + reading(world, path))
        head, whole = connection.answer(to_head=True), connection.answer()

    assert head.status == whole.status == 200
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.body))


def test_a_client_that_waits_to_be_told_to_go_on_is_told(world: World) -> None:
    body = question()
    with wire(world) as connection:
        connection.send(request(world, body, "Expect: 100-continue").removesuffix(body))
        told = connection.answer()
        connection.send(body)
        answer = connection.answer()

    assert (told.status, answer.status) == (100, 200)


def test_an_address_is_understood_as_proxies_write_it(world: World) -> None:
    with wire(world) as connection:
        connection.send(reading(world, "http://gateway.example.com/v1/models?x=1"))

        assert connection.answer().json()["object"] == "list"


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")


def test_an_offer_to_speak_another_protocol_is_passed_over(world: World) -> None:
    with wire(world) as connection:
        connection.send(reading(world) + reading(world, "/v1/models", *OFFER))
        first, second = connection.answer(), connection.answer()

        assert (first.status, second.status) == (200, 200)
        assert second.headers["connection"] == "close"
        assert connection.is_closed()


def test_an_offer_to_speak_another_protocol_with_a_body_is_told_to_leave_that_out(world: World) -> None:
    with wire(world) as connection:
        connection.send(request(world, question(), *OFFER))
        refused = connection.answer()

        assert (refused.status, refused.json()["code"]) == (400, "validation_error")
        assert "without Upgrade" in refused.json()["message"]
        assert connection.is_closed()


def test_what_follows_a_body_is_no_header(world: World, stranger: World) -> None:
    head = request(world, None, "Transfer-Encoding: chunked")
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(question()), question())
    trailer = f"Authorization: {stranger.bearer()['Authorization']}\r\nX-Request-Id: mine\r\nHost: {stranger.host}\r\n"
    with wire(world) as connection:
        connection.send(head + chunks + trailer.encode() + b"\r\n")
        answer = connection.answer()

    assert answer.status == 200, answer.body
    assert answer.headers["x-request-id"] != "mine"
    assert [row.user_id for row in world.rows()] == [world.user]


HIDDEN = b"POST /v1/tenants HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 0",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 5, 5",
        "Content-Length: 0x5",
        "Content-Length : 0",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\x0bchunked",
        "Host: a\r\nHost: b",
        "X-Null: a\0b",
        "X-Folded: a\r\n b",
        "No colon at all",
    ],
)
def test_a_request_whose_end_can_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(
    world: World, fields: str
) -> None:
    lines = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n"
    if fields.startswith("Host"):
        lines = f"POST {CHAT} HTTP/1.1\r\n{fields}\r\nContent-Length: 0\r\n\r\n"
    with wire(world) as connection:
        connection.send(lines.encode("latin-1") + b"0\r\n\r\n" + HIDDEN)
        refused = connection.answer()

        assert refused.status == 400, refused.body
        assert refused.json()["code"] == "validation_error"
        assert refused.headers["x-trace-id"] == refused.json()["trace_id"]
        assert fields.startswith("Host") or connection.is_closed()


def test_garbage_after_a_good_request_costs_its_answer_nothing(world: World) -> None:
    with wire(world) as connection:
        connection.send(request(world, question()) + reading(world) + b"\0\0garbage\r\n\r\n")
        good, models, refused = (connection.answer() for _ in range(3))

        assert (good.status, models.status) == (200, 200)
        assert (refused.status, refused.headers["connection"]) == (400, "close")
        assert connection.is_closed()


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n",
        b"5;\x00=1\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_are_none_are_refused(world: World, body: bytes) -> None:
    with wire(world) as connection:
        connection.send(request(world, None, "Transfer-Encoding: chunked") + body + HIDDEN)

        assert connection.answer().status == 400
        assert connection.is_closed()


MANY_FIELDS = "".join(f"X-{number}: {number}\r\n" for number in range(9000))


@pytest.mark.parametrize(
    "head",
    [
        f"GET /v1/models?{'x' * 70_000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: {'x' * 70_000}\r\n\r\n",
        f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{MANY_FIELDS}\r\n",
    ],
    ids=["a long address", "a long field", "many fields"],
)
def test_a_head_that_is_too_large_is_refused(world: World, head: str) -> None:
    with wire(world) as connection:
        connection.send(head.encode())
        refused = connection.answer()

        assert (refused.status, refused.json()["code"]) == (400, "validation_error")
        assert "65536" in refused.json()["message"]
        assert connection.is_closed()


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PROPFIND", "PUT", "DELETE"])
def test_no_other_method_gets_a_page(world: World, method: str) -> None:
    target = "localhost:80" if method == "CONNECT" else "/health"
    with wire(world) as connection:
        connection.send(request(world, None, method=method, path=target))

        assert connection.answer().status in (400, 405, 501)


def test_a_gateway_still_serves_after_all_that(world: World) -> None:
    assert world.chat().status_code == 200
