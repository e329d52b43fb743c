"""A gateway and a fake provider as processes of their own, so that one can be killed while the other keeps its bill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import httpx

ADMIN = {"Authorization": "Bearer an-operator-secret"}
START_SECONDS = 30


def _ready_line(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    stream = process.stdout
    assert stream is not None
    line = stream.readline()
    if not line:
        raise AssertionError(f"the process ended before it was ready:\n{log.read_text()[-2000:]}")
    ready: dict[str, Any] = json.loads(line)
    return ready


def _start(command: list[str], log: Path, environ: dict[str, str]) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **environ}
        )
    try:
        return process, _ready_line(process, log)
    except BaseException:
        process.kill()
        process.wait()
        raise


@dataclass
class Plant:
    """The two processes, and what a test asks of them.

    Args:
        folder: Where state and logs go.
        token_delay_ms: The fake provider's pace.
    """

    folder: Path
    token_delay_ms: int = 0
    gateway_url: str = ""
    provider_url: str = ""
    tenant_id: str = ""
    key_id: str = ""
    _gateway: subprocess.Popen[bytes] | None = None
    _provider: subprocess.Popen[bytes] | None = None
    _tokens: dict[str, str] = field(default_factory=dict)
    _private_pem: str = ""

    def start_provider(self) -> None:
        command = ["behest_fakes", "provider", "--json", "--token-delay-ms", str(self.token_delay_ms)]
        self._provider, ready = _start(command, self.folder / "provider.log", {})
        self.provider_url = ready["base_url"]

    def start_gateway(self) -> None:
        environ = {
            "BEHEST_GATEWAY_PORT": "0",
            "BEHEST_GATEWAY_DATA_DIR": str(self.folder / "data"),
            "BEHEST_GATEWAY_OPENAI_BASE_URL": self.provider_url + "/v1",
            "BEHEST_ADMIN_TOKEN": ADMIN["Authorization"].removeprefix("Bearer "),
        }
        self._gateway, ready = _start(["behest_gateway", "--json"], self.folder / "gateway.log", environ)
        self.gateway_url = ready["base_url"]

    def kill_gateway(self) -> None:
        """End the gateway as a power cut to its process would."""
        assert self._gateway is not None
        self._gateway.send_signal(signal.SIGKILL)
        self._gateway.wait(10)
        assert self._gateway.stdout is not None
        self._gateway.stdout.close()

    def stop(self) -> None:
        for process in (self._gateway, self._provider):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process is not None and process.stdout is not None:
                process.stdout.close()

    # -- management

    def manage(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(method, self.gateway_url + path, json=body, headers=ADMIN, timeout=30)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def new_project(self, **settings: Any) -> str:
        """A project whose rates are out of the way, and a signing key of its tenant; returns its id."""
        if not self.tenant_id:
            self.tenant_id = self.manage("POST", "/v1/tenants", {"name": "Acme"})["id"]
            key = self.manage("POST", "/v1/signing-keys", {"tenant_id": self.tenant_id})
            self.key_id, self._private_pem = key["kid"], key["private_key_pem"]
        settings = {"rpm_limit": 1_000_000, "user_rpm_limit": 1_000_000, **settings}
        body = {"tenant_id": self.tenant_id, "name": "Money", "settings": settings}
        project_id: str = self.manage("POST", "/v1/projects", body)["id"]
        return project_id

    def new_budget(self, project_id: str, limit_nano: int, scope: str, window: str = "month", **more: Any) -> str:
        limit = f"{limit_nano / 1e9:.9f}"
        body = {"scope": scope, "window": window, "limit_usd": limit, **more}
        budget_id: str = self.manage("POST", f"/v1/projects/{project_id}/budgets", body)["id"]
        return budget_id

    def token(self, project_id: str, user_id: str) -> dict[str, str]:
        """The header of a user's token, signed here as a backend without a network would."""
        from behest import Behest

        name = f"{project_id}/{user_id}"
        if name not in self._tokens:
            signer = Behest(
                key=self._private_pem,
                kid=self.key_id,
                tenant_id=self.tenant_id,
                project_id=project_id,
                base_url=self.gateway_url,
            )
            self._tokens[name] = signer.auth.mint(user_id=user_id, ttl=7200).token
        return {"Authorization": f"Bearer {self._tokens[name]}"}

    # -- what there is to see

    def script(self, **rule: Any) -> None:
        answer = httpx.post(f"{self.provider_url}/_fake/script", json=rule, timeout=10)
        assert answer.status_code == 201, answer.text

    def reset_provider(self) -> None:
        assert httpx.post(f"{self.provider_url}/_fake/reset", timeout=10).status_code < 300

    def bill(self, **query: Any) -> dict[str, Any]:
        answer = httpx.get(f"{self.provider_url}/_fake/bill", params=query, timeout=30)
        assert answer.status_code == 200, answer.text
        bill: dict[str, Any] = answer.json()
        return bill

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the gateway's database, which may be open, closed or orphaned."""
        connection = apsw.Connection(str(self.folder / "data" / "behest.db"))
        try:
            connection.set_busy_timeout(5000)
            return list(connection.execute(statement, values))
        finally:
            connection.close()

    def usage(self, project_id: str, user_id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.gateway_url}/v1/usage", headers=self.token(project_id, user_id), timeout=30)
        assert answer.status_code == 200, answer.text
        usage: dict[str, Any] = answer.json()
        return usage

    async def until_nothing_is_open(self) -> None:
        """Wait until every attempt is settled, for at most ten seconds."""
        async with asyncio.timeout(10):
            while self.rows("select count(*) from holds")[0][0]:
                await asyncio.sleep(0.02)
