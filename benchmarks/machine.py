"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import sysconfig
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.gateway import built_with


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def facts() -> dict[str, str]:
    """Date, machine and versions, by name."""
    config = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    # What it was configured with, without the folders of whoever built it.
    switches = " ".join(part for part in config.replace("'", "").split() if part.startswith("--") and "/" not in part)
    parts = ("apsw", "httptools", "msgspec", "pyjwt", "uvloop")
    return {
        "Date": time.strftime("%Y-%m-%d"),
        "Machine": f"{os.cpu_count()} cores, {_cpu()}, {_memory()}, {_system()}, Linux {platform.release()}",
        "Interpreter": f"CPython {platform.python_version()}, {built_with(config)}; "
        f"its switches: {switches or 'none'}; CFLAGS: {sysconfig.get_config_var('PY_CFLAGS')}",
        "Libraries": ", ".join(f"{part} {version(part)}" for part in parts),
    }
