"""A published client in a process and an environment of its own, asked for one scenario after another."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

from ..support.processes import environment

CLIENTS = Path(__file__).parent / "clients"
SCENARIO_SECONDS = 45.0
STOP_SECONDS = 10.0


class Client:
    """Runs `clients/{module}.py` with a Python that has the client, and nothing of ours.

    Args:
        log: Where what it writes to standard error is kept.
    """

    def __init__(self, python: Path, module: str, log: Path) -> None:
        self.module = module
        self._python = python
        self._log = log
        self._log_file = log.open("wb")
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [str(python), str(CLIENTS / "run.py"), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            env=environment({"VIRTUAL_ENV": ""}),
        )
        self._reader = threading.Thread(target=self._read, name=module, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                self._said.put(line)
        self._said.put(b"")

    def run(self, scenario: str, **config: Any) -> Any:
        """Run a scenario; return what it says.

        Raises:
            AssertionError: It failed, or is not over in time.
        """
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps({"scenario": scenario, "config": config}).encode() + b"\n")
        stdin.flush()
        try:
            line = self._said.get(timeout=SCENARIO_SECONDS)
        except queue.Empty:
            self._process.kill()
            raise AssertionError(f"{scenario} was not over within {SCENARIO_SECONDS:g} s.\n{self.log()}") from None
        assert line, f"{self.module} ended in {scenario}.\n{self.log()}"
        said = json.loads(line)
        assert "failed" not in said, f"{scenario} failed in {self.module}:\n{said['failed']}"
        return said["value"]

    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        self._log_file.close()
