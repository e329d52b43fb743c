"""`behest dev` as a process tree: what it says, what it remembers, and how each of its ends leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import httpx
import psutil
import pytest
from behest import Behest
from behest_cli.children import Child
from behest_cli.dev import DevStack, Provider, Ready, running
from behest_cli.errors import CliError
from behest_fakes import running_provider

from .calling import Behest as Command

START_SECONDS = 90
END_SECONDS = 30


class Dev:
    """A running `behest dev --json`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.line = _first_line(process)
        self.ready = cast("Ready", json.loads(self.line))
        self.children = psutil.Process(process.pid).children(recursive=True)

    def end(self, number: int) -> tuple[int, str, str]:
        """Send a signal and give the exit code and what it wrote since."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, out, err

    def children_that_outlive_it(self) -> list[psutil.Process]:
        _, left = psutil.wait_procs(self.children, timeout=END_SECONDS)
        return left


Start = Callable[..., Dev]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `behest dev --json` with more arguments, and end what is still there afterwards."""
    started: list[subprocess.Popen[str]] = []

    def start(data_dir: Path, *arguments: str, port: int = 0, **env: str) -> Dev:
        process = _dev(data_dir, "--json", "--port", str(port), *arguments, **env)
        started.append(process)
        return Dev(process)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=END_SECONDS)


def test_it_prints_one_line_and_ends_as_done_when_told(start: Start, tmp_path: Path) -> None:
    dev = start(tmp_path)
    healthy = httpx.get(f"{dev.ready['base_url']}/health", trust_env=False).status_code
    code, out, err = dev.end(signal.SIGTERM)

    assert list(dev.ready) == [
        "base_url", "slug_url", "tenant_id", "project_id", "api_key", "admin_token", "signing_key", "provider_url",
    ]  # fmt: skip
    assert list(dev.ready["signing_key"]) == ["kid", "private_key_pem"]
    assert dev.ready["slug_url"] == f"http://dev.localhost:{dev.ready['base_url'].rsplit(':')[-1]}"
    assert (healthy, code, out, err) == (200, 0, "", "Stopped.\n")
    assert len(dev.children) == 2
    assert dev.children_that_outlive_it() == []


def test_the_next_start_says_the_same_line_and_the_data_is_there(start: Start, tmp_path: Path) -> None:
    first = start(tmp_path)
    with Behest(key=first.ready["api_key"], base_url=first.ready["base_url"]) as behest:
        behest.for_user("ada").chat.completions.create(messages=[{"role": "user", "content": "hello"}])
    first.end(signal.SIGINT)
    second = start(tmp_path)
    with Behest(key=second.ready["api_key"], base_url=second.ready["base_url"]) as behest:
        usage = behest.for_user("ada").usage.get()

    assert second.line == first.line
    assert usage.totals.requests == 1


def test_kill_9_leaves_no_child_and_the_next_start_carries_on(start: Start, tmp_path: Path) -> None:
    first = start(tmp_path)
    first.end(signal.SIGKILL)

    assert len(first.children) == 2
    assert first.children_that_outlive_it() == []
    assert start(tmp_path).line == first.line


@pytest.mark.parametrize("module", ["behest_gateway", "behest_fakes"])
def test_when_a_child_dies_everything_ends_and_says_why(start: Start, tmp_path: Path, module: str) -> None:
    dev = start(tmp_path)
    (victim,) = [child for child in dev.children if module in child.cmdline()]
    victim.kill()
    _, err = dev.process.communicate(timeout=END_SECONDS)

    assert dev.process.returncode == 1
    assert "ended by itself" in err
    assert ".log" in err
    assert dev.children_that_outlive_it() == []


def test_what_it_keeps_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    with running(folder):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.glob("dev.[je]*"))}

    assert modes == {"data": 0o700, "dev.json": 0o600, "dev.env": 0o600}


def test_what_it_seeded_works(ready: Ready) -> None:
    assert ready["provider_url"] is not None
    with (
        Behest(key=ready["api_key"], base_url=ready["base_url"]) as by_key,
        Behest(
            key=ready["signing_key"]["private_key_pem"],
            kid=ready["signing_key"]["kid"],
            tenant_id=ready["tenant_id"],
            project_id=ready["project_id"],
            base_url=ready["base_url"],
        ) as by_signature,
    ):
        before = httpx.get(f"{ready['provider_url']}/_fake/bill", trust_env=False).json()
        for behest in (by_key, by_signature):
            behest.for_user("ada").chat.completions.create(messages=[{"role": "user", "content": "hello"}])
        after = httpx.get(f"{ready['provider_url']}/_fake/bill", trust_env=False).json()

    assert len(after["calls"]) - len(before["calls"]) == 2


def test_a_page_on_port_8000_may_call_it_and_others_when_allowed(tmp_path: Path) -> None:
    def allowed(ready: Ready, origin: str) -> bool:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        url = f"{ready['base_url']}/v1/chat/completions"
        host = ready["slug_url"].removeprefix("http://")
        answer = httpx.request("OPTIONS", url, headers={**headers, "Host": host}, trust_env=False)
        return bool(answer.headers.get("Access-Control-Allow-Origin") == origin)

    with running(tmp_path) as ready:
        first = [allowed(ready, f"http://{host}") for host in ("localhost:8000", "127.0.0.1:8000", "localhost:9000")]
    with running(tmp_path, allow_origins=["http://localhost:9000"]) as ready:
        second = [allowed(ready, f"http://{host}") for host in ("localhost:8000", "127.0.0.1:8000", "localhost:9000")]

    assert (first, second) == ([True, True, False], [True, True, True])


def test_seeding_that_was_cut_off_is_carried_on(tmp_path: Path) -> None:
    file = tmp_path / "dev.json"
    with running(tmp_path) as first:
        pass
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({name: kept[name] for name in ("admin_token", "gateway_port", "provider_port")}))
    with running(tmp_path) as second:
        pass

    anew = {"api_key": first["api_key"], "signing_key": first["signing_key"]}
    assert {**second, **anew} == first
    assert second["api_key"] != first["api_key"]
    assert second["signing_key"]["kid"] != first["signing_key"]["kid"]


def test_another_one_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(CliError, match="Another `behest dev` is running"), running(tmp_path):
        pass


def test_a_port_that_is_taken_is_named(behest: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = behest("dev", "--port", str(port), "--data-dir", str(tmp_path), code=1)

    assert f"Port {port} is taken" in said.err
    assert "--port 0" in said.err


def test_with_port_0_another_port_is_taken_when_the_remembered_one_is_gone(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        port = int(first["base_url"].rsplit(":")[-1])
    with socket.create_server(("127.0.0.1", port)), running(tmp_path) as second:
        pass

    assert second["base_url"] != first["base_url"]
    assert second["api_key"] == first["api_key"]


def test_an_explicit_port_wins_over_the_remembered_one(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with running(tmp_path, port=port) as ready:
        assert ready["base_url"] == f"http://127.0.0.1:{port}"


def test_a_gateway_that_does_not_start_is_shown_by_its_log(behest: Command, tmp_path: Path) -> None:
    said = behest("dev", "--port", "0", "--data-dir", str(tmp_path), code=1, BEHEST_GATEWAY_SYNCHRONOUS="maybe")

    assert "before it was ready" in said.err
    assert "must be normal or full" in said.err


def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="did not get ready in time"), running(tmp_path, timeout=0.0):
        pass


def test_a_provider_of_ones_own_is_used_with_its_key_and_no_fake_one_starts(tmp_path: Path) -> None:
    with (
        running_provider(api_key="sk-mine") as mine,
        running(tmp_path, provider=Provider(base_url=mine.openai_base_url, key="sk-mine")) as ready,
        Behest(key=ready["api_key"], base_url=ready["base_url"]) as behest,
    ):
        behest.for_user("ada").chat.completions.create(messages=[{"role": "user", "content": "hello"}])
        calls = httpx.get(f"{mine.base_url}/_fake/bill", trust_env=False).json()["calls"]

    assert ready["provider_url"] is None
    assert len(calls) == 1
    assert not (tmp_path / "provider.log").exists()


def test_openai_is_used_when_its_key_is_set_and_says_so(start: Start, tmp_path: Path) -> None:
    dev = start(tmp_path, OPENAI_API_KEY="sk-nobodys")
    fake = start(tmp_path / "fake", "--fake", OPENAI_API_KEY="sk-nobodys")
    _, _, err = dev.end(signal.SIGTERM)

    assert dev.ready["provider_url"] is None
    assert len(dev.children) == 1
    assert "cost real money" in err
    assert fake.ready["provider_url"] is not None


@pytest.mark.parametrize(
    "options", [["--fake", "--provider-url", "http://127.0.0.1:9/v1"], ["--provider-key", "sk-x"]], ids=" ".join
)
def test_options_that_exclude_each_other_are_refused(behest: Command, tmp_path: Path, options: list[str]) -> None:
    assert "--provider-url" in behest("dev", "--data-dir", str(tmp_path), *options, code=2).err


def test_damaged_memory_is_named(behest: Command, tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text("[]")
    said = behest("dev", "--data-dir", str(tmp_path), code=1)

    assert "dev.json cannot be read" in said.err


def test_a_person_is_told_where_everything_is_and_no_secret(tmp_path: Path) -> None:
    process = _dev(tmp_path, "--port", "0")
    said = _until(process, "Ctrl-C stops")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=END_SECONDS)
    kept = json.loads((tmp_path / "dev.json").read_text())

    assert process.returncode == 0
    assert f"source {tmp_path / 'dev.env'}" in said
    assert all(kept[name] not in said for name in ("api_key", "admin_token", "private_key_pem"))


def test_dev_env_is_what_the_other_commands_read(tmp_path: Path) -> None:
    with running(tmp_path):
        script = f'. "{tmp_path / "dev.env"}"; "{sys.executable}" -m behest_cli key list --json'
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert len(json.loads(done.stdout)["data"]) == 1


def test_a_stack_watches_what_is_added_to_it(tmp_path: Path) -> None:
    with DevStack(tmp_path, port=0) as stack:
        child = stack.add_child("extra", "timeit", ["-n1", "-r1", "pass"], env=dict(os.environ), cwd=tmp_path)
        ended: Child = stack.wait_for_exit()
        assert (ended, ended.exit_code) == (child, 0)
        assert "1 loop" in ended.tail()


def _dev(data_dir: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "behest_cli", "dev", "--data-dir", str(data_dir), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )


def _first_line(process: subprocess.Popen[str]) -> str:
    line = _bounded(process, lambda stdout: stdout.readline())
    if not line:
        raise AssertionError(f"it said nothing: {process.communicate(timeout=END_SECONDS)}")
    return line


def _until(process: subprocess.Popen[str], text: str) -> str:
    def read(stdout: IO[str]) -> str:
        said = ""
        while text not in said and (line := stdout.readline()):
            said += line
        return said

    return _bounded(process, read)


def _bounded(process: subprocess.Popen[str], read: Callable[[IO[str]], str]) -> str:
    """Read from a process that is killed when it says nothing for too long, which ends the reading."""
    assert process.stdout is not None
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        return read(process.stdout)
    finally:
        timer.cancel()
