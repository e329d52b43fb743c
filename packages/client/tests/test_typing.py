"""Type checkers see what `typing_tests` says they see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parents[1]


@pytest.mark.timeout(300)
def test_mypy_agrees_with_the_typing_tests() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", PACKAGE / "typing_tests"], cwd=ROOT, capture_output=True, text=True, timeout=280
    )

    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout


@pytest.mark.timeout(300)
def test_pyright_agrees_with_the_typing_tests(tmp_path: Path) -> None:
    settings = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "include": [str(PACKAGE / "typing_tests")],
        "reportUnnecessaryTypeIgnoreComment": "error",
        "enableTypeIgnoreComments": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    ran = subprocess.run(
        [sys.executable, "-m", "pyright", "--project", tmp_path, "--pythonpath", sys.executable],
        cwd=ROOT,
        # Otherwise it asks the package index for a newer version of itself.
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
