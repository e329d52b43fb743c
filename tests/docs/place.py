"""Where a document's blocks are run: a folder that stands for the clone, beside everything that `behest dev` starts.

A block of shell finds the folder and the variables that the block before it left, as a reader's terminal would.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from behest_cli.dev import Ready

from ..support.processes import environment

BLOCK_SECONDS = 90

# `uv run X` in a clone is X in the environment of the clone, which is the one that runs the tests.
_UV = """#!/bin/sh
[ "$1" = run ] && shift && exec "$@"
echo "tests run nothing of uv but 'uv run': $*" >&2
exit 97
"""

# What a block leaves is carried over by files; a terminal needs none.
_SHELL = """
set -euo pipefail
if [ -f "$PLACE_STATE/env" ]; then source "$PLACE_STATE/env"; cd "$(cat "$PLACE_STATE/cwd")"; fi
trap 'code=$?; export -p > "$PLACE_STATE/env"; pwd > "$PLACE_STATE/cwd"; exit $code' EXIT
set -a
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a block did."""

    code: int
    out: str
    err: str


class Place:
    """A folder, and everything running.

    Args:
        folder: It gets a `.bin` that stands before everything on `PATH`.
        start: Starts everything when it is first needed, and returns what `behest dev --json` prints.
    """

    def __init__(self, folder: Path, start: Callable[[], Ready]) -> None:
        self.folder = folder
        self._start = start
        self._state = folder / ".state"
        self._state.mkdir()
        commands = folder / ".bin"
        commands.mkdir()
        (commands / "uv").write_text(_UV)
        (commands / "uv").chmod(0o755)
        found = [str(commands), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        self._env = {"PATH": os.pathsep.join(found), "PLACE_STATE": str(self._state), "COLUMNS": "120", "TERM": "dumb"}

    @cached_property
    def ready(self) -> Ready:
        """What `behest dev --json` prints; everything is running from now on."""
        return self._start()

    @property
    def cwd(self) -> Path:
        """Where the last block of shell ended."""
        left = self._state / "cwd"
        return Path(left.read_text().strip()) if left.exists() else self.folder

    @property
    def env(self) -> dict[str, str]:
        """The variables that blocks of Python find: what `source .behest/dev/dev.env` sets."""
        return environment(
            {
                **self._env,
                "BEHEST_BASE_URL": self.ready["base_url"],
                "BEHEST_KEY": self.ready["api_key"],
                "BEHEST_PROJECT_ID": self.ready["project_id"],
            }
        )

    def shell(self, script: str) -> Ran:
        """Run commands with bash, in the folder and with the variables that the last ones left."""
        _ = self.ready
        if "curl " in script:
            assert shutil.which("curl", path=self._env["PATH"]), "the documents ask with curl; install it"
        return self._run(["bash", "-c", _SHELL + script], cwd=self.folder, env=environment(self._env))

    def python(self, source: str) -> Ran:
        """Run a whole program."""
        file = self.folder / ".block.py"
        file.write_text(source, encoding="utf-8")
        runner = Path(__file__).with_name("run_block.py")
        command = [sys.executable, "-W", "error::DeprecationWarning", str(runner), str(file)]
        return self._run(command, cwd=self.folder, env=self.env)

    def until(self, said: str, *command: str) -> str:
        """Start a program that stays, read until it has said something, and end it; returns what it printed."""
        env = environment({**self._env, "PYTHONUNBUFFERED": "1"})
        with subprocess.Popen(command, cwd=self.folder, env=env, stdout=subprocess.PIPE, text=True) as process:
            impatience = threading.Timer(BLOCK_SECONDS, process.kill)
            impatience.start()
            try:
                assert process.stdout is not None
                lines: list[str] = []
                for line in process.stdout:
                    lines.append(line)
                    if said in line:
                        break
            finally:
                impatience.cancel()
                process.terminate()
        return "".join(lines)

    def _run(self, command: list[str], *, cwd: Path, env: dict[str, str]) -> Ran:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def read_env_file(path: Path) -> dict[str, str]:
    """Read a `.env` as `uv run --env-file` does: a name and a value to a line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "=" in line and not line.startswith("#")]
    pairs = [line.split("=", 1) for line in lines]
    return {name.strip(): "".join(shlex.split(value)) for name, value in pairs}
