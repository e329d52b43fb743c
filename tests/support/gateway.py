"""A gateway in a process of its own, with the management API at hand."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .ledger import Ledger
from .processes import Server

REQUEST_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant and its signing key."""

    id: str
    kid: str
    private_pem: str
    public_pem: str


class Gateway:
    """A running gateway.

    Attributes:
        client: Without any credential; every wait is bounded.
        ledger: What it has written, read from outside.
    """

    def __init__(self, server: Server, data_dir: Path, admin_token: str) -> None:
        self.server = server
        self.base_url = server.base_url
        self.data_dir = data_dir
        self.admin_token = admin_token
        self.ledger = Ledger(data_dir)
        self.client = httpx.Client(base_url=server.base_url, timeout=REQUEST_SECONDS)

    @property
    def operator(self) -> dict[str, str]:
        """The header of an operator."""
        return {"Authorization": f"Bearer {self.admin_token}"}

    def manage(self, method: str, path: str, body: object = None, *, status: int | None = None) -> Any:
        """Call the management API as the operator; return the decoded answer, or None when it is empty.

        Raises:
            AssertionError: The answer is not a success, or not of the `status` that is asked for.
        """
        answer = self.client.request(method, path, json=body, headers=self.operator)
        good = answer.is_success if status is None else answer.status_code == status
        assert good, f"{method} {path} answered {answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None

    def new_tenant(self, name: str = "Acme") -> Tenant:
        """Make a tenant with a signing key."""
        tenant = self.manage("POST", "/v1/tenants", {"name": name, "plan": "enterprise"})
        key = self.manage("POST", "/v1/signing-keys", {"tenant_id": tenant["id"], "name": "tests"})
        return Tenant(
            id=tenant["id"], kid=key["kid"], private_pem=key["private_key_pem"], public_pem=key["public_key_pem"]
        )

    def stop(self) -> int:
        """End it politely; returns its exit code."""
        self.client.close()
        return self.server.stop()

    def kill(self) -> int:
        """End it as a crash does; returns its exit code."""
        self.client.close()
        return self.server.kill()


def start_gateway(
    data_dir: Path,
    openai_base_url: str,
    *,
    log: Path | None = None,
    admin_token: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Gateway:
    """Start a gateway on a data directory, new or used before.

    Args:
        openai_base_url: The provider to ask, `/v1` included.
        log: Where its log is kept; beside the data directory when left out.
        admin_token: The operator's secret; one is made up for a new directory, and a used one needs its own.
        env: More variables, such as `BEHEST_GATEWAY_UPSTREAM_IDLE_TIMEOUT`.

    Raises:
        ServerError: It does not start.
    """
    token = admin_token or f"operator-{secrets.token_hex(16)}"
    settings = {
        "BEHEST_GATEWAY_HOST": "127.0.0.1",
        "BEHEST_GATEWAY_PORT": "0",
        "BEHEST_GATEWAY_DATA_DIR": str(data_dir),
        "BEHEST_GATEWAY_OPENAI_BASE_URL": openai_base_url,
        "BEHEST_ADMIN_TOKEN": token,
    }
    server = Server(
        "behest_gateway", "--json", env={**settings, **(env or {})}, log=log or data_dir.with_name("gateway.log")
    )
    return Gateway(server, data_dir, token)


@contextmanager
def running_gateway(folder: Path, openai_base_url: str, **env: str) -> Generator[Gateway]:
    """Run a gateway on a new data directory in `folder` while the block runs."""
    gateway = start_gateway(folder / "data", openai_base_url, env=env)
    try:
        yield gateway
    finally:
        gateway.stop()
