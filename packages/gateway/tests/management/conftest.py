"""The management app in process, over a real data directory, with the data plane's own verifier and ledger."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from behest_gateway.adapters.keys import KeyWorks, RsaPair
from behest_gateway.adapters.memory import MemoryDirectory
from behest_gateway.adapters.sql.analytics import SqlAnalytics
from behest_gateway.adapters.sql.control import ControlStore
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.events import SqlEvents
from behest_gateway.adapters.sql.exports import SqlExports
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.adapters.sql.webhooks import SqlWebhooks
from behest_gateway.adapters.vault import Vault
from behest_gateway.control.operators import Operators
from behest_gateway.control.publishing import Publishing
from behest_gateway.core.clock import SystemClock
from behest_gateway.http.management_api import management_app
from behest_gateway.http.management_services import ManagementServices
from behest_gateway.mint.actions import Minter
from behest_gateway.mint.ports import MintingKey
from behest_gateway.mint.signing import MintingKeys
from behest_gateway.stages.authenticate.stage import Authenticate
from behest_protocol.claims import ISSUERS

SECRET = "an-operator-secret"


class HaltedWorks(KeyWorks):
    """The real key works, which can be halted before a hash."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def hash(self, secret: str) -> str:
        self.reached.set()
        await self.go_on.wait()
        return await super().hash(secret)


@dataclass
class Management:
    """What a test of the management plane drives."""

    directory: MemoryDirectory
    database: Database
    works: HaltedWorks
    store: ControlStore
    ledger: SqlLedger
    minter: Minter
    authenticate: Authenticate
    services: ManagementServices
    webhooks: SqlWebhooks
    vault: Vault
    transport: httpx.ASGITransport
    clients: list[httpx.AsyncClient] = field(default_factory=list[httpx.AsyncClient])

    def client(self, bearer: str | None = SECRET, **headers: str) -> httpx.AsyncClient:
        """A caller with a credential; the operator's unless another is given."""
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        client = httpx.AsyncClient(transport=self.transport, base_url="http://gateway", headers=headers)
        self.clients.append(client)
        return client

    async def tenant(self, name: str = "Acme", **more: Any) -> str:
        """Make a tenant and return its id."""
        return str((await self.made("/v1/tenants", {"name": name, **more}))["id"])

    async def project(self, tenant_id: str | None = None, **more: Any) -> str:
        """Make a project, with a tenant when none is given, and return its id."""
        tenant_id = tenant_id or await self.tenant()
        return str((await self.made("/v1/projects", {"tenant_id": tenant_id, "name": "Chat", **more}))["id"])

    async def key(self, project_id: str, role: str = "user") -> dict[str, Any]:
        """Make an API key."""
        return await self.made(f"/v1/projects/{project_id}/keys", {"role": role})

    async def token(self, api_key: str, user_id: str = "u_1") -> str:
        """Mint a token."""
        return (await self.minter.mint(api_key, None, {"user_id": user_id})).token

    async def made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST as the operator, and expect 201."""
        answer = await self.client().post(path, json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def lose_the_tenants(self) -> None:
        """Break the data directory."""
        with self.database.transaction() as connection:
            connection.execute("alter table tenants rename to elsewhere")

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()

    def restarted(self) -> MemoryDirectory:
        """What another process would publish from the same data directory."""
        directory = MemoryDirectory()
        Publishing(self.store, directory).everything()
        return directory


@pytest.fixture(scope="session")
def minting_pair() -> RsaPair:
    """One RSA key for all the tests here, because making one takes longer than a test."""
    works = KeyWorks()
    pair = asyncio.run(works.generate())
    works.close()
    return pair


@pytest.fixture
async def management(tmp_path: Path, minting_pair: RsaPair) -> AsyncIterator[Management]:
    database = Database(tmp_path / "data")
    works, clock, directory = HaltedWorks(), SystemClock(), MemoryDirectory()
    store, ledger = ControlStore(database), SqlLedger(database, clock)
    vault = Vault(bytes(range(32)))
    sealed = vault.seal(minting_pair.private_pem.encode(), owner="gateway", kid="bh_1", field="private_pem")
    first = MintingKey(kid="bh_1", public_pem=minting_pair.public_pem, sealed=sealed, created_at=clock.now_us())
    store.add_minting_key(first, revoke_others=False)
    minting_keys = MintingKeys(store, vault, works, directory, clock)
    await minting_keys.ensure()
    operators = Operators(store, works)
    await operators.ensure(SECRET)
    minter = Minter(directory, minting_keys, works, clock)
    authenticate = Authenticate(directory, clock, frozenset(ISSUERS))
    directory.on_withdraw(minter.forget)
    directory.on_withdraw(authenticate.forget)
    webhooks = SqlWebhooks(database)
    services = ManagementServices.over(
        store=store,
        publisher=directory,
        users=ledger,
        counters=ledger,
        analytics=SqlAnalytics(database),
        exports=SqlExports(database),
        event_log=SqlEvents(database),
        webhook_store=webhooks,
        seal=vault,
        allow_private_webhooks=False,
        works=works,
        operators=operators,
        minting_keys=minting_keys,
        verifier=authenticate,
        clock=clock,
        base_domain="localhost",
        publishing=Publishing(store, directory),
    )
    management = Management(
        directory=directory,
        database=database,
        works=works,
        store=store,
        ledger=ledger,
        minter=minter,
        authenticate=authenticate,
        services=services,
        webhooks=webhooks,
        vault=vault,
        transport=httpx.ASGITransport(management_app(services)),
    )
    yield management
    await management.close()
    ledger.close()
    works.close()
    database.close()
