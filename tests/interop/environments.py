"""An environment for each published client, apart from ours: its distribution names are taken here by our own packages.

An environment is made once for each set of requirements and each Python, under `.nox/`, and used again as long as
neither changes. Its versions are pinned, with hashes, in `requirements-*.txt`; from a changed `requirements-*.in` they
are made anew by

    uv pip compile --generate-hashes --universal --python-version 3.11 --no-header --no-annotate IN -o TXT
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..support.processes import environment

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".nox"
INSTALL_SECONDS = 300.0


def python_with(name: str) -> Path:
    """The Python of the environment that holds `requirements-{name}.txt` and nothing else.

    Raises:
        AssertionError: It cannot be made; the message shows what uv says.
    """
    requirements = HERE / f"requirements-{name}.txt"
    key = hashlib.sha256(requirements.read_bytes() + repr((sys.version, sys.platform, sys.base_prefix)).encode())
    home = CACHE / f"interop-{name}-{key.hexdigest()[:12]}"
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        _make(home, requirements)
    return python


def _make(home: Path, requirements: Path) -> None:
    """Make an environment beside its place and move it there at once, so that none is ever half there."""
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv is not None, "The environments of other clients are made with uv, which is not on PATH."
    CACHE.mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{home.name}-", dir=CACHE))
    try:
        _run(uv, "venv", "--quiet", "--clear", "--relocatable", "--python", sys.executable, str(draft))
        python = next(path for path in (draft / "bin/python", draft / "Scripts/python.exe") if path.exists())
        _run(uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(requirements))
        try:
            draft.rename(home)
        except OSError:
            assert home.exists(), f"{draft} cannot be moved to {home}"  # somebody else was faster
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        env=environment({"VIRTUAL_ENV": ""}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
