"""A mock provider that costs little: `python -m benchmarks.upstream`.

It answers `POST …/chat/completions` with one fixed JSON answer or one fixed stream, and counts. It does the system
calls itself, without an event loop's machinery, because it shares a core with the load generator: the less the two
take, the busier the subject is.
"""

from __future__ import annotations

import heapq
import json
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from benchmarks.wire import ANSWER, PACE_SECONDS, PACED, STREAM_AT_ONCE, STREAM_PARTS

_MAX_REQUEST = 1 << 20


class _Peer:
    __slots__ = ("inbox", "outbox", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inbox = b""
        self.outbox = b""


def _length(head: bytes) -> int:
    """The length of a body; -1 for a chunked one."""
    at = head.find(b"\r\nContent-Length:")
    if at < 0:
        at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        return int(head[at + 17 : head.index(b"\r\n", at + 17)])
    return -1 if b"chunked" in head.lower() else 0


class MockProvider:
    """Listens, and answers until the process is told to stop."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._peers: dict[int, _Peer] = {}
        self._beats: list[tuple[float, int, _Peer, int]] = []
        self._beat_number = 0
        self.answered = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def serve(self) -> NoReturn:
        """Answer for ever."""
        poll, peers, beats, listening = self._epoll.poll, self._peers, self._beats, self._listener.fileno()
        while True:
            wait = max(0.0, beats[0][0] - time.monotonic()) if beats else -1
            for fd, what in poll(wait):
                if fd == listening:
                    self._accept()
                    continue
                peer = peers.get(fd)
                if peer is None:
                    continue
                if what & select.EPOLLOUT:
                    self._flush(peer)
                if what & ~select.EPOLLOUT:
                    self._read(fd, peer)
            if beats:
                self._beat()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers[sock.fileno()] = _Peer(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _drop(self, fd: int, peer: _Peer) -> None:
        del self._peers[fd]
        peer.sock.close()

    def _read(self, fd: int, peer: _Peer) -> None:
        try:
            data = peer.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(fd, peer)
            return
        if peer.inbox:
            data = peer.inbox + data
        while data:
            head_end = data.find(b"\r\n\r\n")
            if head_end < 0:
                break
            head = data[: head_end + 2]
            length = _length(head)
            if length < 0:
                end = data.find(b"\r\n0\r\n\r\n", head_end)
                end = len(data) + 1 if end < 0 else end + 7
            else:
                end = head_end + 4 + length
            if len(data) < end:
                break
            self._answer(peer, head, data[head_end + 4 : end])
            data = data[end:]
        if len(data) > _MAX_REQUEST:
            self._drop(fd, peer)
            return
        peer.inbox = data

    def _answer(self, peer: _Peer, head: bytes, body: bytes) -> None:
        if not head.startswith(b"POST ") or b"/chat/completions " not in head:
            count = json.dumps({"answered": self.answered}).encode()
            self._send(peer, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(count), count))
            return
        self.answered += 1
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self._send(peer, ANSWER)
        elif PACED in body:
            self._send(peer, STREAM_PARTS[0])
            self._plan(time.monotonic() + PACE_SECONDS, peer, 1)
        else:
            self._send(peer, STREAM_AT_ONCE)

    def _plan(self, when: float, peer: _Peer, part: int) -> None:
        self._beat_number += 1
        heapq.heappush(self._beats, (when, self._beat_number, peer, part))

    def _beat(self) -> None:
        now = time.monotonic()
        while self._beats and self._beats[0][0] <= now:
            when, _, peer, part = heapq.heappop(self._beats)
            if peer.sock.fileno() < 0:
                continue
            self._send(peer, STREAM_PARTS[part])
            if part + 1 < len(STREAM_PARTS):
                self._plan(when + PACE_SECONDS, peer, part + 1)

    def _send(self, peer: _Peer, data: bytes) -> None:
        if peer.outbox:
            peer.outbox += data
            return
        try:
            sent = peer.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # The peer has gone; reading says so next.
        if sent < len(data):
            peer.outbox = data[sent:]
            self._epoll.modify(peer.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _flush(self, peer: _Peer) -> None:
        data, peer.outbox = peer.outbox, b""
        self._epoll.modify(peer.sock.fileno(), select.EPOLLIN)
        if data:
            self._send(peer, data)


def main() -> int:
    """Serve at any free port, and say at which."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    provider = MockProvider()
    sys.stdout.write(json.dumps({"port": provider.port}) + "\n")
    sys.stdout.flush()
    provider.serve()


if __name__ == "__main__":
    sys.exit(main())
