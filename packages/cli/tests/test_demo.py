"""The demo reaches a page, and leaves nothing running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psutil


def test_once_reaches_the_page_and_ends_as_done(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "behest_cli.demo", "--data-dir", str(tmp_path)]
    env = {**os.environ, "BEHEST_DEMO_ONCE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=env, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^\[(\d)/4\]", done.stdout, re.MULTILINE) == ["1", "2", "3", "4"]
    assert "Open http://localhost:" in done.stdout


def test_the_page_is_there_until_ctrl_c_ends_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "behest_cli.demo", "--data-dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(100, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said and (line := process.stdout.readline()):
            said += line
        (port,) = re.findall(r"Open http://localhost:(\d+)", said)
        page = httpx.get(f"http://127.0.0.1:{port}/", follow_redirects=True, trust_env=False)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
    finally:
        _, err = process.communicate(timeout=30)
        timer.cancel()

    assert (page.status_code, len(children)) == (200, 3)
    assert (process.returncode, err) == (0, "Stopped.\n")
    assert psutil.wait_procs(children, timeout=10)[1] == []
