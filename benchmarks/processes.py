"""Processes as the kernel sees them: where they run, what CPU time they are charged, how much memory they hold."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_TICKS = os.sysconf("SC_CLK_TCK")
_SCHEDULER_CLOCK = 2
"""The kind of clock that counts what the scheduler gave, in the number that Linux makes of it and a process id."""
STOP_SECONDS = 15.0
"""How long a program gets to end by itself."""


class StartError(Exception):
    """A program did not start, or not in time; the message shows the end of what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Where things run. With one core only, everything shares it, and the numbers say little."""

    load: int
    subject: int

    @property
    def are_apart(self) -> bool:
        """The subject has its core for itself."""
        return self.load != self.subject


def choose_cores() -> Cores:
    """The first two cores that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(load=usable[0], subject=usable[min(1, len(usable) - 1)])


def children_of(pid: int) -> list[int]:
    """A process and all its descendants, as they are now."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its descendants since they began, in user space and in the kernel, all threads.

    `utime` and `stime` of `/proc/PID/stat` are the same in ticks of 10 ms, which is too coarse for what takes little:
    each process has a clock that runs in nanoseconds. Only of children that have ended the ticks are all there is.
    """
    total = 0.0
    for each in children_of(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~each << 3) | _SCHEDULER_CLOCK)
            fields = Path(f"/proc/{each}/stat").read_bytes().rpartition(b")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / _TICKS
    return total


def busy_seconds(core: int) -> float:
    """How long a core has been busy with anything since the machine began."""
    with Path("/proc/stat").open() as lines:
        for line in lines:
            name, *values = line.split()
            if name == f"cpu{core}":
                user, nice, system, _idle, _waiting, irq, softirq, *_ = map(int, values)
                return (user + nice + system + irq + softirq) / _TICKS
    return 0.0


def memory_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants."""
    total = 0
    for each in children_of(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
    return total


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of Behest, keys of providers, and what slows Python down."""
    hidden = ("BEHEST_", "OPENAI_", "LITELLM_", "PYTHONDONTWRITEBYTECODE", "PYTHONPROFILE", "PYTHONMALLOC")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**kept, **(extra or {})}


def spawn(
    command: Sequence[str | Path],
    *,
    core: int | None,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.PIPE,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a program on one core, or on any. It is there from its first instruction on, with all its threads."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        return subprocess.Popen(
            [str(part) for part in command], env=dict(env), cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr
        )
    finally:
        os.sched_setaffinity(0, before)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a program to end, and end it when it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        family = children_of(process.pid)
        process.kill()
        process.wait(STOP_SECONDS)
        for each in family[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    core: int | None,
    env: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    speaks: bool = False,
) -> Generator[subprocess.Popen[bytes]]:
    """Run a program for a while. What it prints goes to `log`; standard output can be read when it `speaks`."""
    with log.open("ab") as output:
        stdout = subprocess.PIPE if speaks else output
        process = spawn(command, core=core, env=env, cwd=cwd, stdout=stdout, stderr=output)
        try:
            yield process
        finally:
            stop(process)


def read_line(process: subprocess.Popen[bytes], seconds: float, log: Path) -> bytes:
    """The next line that a program prints on standard output.

    Raises:
        StartError: It ended first, or took longer.
    """
    import select

    pipe = process.stdout
    if pipe is None:
        raise ValueError("the program's standard output is not a pipe")
    ready, _, _ = select.select([pipe], [], [], seconds)
    line = pipe.readline() if ready else b""
    if not line:
        raise StartError(f"it {'ended' if ready else f'said nothing for {seconds:g} s'}: {tail(log)}")
    return line


def until_listening(process: subprocess.Popen[bytes], port: int, seconds: float, log: Path) -> None:
    """Wait until a program accepts connections.

    Raises:
        StartError: It ended first, or took longer.
    """
    import socket

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"it ended with status {process.returncode}: {tail(log)}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise StartError(f"nobody listened at port {port} after {seconds:g} s: {tail(log)}")


def tail(log: Path) -> str:
    """The end of a log, on one line."""
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return "no log"
    return " | ".join(lines[-3:])[-600:] or "it printed nothing"


def free_port() -> int:
    """A port that nobody uses at the moment."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this environment."""
    return [sys.executable, "-m", module, *arguments]
