"""Kill switches as the management plane keeps them: who may throw which, what is written down, what is published."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import Any

import apsw
import httpx
import pytest
from behest_gateway.core.errors import GatewayError

from .conftest import SECRET, Management
from .test_access import refusal

SWITCHES = "/v1/admin/kill-switches"
CHANGES = "/v1/admin/kill-switch-changes"


async def admin_of(management: Management, project: str) -> httpx.AsyncClient:
    """An admin of the tenant of a project."""
    return management.client(await management.token((await management.key(project, "admin"))["key"], "boss"))


def without_times(answer: httpx.Response) -> list[dict[str, Any]]:
    """The entries of a list, whose times are checked to be there."""
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["data"]
    return [{k: v for k, v in entry.items() if k not in ("set_at", "changed_at")} for entry in entries]


async def test_an_operator_throws_every_switch_with_either_header(management: Management) -> None:
    tenant = await management.tenant()
    project = await management.project(tenant)
    operator = management.client(None, **{"X-Admin-Secret": SECRET})
    paths = ["global", f"tenant/{tenant}", f"project/{project}", f"user/{project}/ada", "model/meta/llama-4"]

    for path in paths:
        put = await operator.put(f"{SWITCHES}/{path}", json={"reason": "too dear"})
        got = await operator.get(f"{SWITCHES}/{path}")
        assert (put.status_code, got.status_code, got.json()) == (200, 200, put.json())

    listed = without_times(await management.client().get(SWITCHES))
    targets = [None, tenant, project, f"{project}/ada", "meta/llama-4"]
    scopes = ["global", "tenant", "project", "user", "model"]
    assert sorted(listed, key=lambda e: scopes.index(e["scope"])) == [
        {"scope": scope, "target": target, "reason": "too dear", "set_by": "operator"}
        for scope, target in zip(scopes, targets, strict=True)
    ]
    assert set(management.directory.switches()) == set(management.restarted().switches())
    assert len(management.directory.switches()) == 5

    for path in paths:
        assert (await operator.delete(f"{SWITCHES}/{path}")).status_code == 204
        assert refusal(await operator.get(f"{SWITCHES}/{path}")) == (404, "NOT_FOUND")
    assert (management.directory.switches(), management.restarted().switches()) == ({}, {})


async def test_throwing_a_switch_twice_changes_nothing_and_is_written_down_once(management: Management) -> None:
    project = await management.project()
    operator, path = management.client(), f"{SWITCHES}/project/{project}"

    first = await operator.put(path, json={"reason": "loop"})
    again = [
        await operator.put(path),
        await operator.put(path, json={}),
        await operator.put(path, json={"reason": "loop"}),
    ]
    another = await operator.put(path, json={"reason": "a worse loop"})
    off = [await operator.delete(path, params={"reason": "mended"}), await operator.delete(path)]

    assert [answer.json() for answer in again] == [first.json()] * 3
    assert another.json()["reason"] == "a worse loop"
    assert [answer.status_code for answer in off] == [204, 204]
    entry = {"scope": "project", "target": project, "changed_by": "operator"}
    assert without_times(await operator.get(CHANGES)) == [
        {"turned": "off", "reason": "mended", **entry},
        {"turned": "on", "reason": "a worse loop", **entry},
        {"turned": "on", "reason": "loop", **entry},
    ]


async def test_an_admin_throws_the_switches_of_their_own_tenant_alone(management: Management) -> None:
    mine, other = await management.tenant("Mine"), await management.tenant("Other")
    project, hidden = await management.project(mine), await management.project(other)
    admin, operator = await admin_of(management, project), management.client()

    for path in (f"tenant/{mine}", f"project/{project}", f"user/{project}/ada"):
        put = await admin.put(f"{SWITCHES}/{path}", json={})
        assert (put.status_code, put.json()["set_by"]) == (200, "admin boss")
        assert (await admin.delete(f"{SWITCHES}/{path}")).status_code == 204

    for path in (f"project/{hidden}", f"user/{hidden}/ada"):
        await operator.put(f"{SWITCHES}/{path}", json={})
        answers = [await call(f"{SWITCHES}/{path}") for call in (admin.put, admin.delete, admin.get)]
        assert [refusal(answer) for answer in answers] == [(404, "NOT_FOUND")] * 3
    for path in ("global", "model/gpt-4o-mini", f"tenant/{other}"):
        await operator.put(f"{SWITCHES}/{path}", json={})
        answers = [await call(f"{SWITCHES}/{path}") for call in (admin.put, admin.delete)]
        assert [refusal(answer) for answer in answers] == [(403, "FORBIDDEN")] * 2

    assert without_times(await admin.get(SWITCHES)) == []
    assert {entry["target"] for entry in without_times(await admin.get(CHANGES))} == {mine, project, f"{project}/ada"}
    assert len(management.directory.switches()) == 5


async def test_an_admin_does_not_lift_what_an_operator_turned_off(management: Management) -> None:
    project = await management.project()
    admin, path = await admin_of(management, project), f"{SWITCHES}/project/{project}"
    thrown = (await management.client().put(path, json={"reason": "unpaid"})).json()

    lifted, renamed = await admin.delete(path), await admin.put(path, json={"reason": "mine"})
    repeated = await admin.put(path)

    assert [refusal(lifted), refusal(renamed)] == [(403, "FORBIDDEN")] * 2
    assert (repeated.json(), without_times(await admin.get(SWITCHES))[0]["set_by"]) == (thrown, "operator")
    assert len(management.directory.switches()) == 1


async def test_a_user_called_operator_is_not_taken_for_one(management: Management) -> None:
    project = await management.project()
    key = (await management.key(project, "admin"))["key"]
    admin, path = management.client(await management.token(key, "operator")), f"{SWITCHES}/project/{project}"

    assert (await admin.put(path)).json()["set_by"] == "admin operator"
    assert (await admin.delete(path)).status_code == 204


async def test_a_users_token_and_nobody_throw_nothing(management: Management) -> None:
    project = await management.project()
    user = management.client(await management.token((await management.key(project))["key"]))

    for client, refused in ((user, (403, "FORBIDDEN")), (management.client(None), (401, "INVALID_TOKEN"))):
        answers = [
            await client.get(SWITCHES),
            await client.get(CHANGES),
            await client.put(f"{SWITCHES}/global"),
            await client.delete(f"{SWITCHES}/project/{project}"),
        ]
        assert [refusal(answer) for answer in answers] == [refused] * 4


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("galaxy", 400),
        ("galaxy/x", 400),
        ("tenant", 400),
        ("global/x", 400),
        ("user/no-slash", 400),
        ("user/p/system", 400),
        ("model/a%20b", 400),
        ("model/" + "m" * 201, 400),
        ("tenant/none", 404),
        ("project/none", 404),
        ("user/none/ada", 404),
    ],
)
async def test_a_switch_that_is_none_is_refused(management: Management, path: str, status: int) -> None:
    answer = await management.client().put(f"{SWITCHES}/{path}", json={})

    assert refusal(answer)[0] == status
    assert management.directory.switches() == {}


@pytest.mark.parametrize("body", [{"reason": "x" * 501}, {"reason": "a\nb"}, {"reason": 7}, {"why": "x"}, []])
async def test_a_reason_that_is_none_is_refused(management: Management, body: Any) -> None:
    assert refusal(await management.client().put(f"{SWITCHES}/global", json=body)) == (400, "VALIDATION_ERROR")


async def test_the_switch_of_a_project_that_ended_can_still_be_turned_off(management: Management) -> None:
    project = await management.project()
    path = f"{SWITCHES}/project/{project}"
    await management.client().put(path)
    await management.client().delete(f"/v1/projects/{project}")

    assert (await management.client().delete(path)).status_code == 204
    assert management.directory.switches() == {}


async def test_what_was_written_down_cannot_be_changed(management: Management) -> None:
    await management.client().put(f"{SWITCHES}/global", json={"reason": "x"})

    for statement in ("update switch_changes set reason = ''", "delete from switch_changes"):
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            management.database.connection.execute(statement)


async def test_the_switch_of_an_erased_user_is_gone_and_their_id_with_it(management: Management) -> None:
    project = await management.project()
    await management.client().put(f"{SWITCHES}/user/{project}/ada", json={})
    with management.database.transaction() as connection:
        connection.execute("update users set uid = null")

    assert (await management.client().get(SWITCHES)).json() == {"data": []}
    assert "ada" not in (await management.client().get(CHANGES)).text
    assert management.restarted().switches() == {}


@pytest.mark.parametrize("scope", ["global", "tenant", "project", "user"])
async def test_nothing_is_minted_for_what_is_turned_off(management: Management, scope: str) -> None:
    tenant = await management.tenant()
    project = await management.project(tenant)
    key = (await management.key(project))["key"]
    target = {"global": "", "tenant": f"/{tenant}", "project": f"/{project}", "user": f"/{project}/ada"}[scope]
    await management.client().put(f"{SWITCHES}/{scope}{target}", json={})

    with pytest.raises(GatewayError) as caught:
        await management.token(key, "ada")
    details = caught.value.details or {}
    assert (caught.value.code, details["reason"], details["scope"]) == ("forbidden", "killed", scope)
    if scope == "user":
        assert await management.token(key, "bob")

    await management.client().delete(f"{SWITCHES}/{scope}{target}")
    assert await management.token(key, "ada")
