"""The whole product as processes on loopback: a gateway and a fake provider, and apps scaffolded from templates."""

from __future__ import annotations

import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from copier import run_copy

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
STOP_SECONDS = 20


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without anybody's keys and settings, so that nothing real is ever called."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BEHEST_") and k != "OPENAI_API_KEY"}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **extra}


class Stack:
    """A running `behest dev`, and what its ready line said."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.base_url: str = ready["base_url"]
        self.tenant_id: str = ready["tenant_id"]
        self.provider_url: str = ready["provider_url"]
        self._operator = {"Authorization": f"Bearer {ready['admin_token']}"}

    def manage(self, method: str, path: str, body: object = None) -> Any:
        """Call the management API as the operator; return the decoded answer."""
        return _json(method, f"{self.base_url}{path}", body, self._operator)

    def script(self, **rule: Any) -> None:
        """Tell the fake provider what to answer; a rule usually names its calls with `when={"contains": …}`."""
        _json("POST", f"{self.provider_url}/_fake/script", rule)

    def bill(self, since: int = 0) -> dict[str, Any]:
        """Wait until the provider is at rest, and return its bill from the `since`-th call on."""
        bill: dict[str, Any] = _json("GET", f"{self.provider_url}/_fake/bill?until_running=0&timeout=15&since={since}")
        return bill


class Shop:
    """A scaffolded app that runs, with a project of its own at the gateway."""

    def __init__(self, stack: Stack, url: str, project_id: str) -> None:
        self.stack = stack
        self.url = url
        self.project_id = project_id

    def set_budget(self, usd: str, *, scope: str = "each_user", window: str = "day") -> None:
        """Limit what the project, or each of its users, may spend in a window."""
        body = {"scope": scope, "window": window, "limit_usd": usd}
        self.stack.manage("POST", f"/v1/projects/{self.project_id}/budgets", body)


@contextmanager
def running_stack(folder: Path) -> Generator[Stack]:
    """Start `behest dev` on free ports with a fresh data directory; end it and its children afterwards."""
    command = [sys.executable, "-m", "behest_cli", "dev", "--fake", "--port", "0", "--json"]
    with _process([*command, "--data-dir", str(folder / "data")], cwd=folder, log=folder / "dev.log") as process:
        line = _first_line(process, folder / "dev.log")
        yield Stack(json.loads(line))


@contextmanager
def running_shop(stack: Stack, folder: Path, *, origin: str | None = None, **settings: Any) -> Generator[Shop]:
    """Scaffold the FastAPI template into a folder and start it as its README says.

    Args:
        stack: Its gateway.
        folder: An empty folder.
        origin: The page that the project allows; the app's own when absent.
        settings: The project's settings. Rates are wide unless they say otherwise.
    """
    app = folder / "my-chat"
    run_copy(str(_templates(folder)), app, data={"template": "fastapi"}, defaults=True, quiet=True)
    # The socket is bound here and handed down, so that no other process can take the port.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        wanted = {"allowed_origins": [origin or url], "rpm_limit": 6000, "user_rpm_limit": 6000, **settings}
        body = {"tenant_id": stack.tenant_id, "name": folder.name, "settings": wanted}
        project_id: str = stack.manage("POST", "/v1/projects", body)["id"]
        key: str = stack.manage("POST", f"/v1/projects/{project_id}/keys", {"name": "app"})["key"]
        env = environment(BEHEST_BASE_URL=stack.base_url, BEHEST_KEY=key, APP_ENV="development", APP_NAME="My chat")
        command = [sys.executable, "-m", "uvicorn", "app:app", "--fd", str(listener.fileno()), "--log-level", "warning"]
        with _process(command, cwd=app, log=folder / "app.log", env=env, listener=listener):
            _json("GET", f"{url}/api/config")
            yield Shop(stack, url, project_id)


def _templates(folder: Path) -> Path:
    """The templates as they lie here, apart from git, so that a test never depends on what is committed."""
    source = folder / "source"
    left_behind = shutil.ignore_patterns("__pycache__", ".venv", ".*_cache", ".env")
    shutil.copytree(ROOT / "templates", source / "templates", ignore=left_behind)
    shutil.copy(ROOT / "copier.yml", source)
    return source


@contextmanager
def _process(
    command: list[str],
    *,
    cwd: Path,
    log: Path,
    env: dict[str, str] | None = None,
    listener: socket.socket | None = None,
) -> Generator[subprocess.Popen[str]]:
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env or environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            pass_fds=[listener.fileno()] if listener else [],
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise


def _first_line(process: subprocess.Popen[str], log: Path) -> str:
    output = process.stdout
    assert output is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(output.readline()), daemon=True).start()
    line = lines.get(timeout=START_SECONDS)
    assert line, f"It ended before it was ready:\n{log.read_text(encoding='utf-8')}"
    return line


def _json(method: str, url: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    with httpx.Client(timeout=30, trust_env=False) as client:
        answer = client.request(method, url, json=body, headers=headers)
    assert answer.is_success, f"{method} {url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None
