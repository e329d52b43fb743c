"""Renders templates the way that their users do, and runs what was rendered."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from copier import run_copy

from ..support.processes import environment

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(path.name for path in (ROOT / "templates").iterdir() if not path.name.startswith("_"))
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.pyc", ".venv", ".*_cache", ".env", "uv.lock")
STOP_SECONDS = 20.0


def export(folder: Path) -> Path:
    """Copy what Copier reads into a folder that git knows nothing of; uncommitted changes come along."""
    shutil.copytree(ROOT / "templates", folder / "templates", ignore=LEFT_BEHIND)
    shutil.copy(ROOT / "copier.yml", folder)
    return folder


def render(source: Path | str, destination: Path, **answers: Any) -> Path:
    """Render with these answers and the defaults for the rest; no trust is given."""
    run_copy(str(source), destination, data=answers, defaults=True, quiet=True, unsafe=False)
    return destination


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None, seconds: float = 100) -> tuple[int, str]:
    """Run a command without any Behest setting of whoever runs the tests; return its exit code and all it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment({"PYTHONDONTWRITEBYTECODE": "1", **(env or {})}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout


def python(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run this Python."""
    return run(sys.executable, *arguments, cwd=cwd, env=env)


@contextmanager
def listening() -> Generator[tuple[socket.socket, str]]:
    """Take a free port, and say which address it makes. Requests wait there until an app accepts them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serving(app: Path, listener: socket.socket, env: Mapping[str, str]) -> Generator[None]:
    """Run a rendered FastAPI app on a port that is taken already, so that no other process can come between."""
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--fd", str(listener.fileno()), "--log-level", "warning"],
        cwd=app,
        env=environment({"PYTHONDONTWRITEBYTECODE": "1", **env}),
        stdin=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def files_of(folder: Path) -> list[str]:
    """List every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
