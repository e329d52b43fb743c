"""What the management plane keeps, in SQLite: the stores of `control.ports` and of `mint.ports`.

Every call is one step on the event loop's thread, so that a read followed by a write has nothing between them. A read
takes some tens of microseconds. A write is on the disk when it returns, whatever the database does otherwise: a key
that was revoked must stay so through a power cut, and changes are rare enough for an fsync each.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw
import msgspec

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.events import add
from behest_gateway.adapters.sql.queries import load
from behest_gateway.control.records import KeyRecord, Project, SigningKey, SwitchChange, SwitchRecord, Tenant, TopUp
from behest_gateway.core.budgets import Budget
from behest_gateway.core.events import Event
from behest_gateway.core.snapshot import ProjectSettings
from behest_gateway.core.switches import Switch, SwitchScope, user_target
from behest_gateway.core.tiers import Tier, TierValues
from behest_gateway.mint.ports import MintingKey

Row = tuple[Any, ...]


class ControlStore:
    """Tenants, projects, keys, budgets, tiers, kill switches and facts of one data directory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load("control")

    def _one(self, query: str, *values: Any) -> Row | None:
        rows: list[Row] = list(self._database.connection.execute(self._sql[query], values))
        return rows[0] if rows else None

    def _all(self, query: str, *values: Any) -> list[Row]:
        return list(self._database.connection.execute(self._sql[query], values))

    @contextmanager
    def _durable(self, events: Sequence[Event] = ()) -> Generator[apsw.Connection]:
        """A transaction on the disk, with what is to be told of it."""
        with self._database.durable() as connection:
            yield connection
            add(connection, events)
        if events:
            self._database.feed.wake()

    def _write(self, *steps: tuple[Any, ...], events: Sequence[Event] = ()) -> None:
        with self._durable(events) as connection:
            for query, *values in steps:
                connection.execute(self._sql[query], tuple(values))

    # Facts

    def fact(self, name: str) -> str | None:
        row = self._one("get_fact", name)
        return None if row is None else str(row[0])

    def set_facts(self, facts: dict[str, str]) -> None:
        self._write(*(("set_fact", name, value) for name, value in facts.items()))

    # Tenants

    def insert_tenant(self, tenant: Tenant) -> None:
        self._write(("insert_tenant", tenant.id, tenant.name, tenant.plan, tenant.created_at))

    def update_tenant(self, tenant: Tenant) -> None:
        self._write(("update_tenant", tenant.name, tenant.plan, tenant.id))

    def tenant(self, tenant_id: str) -> Tenant | None:
        row = self._one("get_tenant", tenant_id)
        return None if row is None else _tenant(row)

    def tenants(self) -> list[Tenant]:
        return [_tenant(row) for row in self._all("list_tenants")]

    # Projects

    def insert_project(self, project: Project) -> bool:
        with self._durable() as connection:
            made = connection.execute(
                self._sql["insert_project"],
                (
                    project.id,
                    project.tenant_id,
                    project.name,
                    project.slug,
                    project.status,
                    project.dns_status,
                    _settings_text(project.deployed),
                    _settings_text(project.draft),
                    project.created_at,
                ),
            ).fetchall()
        return bool(made)

    def update_project(self, project: Project) -> None:
        self._write(("update_project", project.name, project.status, project.id))

    def save_settings(
        self,
        project_id: str,
        deployed: ProjectSettings,
        draft: ProjectSettings | None,
        *,
        events: Sequence[Event] = (),
    ) -> None:
        self._write(("save_settings", _settings_text(deployed), _settings_text(draft), project_id), events=events)

    def delete_project(self, project_id: str, at: int) -> None:
        self._write(
            ("delete_project", project_id),
            ("revoke_keys_of_project", at, project_id),
            ("delete_budgets_of_project", at, project_id),
            ("delete_webhooks_of_project", project_id),
            ("delete_tiers_of_project", at, project_id),
        )

    def project(self, project_id: str) -> Project | None:
        row = self._one("get_project", project_id)
        return None if row is None else _project(row)

    def projects(self, tenant_id: str | None) -> list[Project]:
        return [_project(row) for row in self._all("list_projects", tenant_id)]

    # API keys

    def insert_key(self, key: KeyRecord) -> None:
        self._write(_insert_key(key))

    def key(self, project_id: str, key_id: str) -> KeyRecord | None:
        row = self._one("get_key", project_id, key_id)
        return None if row is None else _key(row)

    def keys(self, project_id: str | None) -> list[KeyRecord]:
        return [_key(row) for row in self._all("list_keys", project_id)]

    def revoke_key(self, key_id: str, at: int, *, events: Sequence[Event] = ()) -> None:
        self._write(("revoke_key", at, key_id), events=events)

    def replace_key(self, key_id: str, key: KeyRecord, *, events: Sequence[Event] = ()) -> None:
        self._write(("revoke_key", key.created_at, key_id), _insert_key(key), events=events)

    # Tenants' signing keys

    def insert_signing_key(self, key: SigningKey) -> None:
        self._write(("insert_signing_key", key.kid, key.tenant_id, key.name, key.public_pem, key.created_at))

    def signing_key(self, kid: str) -> SigningKey | None:
        row = self._one("get_signing_key", kid)
        return None if row is None else _signing_key(row)

    def signing_key_of(self, public_pem: str) -> SigningKey | None:
        row = self._one("get_signing_key_of", public_pem)
        return None if row is None else _signing_key(row)

    def signing_keys(self, tenant_id: str | None) -> list[SigningKey]:
        return [_signing_key(row) for row in self._all("list_signing_keys", tenant_id)]

    def revoke_signing_key(self, kid: str, at: int, *, events: Sequence[Event] = ()) -> None:
        self._write(("revoke_signing_key", at, kid), events=events)

    # Budgets

    def insert_budget(self, budget: Budget, user_ref: int | None) -> None:
        self._write(
            (
                "insert_budget",
                budget.id,
                budget.tenant_id,
                budget.project_id,
                budget.scope,
                user_ref,
                None if budget.scope == "user" else budget.subject,
                budget.unit,
                budget.window,
                budget.hours,
                budget.timezone,
                budget.limit,
                budget.mode,
                _thresholds_text(budget),
                budget.created_at,
            )
        )

    def budgets(self, project_id: str | None) -> list[Budget]:
        return [_budget(row) for row in self._all("list_budgets", project_id)]

    def tenant_budgets(self, tenant_id: str | None) -> list[Budget]:
        return [_budget(row) for row in self._all("list_tenant_budgets", tenant_id)]

    def update_budget(self, budget: Budget) -> None:
        self._write(("update_budget", budget.limit, budget.mode, _thresholds_text(budget), budget.id))

    def delete_budget(self, budget_id: str, at: int) -> None:
        self._write(("delete_budget", at, budget_id))

    def add_top_up(self, record: TopUp) -> None:
        self._write(
            (
                "insert_top_up",
                record.id,
                record.budget_id,
                record.amount,
                record.note,
                record.added_by,
                record.added_at,
            ),
            ("raise_budget", record.amount, record.budget_id),
        )

    def top_up(self, budget_id: str, top_up_id: str) -> TopUp | None:
        row = self._one("get_top_up", budget_id, top_up_id)
        return None if row is None else _top_up(row)

    def top_ups(self, budget_id: str) -> list[TopUp]:
        return [_top_up(row) for row in self._all("list_top_ups", budget_id)]

    # Tiers

    def put_tier(self, project_id: str, tier: Tier) -> None:
        said = msgspec.json.encode(tier.overrides.given()).decode()
        self._write(("put_tier", tier.id, project_id, tier.number, tier.name, said, tier.created_at))

    def delete_tier(self, project_id: str, name: str, at: int) -> None:
        self._write(("delete_tier", at, project_id, name))

    def tiers(self, project_id: str) -> list[Tier]:
        return [_tier(row) for row in self._all("list_tiers", project_id)]

    def tiers_by_project(self) -> dict[str, list[Tier]]:
        found: dict[str, list[Tier]] = {}
        for row in self._all("list_tiers", None):
            found.setdefault(row[0], []).append(_tier(row))
        return found

    # Kill switches

    def put_switch(self, record: SwitchRecord, *, events: Sequence[Event] = ()) -> None:
        where = _switch_columns(record)
        self._write(
            ("put_switch", *where, record.reason, record.set_by, record.set_at),
            ("insert_switch_change", "on", *where, record.reason, record.set_by, record.set_at),
            events=events,
        )

    def delete_switch(
        self, record: SwitchRecord, *, by: str, reason: str, at: int, events: Sequence[Event] = ()
    ) -> None:
        where = _switch_columns(record)
        change = ("insert_switch_change", "off", *where, reason, by, at)
        self._write(("delete_switch", *where[:3]), change, events=events)

    def switches(self, tenant_id: str | None) -> list[SwitchRecord]:
        return [_switch(row) for row in self._all("list_switches", tenant_id)]

    def switch_changes(self, tenant_id: str | None, limit: int) -> list[SwitchChange]:
        return [_switch_change(row) for row in self._all("list_switch_changes", tenant_id, limit)]

    # The gateway's own signing keys

    def minting_keys(self) -> list[MintingKey]:
        return [_minting_key(row) for row in self._all("list_minting_keys")]

    def add_minting_key(self, key: MintingKey, *, revoke_others: bool) -> None:
        self._write(
            ("revoke_minting_keys" if revoke_others else "retire_minting_keys", key.created_at),
            ("insert_minting_key", key.kid, key.public_pem, key.sealed, key.created_at),
        )

    @property
    def has_sealed(self) -> bool:
        """Something is sealed under the master key, which must therefore exist."""
        row = self._one("sealed_count")
        return row is not None and row[0] > 0


def _settings_text(settings: ProjectSettings | None) -> str | None:
    return None if settings is None else msgspec.json.encode(settings).decode()


def _settings(text: str) -> ProjectSettings:
    return msgspec.json.decode(text, type=ProjectSettings)


def _tenant(row: Row) -> Tenant:
    tenant_id, name, plan, created_at = row
    return Tenant(id=tenant_id, name=name, plan=plan, created_at=created_at)


def _project(row: Row) -> Project:
    project_id, tenant_id, name, slug, status, dns_status, deployed, draft, created_at = row
    return Project(
        id=project_id,
        tenant_id=tenant_id,
        name=name,
        slug=slug,
        status=status,
        dns_status=dns_status,
        deployed=_settings(deployed),
        draft=None if draft is None else _settings(draft),
        created_at=created_at,
    )


def _insert_key(key: KeyRecord) -> tuple[Any, ...]:
    return (
        "insert_key",
        key.id,
        key.project_id,
        key.name,
        key.role,
        key.lookup,
        key.hash,
        key.last4,
        key.created_at,
    )


def _key(row: Row) -> KeyRecord:
    key_id, project_id, name, role, lookup, hashed, last4, created_at = row
    return KeyRecord(
        id=key_id,
        project_id=project_id,
        name=name,
        role=role,
        lookup=lookup,
        hash=hashed,
        last4=last4,
        created_at=created_at,
    )


def _signing_key(row: Row) -> SigningKey:
    kid, tenant_id, name, public_pem, created_at, revoked_at = row
    return SigningKey(
        kid=kid, tenant_id=tenant_id, name=name, public_pem=public_pem, created_at=created_at, revoked_at=revoked_at
    )


def _thresholds_text(budget: Budget) -> str:
    return ",".join(map(str, budget.thresholds))


def _budget(row: Row) -> Budget:
    (
        budget_id, tenant_id, project_id, scope, user_id, subject, unit, window, hours, timezone, amount, mode,
        thresholds, created_at,
    ) = row  # fmt: skip
    return Budget(
        id=budget_id,
        tenant_id=tenant_id,
        project_id=project_id,
        scope=scope,
        subject=user_id if scope == "user" else subject,
        unit=unit,
        window=window,
        hours=hours,
        timezone=timezone,
        limit=amount,
        mode=mode,
        thresholds=tuple(map(int, thresholds.split(","))) if thresholds else (),
        created_at=created_at,
    )


def _top_up(row: Row) -> TopUp:
    top_up_id, budget_id, amount, note, added_by, added_at = row
    return TopUp(id=top_up_id, budget_id=budget_id, amount=amount, note=note, added_by=added_by, added_at=added_at)


def _tier(row: Row) -> Tier:
    _, tier_id, number, name, overrides, created_at = row
    said = msgspec.json.decode(overrides, type=TierValues)
    return Tier(id=tier_id, number=number, name=name, overrides=said, created_at=created_at)


def _switch_columns(record: SwitchRecord) -> tuple[str, str, int, str | None]:
    """Scope, target, user and tenant, as columns; the user's id stays in `users`."""
    switch = record.switch
    target = switch.target.partition("/")[0] if switch.scope == "user" else switch.target
    return switch.scope, target, record.user_ref, record.tenant_id


def _named_switch(scope: SwitchScope, target: str, user_id: str | None) -> Switch:
    return Switch(scope=scope, target=user_target(target, user_id or "") if scope == "user" else target)


def _switch(row: Row) -> SwitchRecord:
    scope, target, user_ref, user_id, tenant_id, reason, set_by, set_at = row
    return SwitchRecord(
        switch=_named_switch(scope, target, user_id),
        user_ref=user_ref,
        tenant_id=tenant_id,
        reason=reason,
        set_by=set_by,
        set_at=set_at,
    )


def _switch_change(row: Row) -> SwitchChange:
    turned, scope, target, _, user_id, _, reason, changed_by, changed_at = row
    return SwitchChange(
        is_on=turned == "on",
        switch=_named_switch(scope, target, user_id),
        reason=reason,
        changed_by=changed_by,
        changed_at=changed_at,
    )


def _minting_key(row: Row) -> MintingKey:
    kid, public_pem, sealed, created_at, retired_at = row
    return MintingKey(kid=kid, public_pem=public_pem, sealed=sealed, created_at=created_at, retired_at=retired_at)
