"""A project of one's own at a shared gateway: what most tests start from."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from behest_fakes.script import RuleFields, WhenFields
from behest_protocol.sse import SSEDecoder

from .gateway import Gateway, Tenant
from .ledger import LedgerRow
from .provider import Billed, Provider
from .tokens import claims_for, sign

CHAT = "/v1/chat/completions"
MODEL = "gpt-4o-mini"
ROOMY: dict[str, Any] = {"rpm_limit": 100_000, "user_rpm_limit": 100_000}
"""Settings under which no test meets a rate by accident."""

_numbers = itertools.count(1)
_run = secrets.token_hex(3)


def messages(text: str = "Hello there") -> list[dict[str, Any]]:
    """The messages of a plain question."""
    return [{"role": "user", "content": text}]


class World:
    """A fresh project with a user of its own.

    Tokens are signed here with the tenant's key, which costs no call; `api_key` and `mint` go the other way.

    Attributes:
        user: A user that no other world has, so that a provider's rule can be about them alone.
        client: Talks to the gateway without any credential.
    """

    def __init__(
        self, gateway: Gateway, provider: Provider, tenant: Tenant, settings: Mapping[str, Any] | None = None
    ) -> None:
        number = next(_numbers)
        self.gateway = gateway
        self.provider = provider
        self.tenant = tenant
        self.user = f"user-{_run}-{number}"
        body = {"tenant_id": tenant.id, "name": f"World {number}", "settings": {**ROOMY, **(settings or {})}}
        self.project = gateway.manage("POST", "/v1/projects", body)
        self.project_id: str = self.project["id"]
        self.slug: str = self.project["slug"]
        self.host: str = self.project["host"]
        self.client = gateway.client
        self._api_key: dict[str, Any] | None = None

    # -- credentials

    def token(self, user_id: str | None = None, **changes: Any) -> str:
        """A user's token, signed with the tenant's key; `changes` are claims."""
        claims = claims_for(self.tenant, self.project_id, user_id or self.user, **changes)
        return sign(claims, self.tenant.private_pem, self.tenant.kid)

    def bearer(self, user_id: str | None = None) -> dict[str, str]:
        """The header of a user."""
        return {"Authorization": f"Bearer {self.token(user_id)}"}

    @property
    def api_key(self) -> str:
        """An API key of the project, made when it is first needed."""
        key: str = self._key["key"]
        return key

    @property
    def api_key_id(self) -> str:
        """The id of `api_key`."""
        key_id: str = self._key["id"]
        return key_id

    @property
    def _key(self) -> dict[str, Any]:
        if self._api_key is None:
            self._api_key = self.new_key()
        return self._api_key

    def new_key(self, role: str = "user") -> dict[str, Any]:
        """Make an API key; the answer of the management API."""
        key: dict[str, Any] = self.manage("POST", "/keys", {"name": "tests", "role": role})
        return key

    def mint(self, user_id: str | None = None, **fields: Any) -> dict[str, Any]:
        """Mint a token with the API key; the answer of the mint."""
        answer = self.client.post(
            "/v1/auth/mint",
            json={"user_id": user_id or self.user, **fields},
            headers={"Authorization": f"Bearer {self.api_key}"},
        )
        assert answer.status_code == 200, answer.text
        reply: dict[str, Any] = answer.json()
        return reply

    # -- what an operator does

    def manage(self, method: str, path: str = "", body: object = None) -> Any:
        """Call the management API about this project."""
        return self.gateway.manage(method, f"/v1/projects/{self.project_id}{path}", body)

    def budget(self, limit_usd: float | str, *, scope: str = "project", window: str = "day", **fields: Any) -> str:
        """Make a budget; returns its id."""
        body = {"scope": scope, "window": window, "limit_usd": limit_usd, **fields}
        budget_id: str = self.manage("POST", "/budgets", body)["id"]
        return budget_id

    def budgets(self) -> list[dict[str, Any]]:
        """The budgets, with what they have counted."""
        listed: list[dict[str, Any]] = self.manage("GET", "/budgets")["data"]
        return listed

    # -- what the provider does

    def script(self, rule: RuleFields, *, user_id: str | None = None) -> None:
        """Add a rule for the calls of this world's user."""
        when: WhenFields = {**(rule.get("when") or {}), "user": user_id or self.user}
        self.provider.script({**rule, "when": when})

    def bill(self) -> list[Billed]:
        """What the provider billed this project, once it is at rest."""
        return self.provider.bill(self.project_id)

    # -- what a caller does

    def chat(self, text: str = "Hello there", *, user_id: str | None = None, **fields: Any) -> httpx.Response:
        """Ask, and wait for the whole answer, streamed or not."""
        return self.client.post(CHAT, json={"messages": messages(text), **fields}, headers=self.bearer(user_id))

    @contextmanager
    def stream(self, text: str = "Hello there", **fields: Any) -> Generator[httpx.Response]:
        """Ask for a stream, and read it inside the block; leaving it early hangs up."""
        body = {"messages": messages(text), "stream": True, **fields}
        with self.client.stream("POST", CHAT, json=body, headers=self.bearer()) as response:
            yield response

    # -- what the gateway wrote

    def rows(self) -> list[LedgerRow]:
        """The ledger of this project.

        The question to the gateway comes first, because what it answers then was written before.
        """
        self.gateway.client.get("/health")
        return self.gateway.ledger.rows(self.project_id)

    def holds(self) -> dict[str, int]:
        """What is held for this project, in nano-dollars by attempt."""
        self.gateway.client.get("/health")
        return self.gateway.ledger.holds(self.project_id)


def events_of(body: bytes) -> list[bytes]:
    """The `data` of every event of a stream, of which all must be whole and framed with bare line feeds."""
    assert b"\r" not in body
    assert not body or body.endswith(b"\n\n"), body[-200:]
    return SSEDecoder().feed(body)
