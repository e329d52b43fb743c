"""A provider that breaks the protocol itself, for what no well-made server can be scripted to do."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

READ_SECONDS = 10.0
RESET = None
"""A step that closes the connection with a TCP reset. Without it, it is closed in order after the last step."""

Steps = tuple[bytes | None, ...]

_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class RoughProvider:
    """Answers a request whose body holds the name of an answer with exactly these bytes, then closes the connection.

    Attributes:
        openai_base_url: Where it listens; any path will do.
        asked: How many requests named each answer.
    """

    def __init__(self, answers: dict[str, Steps]) -> None:
        self.answers = answers
        self.asked: dict[str, int] = dict.fromkeys(answers, 0)
        self._server = _Server(self)
        self.openai_base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="rough", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(READ_SECONDS)

    def steps_for(self, request: bytes) -> Steps:
        """The answer that a request names."""
        for name, steps in self.answers.items():
            if name.encode() in request:
                self.asked[name] += 1
                return steps
        return (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, provider: RoughProvider) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.settimeout(READ_SECONDS)
        with contextlib.suppress(OSError):
            server = cast("_Server", self.server)
            for step in server.provider.steps_for(self._read(connection)):
                if step is None:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()
                    return
                connection.sendall(step)

    def _read(self, connection: socket.socket) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(65536)
            if not part:
                return received
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        missing = (int(found[1]) if found else 0) - len(body)
        while missing > 0:
            part = connection.recv(65536)
            if not part:
                break
            body += part
            missing -= len(part)
        return body


@contextmanager
def running_rough_provider(answers: dict[str, Steps]) -> Generator[RoughProvider]:
    """Run a rough provider while the block runs."""
    provider = RoughProvider(answers)
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()
