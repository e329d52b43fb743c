"""Sending to addresses that tenants name: to what was checked and nowhere else, whatever a name or a receiver says.

No test may leave the machine, so here 127.0.0.2 stands for the public internet, and every other address is private.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from behest_gateway.adapters import webhooks
from behest_gateway.adapters.webhooks import MAX_ANSWER_BYTES, WebhookSender
from behest_gateway.control.delivering import UndeliveredError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"
NAME = "hooks.example"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """A server of raw bytes, and what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self.names: list[str | None] = []


@asynccontextmanager
async def receiving(address: str, answer: bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver, serving = Receiver(), list[asyncio.Task[None]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            receiver.requests.append(head + await reader.readexactly(length))
            writer.write(answer)
            await writer.drain()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: receiver.names.append(name)
    server = await asyncio.start_server(connected, address, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        if serving:
            await asyncio.wait(serving, timeout=5)


class Names:
    """A resolver that gives one answer after another, and then the last for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `hooks.example`, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(built.public_bytes(pem) + secret)
    return file


def of_server(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def of_client(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture(autouse=True)
def internet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "is_public", lambda address: address == PUBLIC)  # pyright: ignore[reportUnknownLambdaType]


async def test_the_connection_goes_to_the_checked_address_and_the_name_stays(certificate: Path) -> None:
    names = Names([PUBLIC])
    sender = WebhookSender(allow_private=False, resolver=names, tls=of_client(certificate))
    async with receiving(PUBLIC, OK, tls=of_server(certificate)) as receiver:
        url = f"https://{NAME}:{receiver.port}/hook?a=b"
        assert await sender.post(url, [("webhook-id", "e1")], b"{}") == 204

    [request] = receiver.requests
    assert request.startswith(f"POST /hook?a=b HTTP/1.1\r\nHost: {NAME}:{receiver.port}\r\n".encode())
    assert b"\r\nwebhook-id: e1\r\n" in request
    assert (names.asked, receiver.names) == ([NAME], [NAME])


async def test_a_certificate_of_another_name_is_refused(certificate: Path) -> None:
    sender = WebhookSender(allow_private=False, resolver=Names([PUBLIC]), tls=of_client(certificate))
    async with receiving(PUBLIC, OK, tls=of_server(certificate)) as receiver:
        with pytest.raises(UndeliveredError):
            await sender.post(f"https://other.example:{receiver.port}/", [], b"{}")

    assert receiver.requests == []


async def test_a_name_that_turns_private_reaches_nothing_private(certificate: Path) -> None:
    names = Names([PUBLIC], [PRIVATE])
    sender = WebhookSender(allow_private=False, resolver=names, tls=of_client(certificate))
    async with receiving(PUBLIC, OK, tls=of_server(certificate)) as receiver:
        url = f"https://{NAME}:{receiver.port}/"
        assert await sender.post(url, [], b"first") == 204
        assert names.asked == [NAME]

    victim_port = receiver.port
    async with receiving(PRIVATE, OK, tls=of_server(certificate)) as victim:
        with pytest.raises(UndeliveredError, match="not public"):
            await sender.post(f"https://{NAME}:{victim.port}/", [], b"second")
        with pytest.raises(UndeliveredError, match="not public"):
            await sender.post(f"https://{NAME}:{victim_port}/", [], b"third")

    assert (victim.requests, victim.names) == ([], [])


@pytest.mark.parametrize("answer", [[PRIVATE], [PUBLIC, PRIVATE], [PRIVATE, PUBLIC], ["169.254.169.254"], ["::1"]])
async def test_a_name_with_any_private_address_is_not_sent_to(certificate: Path, answer: list[str]) -> None:
    sender = WebhookSender(allow_private=False, resolver=Names(answer), tls=of_client(certificate))
    async with receiving(PUBLIC, OK, tls=of_server(certificate)) as receiver:
        with pytest.raises(UndeliveredError, match="not public"):
            await sender.post(f"https://{NAME}:{receiver.port}/", [], b"{}")

    assert receiver.requests == []


async def test_the_second_address_is_tried_when_the_first_does_not_take_it(certificate: Path) -> None:
    sender = WebhookSender(allow_private=True, resolver=Names([PRIVATE, PUBLIC]), tls=of_client(certificate))
    async with receiving(PUBLIC, OK, tls=of_server(certificate)) as receiver:
        assert await sender.post(f"https://{NAME}:{receiver.port}/", [], b"{}") == 204


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254", "[fe80::1]"])
async def test_an_address_that_is_private_is_not_sent_to_by_number_either(host: str) -> None:
    sender = WebhookSender(allow_private=False)

    with pytest.raises(UndeliveredError, match="not public"):
        await sender.post(f"https://{host}/", [], b"{}")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
async def test_however_loopback_is_spelled_it_is_the_address_that_is_checked(host: str) -> None:
    sender = WebhookSender(allow_private=False, resolver=Names(["127.0.0.1"]))

    with pytest.raises(UndeliveredError, match="not public"):
        await sender.post(f"https://{host}/", [], b"{}")


async def test_nothing_is_sent_without_tls_unless_that_is_allowed() -> None:
    async with receiving(PUBLIC, OK) as receiver:
        url = f"http://{PUBLIC}:{receiver.port}/"
        with pytest.raises(UndeliveredError, match="https"):
            await WebhookSender(allow_private=False).post(url, [], b"{}")
        assert receiver.requests == []
        assert await WebhookSender(allow_private=True).post(url, [], b"{}") == 204


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with receiving(PRIVATE, OK) as secret:
        location = f"http://{PRIVATE}:{secret.port}/latest/meta-data".encode()
        moved = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
        async with receiving(PUBLIC, moved) as receiver:
            sender = WebhookSender(allow_private=True)
            assert await sender.post(f"http://{PUBLIC}:{receiver.port}/", [], b"{}") == 302

    assert secret.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * (4 * MAX_ANSWER_BYTES),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["compressed", "too large", "cut", "broken", "continued"],
)
async def test_the_status_of_an_answer_decides_whatever_its_body_is(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 0.1)
    async with receiving(PUBLIC, answer) as receiver:
        assert await WebhookSender(allow_private=True).post(f"http://{PUBLIC}:{receiver.port}/", [], b"{}") == 200


async def test_a_receiver_that_does_not_answer_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 0.2)
    async with receiving(PUBLIC, b"HTTP/1.1 ") as receiver:
        with pytest.raises(UndeliveredError, match=r"no answer"):
            await WebhookSender(allow_private=True).post(f"http://{PUBLIC}:{receiver.port}/", [], b"{}")


async def test_what_cannot_be_reached_or_found_is_said_without_the_address() -> None:
    with socket.socket() as taken:
        taken.bind((PUBLIC, 0))
        url = f"http://{PUBLIC}:{taken.getsockname()[1]}/a-secret-path"
        with pytest.raises(UndeliveredError) as refused:
            await WebhookSender(allow_private=True).post(url, [], b"{}")
    with pytest.raises(UndeliveredError) as unknown:
        await WebhookSender(allow_private=True, resolver=Names([])).post("https://nobody.example/", [], b"{}")
    with pytest.raises(UndeliveredError) as odd:
        await WebhookSender(allow_private=True).post("https://" + "a" * 80 + ".example/", [], b"{}")

    assert "a-secret-path" not in str(refused.value)
    assert "no address" in str(unknown.value)
    assert "no address" in str(odd.value)


async def test_no_connection_is_kept(certificate: Path) -> None:
    sender = WebhookSender(allow_private=True)
    keep = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with receiving(PUBLIC, keep) as receiver, asyncio.timeout(5):
        for _ in range(3):
            assert await sender.post(f"http://{PUBLIC}:{receiver.port}/", [], b"{}") == 200

    assert len(receiver.requests) == 3
