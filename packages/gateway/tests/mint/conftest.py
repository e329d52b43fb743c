"""A token plane over a real data directory: real hashes, real keys, real SQLite, and a clock that tests move."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from behest_gateway.adapters.keys import KeyWorks
from behest_gateway.adapters.memory import MemoryDirectory
from behest_gateway.adapters.sql.control import ControlStore
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.vault import Vault
from behest_gateway.core.snapshot import ApiKey, ProjectSnapshot
from behest_gateway.mint.actions import Minter
from behest_gateway.mint.signing import MintingKeys

MASTER = bytes(range(32))


@dataclass
class MovableClock:
    """Starts at an instant and stays there until it is moved."""

    now: int = 1_760_000_000_000_000

    def now_us(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


class CountingWorks(KeyWorks):
    """The real key works, which also count."""

    def __init__(self) -> None:
        super().__init__()
        self.verified = 0

    async def verify(self, hashed: str, secret: str) -> bool:
        self.verified += 1
        return await super().verify(hashed, secret)


@dataclass
class TokenPlane:
    """What a test of minting drives."""

    database: Database
    store: ControlStore
    directory: MemoryDirectory
    works: CountingWorks
    clock: MovableClock
    keys: MintingKeys
    minter: Minter
    project: ProjectSnapshot
    made: dict[str, str] = field(default_factory=dict[str, str])

    def minting_keys(self, master: bytes = MASTER, directory: MemoryDirectory | None = None) -> MintingKeys:
        """The keys as another process of the same data directory would open them."""
        return MintingKeys(self.store, Vault(master), self.works, directory or self.directory, self.clock)

    async def api_key(self, role: str = "user", *, project: ProjectSnapshot | None = None, digit: str = "a") -> str:
        """Publish an API key and return it."""
        plaintext = "behest_sk_live_" + digit * 32
        project = project or self.project
        lookup = hashlib.sha256(plaintext.encode()).hexdigest()
        hashed = await self.works.hash(plaintext)
        self.directory.publish_api_key(
            ApiKey(id=f"key-{digit}", project_id=project.id, role=role, lookup=lookup, hash=hashed)
        )
        self.made[plaintext] = lookup
        return plaintext

    def revoke(self, plaintext: str) -> None:
        """Withdraw an API key."""
        self.directory.withdraw_api_key(self.made[plaintext])


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[TokenPlane]:
    database = Database(tmp_path / "data")
    works = CountingWorks()
    store, directory, clock = ControlStore(database), MemoryDirectory(), MovableClock()
    keys = MintingKeys(store, Vault(MASTER), works, directory, clock)
    minter = Minter(directory, keys, works, clock)
    directory.on_withdraw(minter.forget)
    project = ProjectSnapshot(id="p1", tenant_id="t1", name="Chat", slug="chat")
    directory.publish_project(project)
    yield TokenPlane(
        database=database,
        store=store,
        directory=directory,
        works=works,
        clock=clock,
        keys=keys,
        minter=minter,
        project=project,
    )
    works.close()
    database.close()
