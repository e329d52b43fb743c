"""How long the gateway takes from its start until it is ready."""

from __future__ import annotations

import http.client
import json
import secrets
import statistics
import sys
import time
from pathlib import Path

from benchmarks import processes
from benchmarks.gateway import gateway_environment

TRIES = 5
_SECONDS = 30.0


def start_seconds(scratch: Path, tries: int = TRIES) -> dict[str, float]:
    """Seconds from spawning a process to `/ready` answering 200, the median of some tries, on any core.

    Both ways to start it are tried, in an empty data directory and in one that was used before. One start that does
    not count comes first: it compiles the bytecode.
    """
    behest = Path(sys.executable).with_name("behest")
    ways: dict[str, list[str | Path]] = {"python -m behest_gateway": [*processes.python_module("behest_gateway")]}
    if behest.exists():
        ways["behest gateway"] = [behest, "gateway"]
    found: dict[str, float] = {}
    for name, command in ways.items():
        used = scratch / f"start-{len(found)}"
        admin = secrets.token_urlsafe(32)
        _start(command, used, admin, scratch)
        fresh = [_start(command, Path(f"{used}-{number}"), admin, scratch) for number in range(tries)]
        again = [_start(command, used, admin, scratch) for _ in range(tries)]
        found[f"`{name}`, empty data directory"] = statistics.median(fresh)
        found[f"`{name}`, used data directory"] = statistics.median(again)
    return found


def _start(command: list[str | Path], data: Path, admin: str, scratch: Path) -> float:
    env = gateway_environment(data, admin, "http://127.0.0.1:9/v1")
    log = scratch / "start.log"
    started = time.perf_counter()
    with processes.running([*command, "--json"], core=None, env=env, log=log, speaks=True) as process:
        port = int(json.loads(processes.read_line(process, _SECONDS, log))["base_url"].rpartition(":")[2])
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
            connection.request("GET", "/ready")
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                return time.perf_counter() - started
            if time.perf_counter() - started > _SECONDS:
                raise processes.StartError(f"/ready answered {status} for {_SECONDS:g} s: {processes.tail(log)}")
            time.sleep(0.005)
