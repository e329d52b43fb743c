"""A tethered process ends with its parent, and is otherwise what it would be without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from behest_cli.tether import __name__ as tether


def test_it_ends_at_once_when_the_other_end_of_the_pipe_closes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", tether, "http.server", "0", "--bind", "127.0.0.1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout:
        assert b"Serving" in process.stdout.readline()
        assert psutil.Process(process.pid).is_running()
        process.stdin.close()
        assert process.wait(30) == 1


@pytest.mark.parametrize("code", [0, 3])
def test_arguments_and_exit_code_pass_through(tmp_path: Path, code: int) -> None:
    (tmp_path / "ends_with.py").write_text("import sys\nsys.exit(int(sys.argv[1]))\n")
    command = [sys.executable, "-m", tether, "ends_with", str(code)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path)
    assert process.wait(30) == code
    assert process.stdin is not None
    process.stdin.close()


def test_the_program_sees_an_empty_standard_input() -> None:
    command = [sys.executable, "-m", tether, "json.tool"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stdin is not None
    with process.stderr, process.stdin:
        assert b"Expecting value" in process.stderr.read()
        assert process.wait(30) == 1
