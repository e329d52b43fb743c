"""Renders templates the way that their users do, and runs what was rendered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from copier import run_copy

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(path.name for path in (ROOT / "templates").iterdir() if not path.name.startswith("_"))
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.pyc", ".venv", ".*_cache", ".env", "uv.lock")


def export(folder: Path) -> Path:
    """Copy what Copier reads into a folder that git knows nothing of; uncommitted changes come along."""
    shutil.copytree(ROOT / "templates", folder / "templates", ignore=LEFT_BEHIND)
    shutil.copy(ROOT / "copier.yml", folder)
    return folder


def render(source: Path | str, destination: Path, **answers: Any) -> Path:
    """Render with these answers and the defaults for the rest; no trust is given."""
    run_copy(str(source), destination, data=answers, defaults=True, quiet=True, unsafe=False)
    return destination


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None, seconds: float = 100) -> tuple[int, str]:
    """Run a command without any Behest setting of whoever runs the tests; return its exit code and all it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BEHEST_")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | {"PYTHONDONTWRITEBYTECODE": "1"} | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout


def python(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run this Python."""
    return run(sys.executable, *arguments, cwd=cwd, env=env)


def files_of(folder: Path) -> list[str]:
    """List every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
