"""Child processes that say one line of JSON when they are ready, log to a file, and never outlive us."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from behest_cli.errors import CliError

STOP_SECONDS = 10.0
"""How long a child may take to end when it is asked to; after that it is killed."""

TAIL_LINES = 20
MAX_LOG_TAIL_BYTES = 64 * 1024


class Child:
    """A running `python -m MODULE`, its log in a file.

    Args:
        name: What messages call it.
        module: What to run, with this interpreter.
        arguments: What follows on its command line. Secrets go into `env`, since command lines are public.
        env: Its whole environment.
        log: Where its output goes; what was there before is replaced.
        exits: Gets this child when it has ended, for whatever reason.
        cwd: The folder that it works in; this process's when None.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: list[str],
        *,
        env: Mapping[str, str],
        log: Path,
        exits: queue.SimpleQueue[Child],
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._exits = exits
        self._first: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._log_file: IO[bytes] = log.open("wb")
        try:
            # A session of its own: Ctrl-C in the terminal reaches only us, and we end the children in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, "-m", "behest_cli.tether", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log_file,
                env={**env, "PYTHONUNBUFFERED": "1"},
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            self._log_file.close()
            raise
        self._threads = [
            threading.Thread(target=self._read_output, name=f"{name} output", daemon=True),
            threading.Thread(target=self._await_exit, name=f"{name} exit", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._process.poll()

    def wait_ready(self, deadline: float) -> dict[str, Any]:
        """Wait for the line that says it is ready.

        Args:
            deadline: A time of `time.monotonic()`.

        Raises:
            CliError: It ended first, or the time is up; the message shows the end of its log.
        """
        try:
            said = self._first.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise CliError(f"The {self.name} did not get ready in time. Its log ends:\n{self.tail()}") from None
        if said is None:
            code = self._process.wait(STOP_SECONDS)
            raise CliError(
                f"The {self.name} ended with exit code {code} before it was ready. Its log ends:\n{self.tail()}"
            )
        return said

    def stop(self) -> None:
        """End it: politely first, and by force after `STOP_SECONDS`."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        self._log_file.close()

    def tail(self) -> str:
        """The last lines of its log."""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - MAX_LOG_TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:]) or "  (nothing)"

    def _read_output(self) -> None:
        """Hand on the first line of JSON; everything else belongs into the log."""
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it was asked for above
        is_ready = False
        with stdout:
            for line in stdout:
                ready = None if is_ready else _json_object(line)
                if ready is None:
                    self._log_file.write(line)
                    self._log_file.flush()
                else:
                    is_ready = True
                    self._first.put(ready)
        if not is_ready:
            self._first.put(None)

    def _await_exit(self) -> None:
        self._process.wait()
        self._exits.put(self)


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        decoded: object = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else None
