"""A receiver of webhooks on loopback that keeps what it got and answers as a test wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> dict[str, str]:
        """The event in it, after the official library has checked its signature and age."""
        event: dict[str, str] = Webhook(secret).verify(self.body, self.headers)
        return event


class Receiver:
    """Everything that arrived, in order.

    Attributes:
        status: What is answered from now on; None holds the answer back until it is something else.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._received: list[Received] = []
        self._status: int | None = 204
        self._changed = threading.Condition()

    @property
    def status(self) -> int | None:
        with self._changed:
            return self._status

    @status.setter
    def status(self, status: int | None) -> None:
        with self._changed:
            self._status = status
            self._changed.notify_all()

    @property
    def received(self) -> list[Received]:
        """What arrived so far."""
        with self._changed:
            return list(self._received)

    def wait(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """Wait until enough has arrived; returns everything.

        Raises:
            AssertionError: It did not come in time.
        """
        with self._changed:
            came = self._changed.wait_for(lambda: enough(self._received), WAIT_SECONDS)
            assert came, f"only {len(self._received)} requests came within {WAIT_SECONDS:g} s"
            return list(self._received)

    def take(self, received: Received) -> int:
        """Keep a request, and say what it is answered with."""
        with self._changed:
            self._received.append(received)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._status is not None, WAIT_SECONDS)
            return self._status or 503


@contextmanager
def receiving() -> Generator[Receiver]:
    """Run a receiver while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(Received(headers=headers, body=body))
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except ConnectionError:
                pass  # Whoever asked is no more.

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.status is None:
            receiver.status = 503
        server.shutdown()
        thread.join(5)
        server.server_close()


def until(holds: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Ask again and again until something holds that nobody announces.

    Raises:
        AssertionError: It does not hold in time.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"it did not come to hold within {seconds:g} s"
        time.sleep(0.02)
