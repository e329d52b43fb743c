"""The load generator against the mock provider, each a process of its own; and against a server that answers badly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import processes, wire
from benchmarks.generator import Job, Seen

from .conftest import ROOT


@pytest.fixture
def upstream(tmp_path: Path) -> Generator[tuple[int, int]]:
    """The port and the process of a mock provider."""
    log = tmp_path / "log"
    command = processes.python_module("benchmarks.upstream")
    with processes.running(command, core=None, env=os.environ, log=log, cwd=ROOT, speaks=True) as process:
        yield json.loads(processes.read_line(process, 20, log))["port"], process.pid


def drive(port: int, subject: int, **options: Any) -> Seen:
    headers = [{"Authorization": "Bearer one"}, {"Authorization": "Bearer two"}]
    job = Job(
        port=port, path="/v1/chat/completions", headers=headers,
        connections=4, warm_seconds=0.05, seconds=0.3, subject=subject, core=0, **options,
    )  # fmt: skip
    done = subprocess.run(
        processes.python_module("benchmarks.generator"), input=msgspec.json.encode(job), capture_output=True,
        cwd=ROOT, timeout=60, check=True,
    )  # fmt: skip
    return msgspec.json.decode(done.stdout, type=Seen)


def count(port: int) -> int:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as sock:
        sock.sendall(b"GET /count HTTP/1.1\r\nHost: x\r\n\r\n")
        answered: int = json.loads(sock.recv(65536).partition(b"\r\n\r\n")[2])["answered"]
        return answered


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_is_counted_once_when_each_connection_asks_again(upstream: tuple[int, int], stream: bool) -> None:
    seen = drive(*upstream, stream=stream)

    assert seen.wrong == seen.unfinished == 0, seen.first_wrong
    assert 0 < seen.answers <= seen.all_answers == count(upstream[0])
    assert seen.seconds >= 0.3


def test_requests_leave_at_a_fixed_rate(upstream: tuple[int, int]) -> None:
    seen = drive(*upstream, rate=100.0, warm_requests=5)

    assert seen.wrong == seen.unfinished == 0, seen.first_wrong
    assert seen.all_answers == count(upstream[0])
    assert len(seen.milliseconds) == seen.answers > 0


def test_a_paced_stream_takes_its_time_and_its_first_event_does_not(upstream: tuple[int, int]) -> None:
    seen = drive(*upstream, stream=True, paced=True, rate=20.0, warm_requests=2)

    assert seen.wrong == seen.unfinished == 0, seen.first_wrong
    assert min(seen.milliseconds) >= 1000 * wire.PACE_SECONDS * (len(wire.EVENTS) - 1)
    assert min(seen.first_byte) < min(seen.milliseconds) / 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}", id="refused"),
        pytest.param(wire.ANSWER.replace(b"word07", b"word70"), id="another text"),
        pytest.param(b"", id="hung up"),
    ],
)
def test_bad_answers_are_not_counted_as_answers(answer: bytes) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        over = threading.Event()

        def serve(sock: socket.socket) -> None:
            with sock:
                while answer and sock.recv(65536):
                    sock.sendall(answer)

        def accept() -> None:
            while not over.is_set():
                sock, _ = listener.accept()
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        port = listener.getsockname()[1]
        seen = drive(port, os.getpid())
        over.set()
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        accepting.join(5)

    assert seen.answers == seen.all_answers == 0
    assert seen.wrong > 0
    assert seen.first_wrong


def test_the_cpu_time_of_children_counts(tmp_path: Path) -> None:
    burn = (
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint('done', flush=True)"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); sys.stdin.read()"
    log = tmp_path / "log"
    with log.open("wb") as output:
        parent = processes.spawn(
            [sys.executable, "-c", code], core=None, env=os.environ, stdin=subprocess.PIPE, stderr=output
        )
        try:
            assert processes.read_line(parent, 20, log) == b"done\n"
            assert processes.cpu_seconds(parent.pid) >= 0.3
            assert processes.memory_bytes(parent.pid) > 1_000_000
        finally:
            processes.stop(parent)
