"""Servers in processes of their own: each start is bounded, a failure shows the log, and the end is by process id."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
STOP_SECONDS = 15.0
TAIL_LINES = 60


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anybody's keys and settings, so that nothing real is ever called."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BEHEST_", "OPENAI_")) and name != "PROVIDER_ENCRYPTION_KEY"
    }
    return {**kept, **(extra or {})}


RUNNING: list[Server] = []
"""Every server that runs now, so that a failing test can show what they said meanwhile."""


class ServerError(AssertionError):
    """A server did not do what a test needs it for; the message ends with its log."""


class Server:
    """A Python module that serves in a process of its own and says so by one line of JSON with its `base_url`.

    Args:
        module: What `python -m` runs, with this interpreter.
        arguments: What follows on its command line.
        env: Variables beside those of `environment`.
        log: Where its standard error goes; what was there before is kept.
    """

    def __init__(self, module: str, *arguments: str, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = module
        self.log = log
        self._log_file = log.open("ab")
        self._first: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            env=environment(env),
        )
        self._reader = threading.Thread(target=self._read, name=f"{module} output", daemon=True)
        self._reader.start()
        try:
            self.ready = self._wait_ready()
        except BaseException:
            self.kill()
            raise
        self.base_url: str = self.ready["base_url"]
        RUNNING.append(self)

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                self._first.put(line)
        self._first.put(b"")

    def _wait_ready(self) -> dict[str, Any]:
        try:
            line = self._first.get(timeout=START_SECONDS)
        except queue.Empty:
            raise ServerError(f"{self.name} was not ready within {START_SECONDS:g} s.\n{self.tail()}") from None
        if not line:
            code = self._process.wait(STOP_SECONDS)
            raise ServerError(f"{self.name} ended with exit code {code} before it was ready.\n{self.tail()}")
        ready: dict[str, Any] = json.loads(line)
        return ready

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """End it politely, or by force when that takes too long; returns its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise ServerError(f"{self.name} did not end within {STOP_SECONDS:g} s.\n{self.tail()}") from None
        return self._over()

    def kill(self) -> int:
        """End it at once, as a crash does; returns its exit code."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        return self._over()

    def _over(self) -> int:
        if self in RUNNING:
            RUNNING.remove(self)
        self._reader.join(STOP_SECONDS)
        self._log_file.close()
        return self._process.returncode

    @property
    def log_end(self) -> int:
        """The position of now in its log, for `logged`."""
        return self.log.stat().st_size

    def logged(self, since: int = 0) -> str:
        """What its log says from a position on."""
        with self.log.open("rb") as stream:
            stream.seek(since)
            return stream.read().decode("utf-8", "replace")

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.logged().splitlines()[-TAIL_LINES:]
        return f"The log of {self.name} ends:\n" + ("\n".join(f"  {line}" for line in lines) or "  (it is empty)")
