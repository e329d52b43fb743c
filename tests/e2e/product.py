"""The whole product as processes on loopback: a gateway and a fake provider, and apps scaffolded from templates."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from ..support.processes import Server
from ..templates.rendering import export, listening, render, serving


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
    options = ("--fake", "--port", "0", "--json", "--data-dir", str(folder / "data"))
    server = Server("behest_cli", "dev", *options, log=folder / "dev.log")
    try:
        yield Stack(server.ready)
    finally:
        server.stop()


@contextmanager
def running_shop(stack: Stack, folder: Path, *, origin: str | None = None, **settings: Any) -> Generator[Shop]:
    """Scaffold the FastAPI template into a folder and start it.

    Args:
        stack: Its gateway.
        folder: An empty folder.
        origin: The page that the project allows; the app's own when absent.
        settings: The project's settings. Rates are wide unless they say otherwise.
    """
    app = render(export(folder / "source"), folder / "my-chat", template="fastapi")
    with listening() as (listener, url):
        wanted = {"allowed_origins": [origin or url], "rpm_limit": 6000, "user_rpm_limit": 6000, **settings}
        body = {"tenant_id": stack.tenant_id, "name": folder.name, "settings": wanted}
        project_id: str = stack.manage("POST", "/v1/projects", body)["id"]
        # The app's users have tiers, whose limits come before the project's.
        wide = {"rpm_limit": wanted["user_rpm_limit"], "requests_per_day": 10**6, "tokens_per_day": 10**9}
        for tier in ("free", "pro", "max"):
            stack.manage("PUT", f"/v1/projects/{project_id}/tiers/{tier}", {"overrides": wide})
        key: str = stack.manage("POST", f"/v1/projects/{project_id}/keys", {"name": "app"})["key"]
        env = {"BEHEST_BASE_URL": stack.base_url, "BEHEST_KEY": key}
        with serving(app, listener, {**env, "APP_ENV": "development", "APP_NAME": "My chat"}):
            yield Shop(stack, url, project_id)


def _json(method: str, url: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    with httpx.Client(timeout=30, trust_env=False) as client:
        answer = client.request(method, url, json=body, headers=headers)
    assert answer.is_success, f"{method} {url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None
