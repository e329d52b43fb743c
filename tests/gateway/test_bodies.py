"""Bodies that come too slowly, are too large, or whose sender leaves."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from ..support.gateway import Gateway
from ..support.provider import Provider
from ..support.world import CHAT, World, messages

SECONDS = 10.0


@pytest.fixture(scope="module")
def hurried(impatient: Gateway, provider: Provider) -> World:
    """A project at a gateway that gives a body half a second."""
    return World(impatient, provider, impatient.new_tenant())


def connect(world: World) -> socket.socket:
    """A connection to a world's gateway whose waits are bounded."""
    address = urlsplit(world.gateway.base_url)
    return socket.create_connection((address.hostname, address.port), timeout=SECONDS)


def head(world: World, path: str, length: int) -> bytes:
    """The head of a POST that promises a body."""
    bearer = world.bearer()["Authorization"]
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Read one answer: status, headers and JSON body."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, json.loads(stream.read(int(headers["content-length"])))


@pytest.mark.parametrize("path", [CHAT, "/v1/auth/mint", "/v1/tenants"])
def test_a_body_that_does_not_arrive_is_given_up(hurried: World, path: str) -> None:
    beginning = head(hurried, path, 100) + b'{"messages":'  # minted before the connection's time begins
    with connect(hurried) as connection:
        connection.sendall(beginning)

        status, headers, body = answer_on(connection)

    assert (status, body["code"].lower(), body["trace_id"]) == (408, "request_timeout", headers["x-trace-id"])
    assert body["retryable"] is True
    assert "0.5 s" in body["message"]
    assert hurried.rows() == []


def test_a_caller_who_leaves_in_the_middle_of_a_body_leaves_nothing_behind(world: World) -> None:
    logged = world.gateway.server.log_end
    beginning = head(world, CHAT, 1000) + b'{"messages":'  # minted before the connection's time begins
    with connect(world) as connection:
        connection.sendall(beginning)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""

    assert world.rows() == []
    assert world.chat().status_code == 200
    assert "Traceback" not in world.gateway.server.logged(logged)


def test_a_connection_that_sent_too_much_serves_the_next_request(world: World) -> None:
    with httpx.Client(base_url=world.gateway.base_url, timeout=SECONDS) as client:
        refused = client.post(CHAT, content=b" " * (20 * 1024 * 1024), headers=world.bearer())
        served = client.post(CHAT, json={"messages": messages()}, headers=world.bearer())

    assert (refused.status_code, served.status_code) == (413, 200)


def test_a_body_just_below_the_limit_is_taken(world: World) -> None:
    envelope = len(json.dumps({"messages": messages("")}).encode())
    text = "a" * (8 * 1024 * 1024 - envelope)

    taken = world.client.post(CHAT, content=json.dumps({"messages": messages(text)}), headers=world.bearer())
    refused = world.client.post(CHAT, content=json.dumps({"messages": messages(text + "a")}), headers=world.bearer())

    assert (taken.status_code, refused.status_code) == (200, 413)


def test_a_body_in_pieces_is_put_together(world: World) -> None:
    whole = json.dumps({"messages": messages("Grüße an alle")}, ensure_ascii=False).encode()

    def bytes_one_by_one() -> Iterator[bytes]:
        for at in range(len(whole)):
            yield whole[at : at + 1]

    answer = world.client.post(CHAT, content=bytes_one_by_one(), headers=world.bearer())

    assert answer.status_code == 200, answer.text


def test_a_gateway_asked_for_something_that_is_no_http_goes_on(world: World) -> None:
    with connect(world) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http\r\n\r\n")
        said = connection.recv(4096)

    assert said.startswith(b"HTTP/1.1 400")
    assert world.chat().status_code == 200
