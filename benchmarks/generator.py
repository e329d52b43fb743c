"""The load generator: `python -m benchmarks.generator`, a job as JSON on standard input, what was seen on its output.

It checks every answer. Either each connection asks again as soon as it has its answer (`rate` is 0), which shows how
much the subject can do; or requests leave at a fixed rate whatever happens, each on a connection of its own choosing,
which shows how long one takes. It reads the subject's CPU time itself, at the two moments between which it counts.

It is one Python program and slower than one in C. That costs requests per second where the subject is faster than it
is, but not the figure that counts: CPU time for each request.
"""

from __future__ import annotations

import gc
import select
import socket
import sys
import time
from collections import deque

import msgspec

from benchmarks import processes, wire

DRAIN_SECONDS = 30.0
"""How long answers that are under way at the end may take."""

_MOST_CONNECTIONS = 512
_FULL_CHECK_EVERY = 64
_READ = 1 << 18


class Job(msgspec.Struct, kw_only=True):
    """What to do.

    Attributes:
        headers: The fields of each request; they are used in turn.
        connections: How many there are; at a fixed rate more are opened when all are busy.
        rate: Requests a second; 0 for as many as come back.
        warm_requests, warm_seconds: How long to go on before counting, both.
        seconds: How long to count.
        subject: The process whose CPU time is read, with its descendants.
        core: The core that it runs on.
    """

    port: int
    path: str
    headers: list[dict[str, str]]
    stream: bool = False
    paced: bool = False
    connections: int = 32
    rate: float = 0.0
    warm_requests: int = 0
    warm_seconds: float = 0.5
    seconds: float = 2.0
    subject: int
    core: int


class Seen(msgspec.Struct, kw_only=True):
    """What came of it.

    Attributes:
        answers: Right answers in the counted time.
        seconds: The counted time.
        cpu: CPU seconds that the subject took in it.
        foreign: CPU seconds that others took on the subject's core in it.
        all_answers: Right answers in all, before and after included.
        wrong: Answers that were not right, and connections that broke.
        first_wrong: What the first of them looked like.
        unfinished: Requests that had no answer in the end.
        milliseconds: How long answers took, at a fixed rate.
        first_byte: Milliseconds from a request to the first event of its stream.
    """

    answers: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    foreign: float = 0.0
    all_answers: int = 0
    wrong: int = 0
    first_wrong: str = ""
    unfinished: int = 0
    milliseconds: list[float] = []
    first_byte: list[float] = []


class _Line:
    """One connection."""

    __slots__ = ("asked_at", "busy", "closing", "end", "first_at", "head_end", "inbox", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.busy = False
        self.asked_at = 0.0
        self.reset()

    def reset(self) -> None:
        self.inbox = b""
        self.head_end = 0
        self.end = 0
        self.first_at = 0.0
        self.closing = False


class Generator:
    """Does one job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        body = wire.request_body(stream=job.stream, paced=job.paced)
        host = f"127.0.0.1:{job.port}"
        self._requests = [wire.request(host, job.path, fields, body) for fields in job.headers]
        self._next = 0
        self._epoll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._idle: deque[_Line] = deque()
        self._busy = 0
        self._counting = False
        self._over = False
        self.seen = Seen()

    def run(self) -> Seen:
        """Warm up, count, and wait for what is still under way."""
        for _ in range(self._job.connections):
            self._idle.append(self._connect())
        if self._job.rate:
            self._run_at_rate()
        else:
            self._run_in_turn()
        self._over = True
        deadline = time.perf_counter() + DRAIN_SECONDS
        while self._busy and time.perf_counter() < deadline:
            self._take(0.1)
        self.seen.unfinished = self._busy
        return self.seen

    def _connect(self) -> _Line:
        sock = socket.create_connection(("127.0.0.1", self._job.port), timeout=10)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = _Line(sock)
        self._lines[sock.fileno()] = line
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return line

    # -- when to count

    def _begin(self) -> None:
        job, seen = self._job, self.seen
        self._counting = True
        seen.cpu = -processes.cpu_seconds(job.subject)
        seen.foreign = -processes.busy_seconds(job.core)
        self._began = time.perf_counter()

    def _end(self) -> None:
        job, seen = self._job, self.seen
        seen.seconds = time.perf_counter() - self._began
        seen.cpu += processes.cpu_seconds(job.subject)
        seen.foreign = max(0.0, seen.foreign + processes.busy_seconds(job.core) - seen.cpu)
        self._counting = False

    def _is_warm(self, since: float) -> bool:
        long_enough = time.perf_counter() - since >= self._job.warm_seconds
        return long_enough and self.seen.all_answers + self.seen.wrong >= self._job.warm_requests

    # -- two ways to ask

    def _run_in_turn(self) -> None:
        started = time.perf_counter()
        while self._idle:
            self._ask(self._idle.popleft())
        while not self._is_warm(started):
            self._take(1.0)
        self._begin()
        end = self._began + self._job.seconds
        while time.perf_counter() < end:
            self._take(0.1)
        self._end()

    def _run_at_rate(self) -> None:
        job = self._job
        started = time.perf_counter()
        sent, end = 0, float("inf")
        poller = self._epoll.fileno()
        while True:
            now = time.perf_counter()
            if now >= end:
                break
            if not self._counting and self._is_warm(started):
                self._begin()
                end = now + job.seconds
            due = started + sent / job.rate
            while due <= now:
                if not self._idle and len(self._lines) >= _MOST_CONNECTIONS:
                    break  # It leaves as soon as a connection is free, and its time runs since it was due.
                line = self._idle.popleft() if self._idle else self._connect()
                self._ask(line, due if len(self._lines) >= _MOST_CONNECTIONS else None)
                sent += 1
                due = started + sent / job.rate
            wait = min(due, end) - time.perf_counter() if due > now else 0.01
            # To the microsecond, which epoll's own time-out is not.
            ready, _, _ = select.select([poller], [], [], max(0.0, wait))
            if ready:
                self._take(0)
        self._end()

    # -- one request and its answer

    def _ask(self, line: _Line, since: float | None = None) -> None:
        at = self._next
        self._next = at + 1 if at + 1 < len(self._requests) else 0
        line.busy = True
        self._busy += 1
        line.asked_at = since or time.perf_counter()
        try:
            line.sock.send(self._requests[at])
        except OSError as problem:
            self._broken(line, f"sending failed: {problem}")

    def _take(self, wait: float) -> None:
        lines = self._lines
        for fd, _ in self._epoll.poll(wait):
            line = lines.get(fd)
            if line is None:
                continue
            try:
                data = line.sock.recv(_READ)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                self._got(line, data)
            else:
                self._broken(line, "the connection was closed before the answer was whole")

    def _got(self, line: _Line, data: bytes) -> None:
        inbox = line.inbox = line.inbox + data if line.inbox else data
        if not line.busy:
            self._broken(line, "bytes that nobody asked for")
            return
        if not line.head_end:
            at = inbox.find(b"\r\n\r\n")
            if at < 0:
                return
            line.head_end = at + 4
            self._read_head(line, inbox[: at + 2])
        if self._job.stream and not line.first_at and inbox.find(b"data:", line.head_end) >= 0:
            line.first_at = time.perf_counter()
        if line.end < 0:
            if inbox.endswith(b"\r\n0\r\n\r\n"):
                self._whole(line, inbox)
        elif len(inbox) >= line.end:
            self._whole(line, inbox)

    def _read_head(self, line: _Line, head: bytes) -> None:
        fields = head.lower()
        at = fields.find(b"\r\ncontent-length:")
        if at >= 0:
            line.end = line.head_end + int(fields[at + 17 : fields.index(b"\r\n", at + 2)])
        else:
            line.end = -1
        line.closing = b"\r\nconnection: close\r\n" in fields

    def _whole(self, line: _Line, inbox: bytes) -> None:
        now = time.perf_counter()
        seen = self.seen
        try:
            self._check(line, inbox)
        except wire.WrongAnswerError as problem:
            self._fail(str(problem))
        else:
            seen.all_answers += 1
            if self._counting:
                seen.answers += 1
                if self._job.rate:
                    seen.milliseconds.append((now - line.asked_at) * 1000)
                if line.first_at:
                    seen.first_byte.append((line.first_at - line.asked_at) * 1000)
        closing = line.closing
        line.busy = False
        self._busy -= 1
        line.reset()
        if closing:
            self._close(line)
            line = self._connect()
        if self._job.rate or self._over:
            self._idle.append(line)
        else:
            self._ask(line)

    def _check(self, line: _Line, inbox: bytes) -> None:
        if not inbox.startswith(b"HTTP/1.1 200 "):
            raise wire.WrongAnswerError(inbox[:600].decode("utf-8", "replace"))
        body = inbox[line.head_end :]
        chunked = line.end < 0
        if not self._job.stream:
            wire.check_json(wire.undo_chunks(body) if chunked else body)
        elif self.seen.all_answers % _FULL_CHECK_EVERY == 0 or not wire.looks_whole(body):
            wire.check_stream(wire.undo_chunks(body) if chunked else body)

    def _fail(self, why: str) -> None:
        self.seen.wrong += 1
        if not self.seen.first_wrong:
            self.seen.first_wrong = why

    def _close(self, line: _Line) -> None:
        self._lines.pop(line.sock.fileno(), None)
        line.sock.close()

    def _broken(self, line: _Line, why: str) -> None:
        """The connection is gone. That is an error only while an answer was awaited on it."""
        was_busy = line.busy
        self._close(line)
        if was_busy:
            self._busy -= 1
            self._fail(why)
        elif line in self._idle:
            self._idle.remove(line)
        if not self._over:
            fresh = self._connect()
            if self._job.rate or not was_busy:
                self._idle.append(fresh)
            else:
                self._ask(fresh)


def main() -> int:
    """Do the job of standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    generator = Generator(job)
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.stdout.buffer.write(msgspec.json.encode(generator.run()) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
