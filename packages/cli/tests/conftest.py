"""What the tests of the command line share: a whole product on loopback, and `behest` called in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from behest_cli.dev import Ready, running
from behest_cli.main import main

from .calling import Behest, Outcome, Stub


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings and profiles of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("BEHEST_") or name == "OPENAI_API_KEY"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BEHEST_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture
def behest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Behest:
    """Call `behest` and check its exit code; keyword arguments are environment variables for this call."""

    def call(*arguments: str, code: int = 0, **env: str) -> Outcome:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["behest", *arguments])
            for name, value in env.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as exit_:
                main()
        captured = capsys.readouterr()
        outcome = Outcome(code=int(exit_.value.code or 0), out=captured.out, err=captured.err)
        assert outcome.code == code, outcome
        return outcome

    return call


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """A gateway and a fake provider, running for all tests of this folder."""
    with running(tmp_path_factory.mktemp("dev")) as ready:
        yield ready


@pytest.fixture
def operator(behest: Behest, ready: Ready) -> Behest:
    """`behest` as the gateway's operator."""

    def call(*arguments: str, code: int = 0, **env: str) -> Outcome:
        known = {"BEHEST_BASE_URL": ready["base_url"], "BEHEST_ADMIN_TOKEN": ready["admin_token"]}
        return behest(*arguments, code=code, **{**known, **env})

    return call


@pytest.fixture
def project(operator: Behest, ready: Ready) -> dict[str, Any]:
    """A new project in the seeded tenant."""
    answer = operator("project", "create", "Shop", "--tenant", ready["tenant_id"], "--json").json
    return cast("dict[str, Any]", answer)


@pytest.fixture
def api_key(operator: Behest, project: dict[str, Any]) -> str:
    """An API key of the new project."""
    return str(operator("key", "create", "--project", project["id"], "--json").json["key"])


@pytest.fixture
def server(ready: Ready, behest: Behest, api_key: str) -> Behest:
    """`behest` as the server of an app that has the new project's API key."""

    def call(*arguments: str, code: int = 0, **env: str) -> Outcome:
        known = {"BEHEST_BASE_URL": ready["base_url"], "BEHEST_KEY": api_key}
        return behest(*arguments, code=code, **{**known, **env})

    return call


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Start servers that answer everything with one status, body and set of headers; gives their addresses."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(status: int, body: str, headers: dict[str, str]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET  # noqa: N815 - the name that the base class looks for

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join(5)
        server.server_close()
