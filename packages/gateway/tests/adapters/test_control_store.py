"""What the management plane writes is on the disk, and comes back as it was written."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from behest_gateway.adapters.sql.control import ControlStore
from behest_gateway.adapters.sql.database import Database
from behest_gateway.control.records import KeyRecord, Project, Tenant
from behest_gateway.core.budgets import Budget
from behest_gateway.core.snapshot import ProjectSettings

TENANT = Tenant(id="t1", name="Acme", plan="free", created_at=1)
PROJECT = Project(id="p1", tenant_id="t1", name="Chat", slug="chat", created_at=2)
KEY = KeyRecord(id="k1", project_id="p1", name="n", role="user", lookup="l" * 64, hash="h", last4="abcd", created_at=3)


@pytest.mark.parametrize(("synchronous", "usual"), [("normal", 1), ("full", 2)])
def test_a_change_is_committed_to_the_disk_and_leaves_the_ledgers_own_pace_alone(
    tmp_path: Path, synchronous: str, usual: int
) -> None:
    database = Database(tmp_path, synchronous=synchronous)
    store = ControlStore(database)
    store.insert_tenant(TENANT)
    store.insert_project(PROJECT)
    store.insert_key(KEY)
    said: list[str] = []

    def listen(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        said.append(" ".join(sql.split()[:4]))
        return True

    database.connection.exec_trace = listen
    store.revoke_key("k1", 4)
    database.connection.exec_trace = None

    assert said == [
        "pragma synchronous = full",
        "begin immediate",
        "update api_keys set revoked_at",
        "commit",
        f"pragma synchronous = {usual}",
    ]
    assert next(database.connection.execute("pragma synchronous")) == (usual,)
    database.close()


def test_a_write_that_fails_changes_nothing_and_leaves_the_pace_alone(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store = ControlStore(database)

    with pytest.raises(apsw.ConstraintError):
        store.insert_project(PROJECT)

    assert store.project("p1") is None
    assert next(database.connection.execute("pragma synchronous")) == (1,)
    database.close()


def test_rows_come_back_as_they_were_written_after_a_restart(tmp_path: Path) -> None:
    settings = ProjectSettings(allowed_models=("a", "b"), allowed_origins=("https://a.example",), system_prompt="é\n")
    project = replace(PROJECT, deployed=settings, draft=replace(settings, rpm_limit=7))
    budget = Budget(id="b1", tenant_id="t1", project_id="p1", scope="each_user", window="day", limit=5, created_at=4)
    database = Database(tmp_path)
    store = ControlStore(database)
    store.insert_tenant(TENANT)
    assert store.insert_project(project)
    store.insert_key(KEY)
    store.insert_budget(budget, None)
    database.close()

    database = Database(tmp_path)
    store = ControlStore(database)

    assert (store.tenants(), store.projects(None)) == ([TENANT], [project])
    assert (store.keys("p1"), store.budgets(None)) == ([KEY], [budget])
    database.close()


def test_settings_of_an_older_or_a_newer_gateway_are_read(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store = ControlStore(database)
    store.insert_tenant(TENANT)
    store.insert_project(PROJECT)
    with database.transaction() as connection:
        connection.execute('update projects set deployed = \'{"rpm_limit": 5, "of_tomorrow": true}\'')

    (read,) = store.projects("t1")

    assert read.deployed == ProjectSettings(rpm_limit=5)
    database.close()


def test_the_budget_of_an_erased_user_counts_no_more(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store = ControlStore(database)
    store.insert_tenant(TENANT)
    store.insert_project(PROJECT)
    with database.transaction() as connection:
        connection.execute("insert into users (id, project_id, uid, created_at) values (1, 'p1', 'u_1', 0)")
    budget = Budget(
        id="b1", tenant_id="t1", project_id="p1", scope="user", subject="u_1", window="day", limit=5, created_at=4
    )
    store.insert_budget(budget, 1)
    assert store.budgets("p1") == [budget]

    with database.transaction() as connection:
        connection.execute("update users set uid = null")

    assert store.budgets("p1") == []
    database.close()
