"""Events as the management plane tells them: who hears what, in which words, and how a stream begins and ends."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from behest_gateway.adapters.sql.events import add
from behest_gateway.control import events as reading
from behest_gateway.control.access import Actor
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.events import FIELDS, new_event

from .conftest import SECRET, Management
from .test_access import refusal

EVERY = ("id", "type", "tenant_id", "project_id", "timestamp")


async def events(client: httpx.AsyncClient, path: str, **params: str) -> list[dict[str, str]]:
    """A page of events."""
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    page: list[dict[str, str]] = answer.json()["data"]
    return page


def own(event: dict[str, str]) -> dict[str, str]:
    """The type and the fields of its own; those of every event are checked to be there."""
    assert set(EVERY) <= set(event)
    assert all(isinstance(value, str) for value in event.values())
    assert abs(float(event["timestamp"]) - 1.7e9) < 1e9
    assert set(event) == {*EVERY, *FIELDS[event["type"]]}
    return {name: value for name, value in event.items() if name not in EVERY or name == "type"}


async def test_a_deploy_is_told_with_the_names_of_what_changed_and_no_value(management: Management) -> None:
    project = await management.project()
    operator, path = management.client(), f"/v1/projects/{project}"

    await operator.put(f"{path}/settings", json={"system_prompt": "a canary", "rpm_limit": 7})
    assert await events(operator, f"{path}/events") == []
    await operator.post(f"{path}/deploy")

    (event,) = await events(operator, f"{path}/events")
    assert own(event) == {"type": "config_deployed", "changed": "rpm_limit,system_prompt", "by": "operator"}
    assert event["project_id"] == project
    assert "canary" not in str(event)


async def test_a_key_that_is_revoked_or_exchanged_is_told_by_its_id(management: Management) -> None:
    project = await management.project()
    first, second = await management.key(project), await management.key(project)
    admin = management.client(await management.token((await management.key(project, "admin"))["key"], "boss"))

    await admin.delete(f"/v1/projects/{project}/keys/{first['id']}")
    await admin.post(f"/v1/projects/{project}/keys/{second['id']}/rotate")

    told = await events(admin, f"/v1/projects/{project}/events")
    shared = {"type": "key_revoked", "kind": "api_key", "name": "default", "by": "admin boss"}
    assert [own(event) for event in told] == [
        {**shared, "key_id": first["id"], "reason": "revoked"},
        {**shared, "key_id": second["id"], "reason": "rotated"},
    ]
    assert first["key"] not in str(told)


async def test_a_signing_key_that_is_revoked_is_told_to_each_project_of_its_tenant(management: Management) -> None:
    tenant, other = await management.tenant("A"), await management.tenant("B")
    one, two, stranger = [await management.project(owner) for owner in (tenant, tenant, other)]
    key = await management.made("/v1/signing-keys", {"tenant_id": tenant})

    await management.client().delete(f"/v1/signing-keys/{key['kid']}")

    told = [await events(management.client(), f"/v1/projects/{project}/events") for project in (one, two, stranger)]
    assert [own(event) for event in told[0]] == [
        {
            "type": "key_revoked", "key_id": key["kid"], "kind": "signing_key", "name": "default", "reason": "revoked",
            "by": "operator",
        }
    ]  # fmt: skip
    assert (told[1], told[2]) == (told[0], [])
    assert (told[0][0]["tenant_id"], told[0][0]["project_id"]) == (tenant, "")


async def test_kill_switches_are_told_to_those_whom_they_concern(management: Management) -> None:
    tenant, other = await management.tenant("A"), await management.tenant("B")
    project, sibling, stranger = [await management.project(owner) for owner in (tenant, tenant, other)]
    operator, switches = management.client(), "/v1/admin/kill-switches"
    for path in ("global", f"tenant/{tenant}", f"project/{project}", f"user/{project}/ada", "model/gpt-4o"):
        await operator.put(f"{switches}/{path}", json={"reason": "too dear"})
        await operator.put(f"{switches}/{path}", json={"reason": "too dear"})
    await operator.delete(f"{switches}/model/gpt-4o", params={"reason": "mended"})
    await operator.delete(f"{switches}/model/gpt-4o")

    heard = {
        name: [
            (event["type"], event["scope"], event["target"], event["reason"])
            for event in await events(operator, f"/v1/projects/{name}/events")
        ]
        for name in (project, sibling, stranger)
    }
    on, off = "kill_switch_on", "kill_switch_off"
    everywhere = (on, "global", "", "")
    of_model = [(on, "model", "gpt-4o", ""), (off, "model", "gpt-4o", "")]
    of_tenant = (on, "tenant", tenant, "too dear")
    assert heard == {
        project: [
            everywhere, of_tenant, (on, "project", project, "too dear"), (on, "user", f"{project}/ada", "too dear"),
            *of_model,
        ],
        sibling: [everywhere, of_tenant, *of_model],
        stranger: [everywhere, *of_model],
    }  # fmt: skip
    assert len(await events(operator, "/v1/events")) == 6
    assert {own(event)["by"] for event in await events(operator, "/v1/events")} == {"operator"}


async def test_a_change_that_fails_is_not_told_and_an_event_that_fails_changes_nothing(management: Management) -> None:
    project = await management.project()
    key = await management.key(project)
    with management.database.transaction() as connection:
        connection.execute("create trigger broken before insert on events begin select raise(abort, 'full'); end")

    answer = await management.client().delete(f"/v1/projects/{project}/keys/{key['id']}")

    assert answer.status_code == 500
    assert [kept.id for kept in management.store.keys(project)] == [key["id"]]


async def test_pages_go_on_from_where_the_last_one_ended(management: Management) -> None:
    project = await management.project()
    told = [new_event("config_deployed", tenant_id="t", project_id=project, at=n) for n in range(5)]
    with management.database.transaction() as connection:
        add(connection, told)
    path, seen, since = f"/v1/projects/{project}/events", list[str](), "0"
    for _ in range(4):
        answer = (await management.client().get(path, params={"limit": "2", "since": since})).json()
        seen += [event["id"] for event in answer["data"]]
        since = answer["next"]

    assert seen == [event.id for event in told]
    assert (await management.client().get(path, params={"since": since})).json() == {"data": [], "next": since}
    assert await events(management.client(), path, type="key_revoked") == []


ANY, STREAM = "*/*", "text/event-stream"


@pytest.mark.parametrize(
    ("accept", "params"),
    [
        *((accept, params) for accept in (ANY, STREAM) for params in ({"type": "galaxy"}, {"since": "now"})),
        *((ANY, {"limit": limit}) for limit in ("0", "1001", "x")),
    ],
)
async def test_a_parameter_that_is_none_is_refused_by_name(
    management: Management, params: dict[str, str], accept: str
) -> None:
    project = await management.project()

    answer = await management.client(Accept=accept).get(f"/v1/projects/{project}/events", params=params)

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert next(iter(params)) in answer.json()["message"]


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_only_admins_of_the_tenant_and_operators_hear_anything(management: Management, accept: str) -> None:
    mine, other = await management.project(), await management.project()
    admin = await management.token((await management.key(mine, "admin"))["key"])
    user = await management.token((await management.key(mine))["key"])

    async def asked(bearer: str | None, path: str) -> tuple[int, str]:
        return refusal(await management.client(bearer, Accept=accept).get(path))

    assert await asked(admin, f"/v1/projects/{other}/events") == (404, "NOT_FOUND")
    assert await asked(admin, "/v1/events") == (403, "FORBIDDEN")
    assert await asked(user, f"/v1/projects/{mine}/events") == (403, "FORBIDDEN")
    assert await asked(None, f"/v1/projects/{mine}/events") == (401, "INVALID_TOKEN")
    assert (await management.client(admin).get(f"/v1/projects/{mine}/events")).status_code == 200


async def test_a_stream_ends_when_its_reader_may_read_no_longer(
    management: Management, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "HEARTBEAT_SECONDS", 0.02)
    project = await management.project()
    allowed = True

    async def still() -> Actor:
        if not allowed:
            raise GatewayError("invalid_token", "Revoked.")
        return Actor()

    pages = await management.services.events.follow(Actor(), project, since=None, type_=None, still=still)
    async with asyncio.timeout(5):
        assert [await anext(pages) for _ in range(3)] == [[], [], []]
        allowed = False
        assert [page async for page in pages if page] == []


async def test_there_are_only_so_many_streams_and_one_that_ends_makes_room(
    management: Management, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_READERS_OF_A_PROJECT", 2)
    project, other = await management.project(), await management.project()
    services = management.services.events

    async def still() -> Actor:
        return Actor()

    async def opened(of: str) -> Any:
        pages = await services.follow(Actor(), of, since=None, type_=None, still=still)
        await anext(pages)
        return pages

    first, second = await opened(project), await opened(project)
    with pytest.raises(GatewayError) as caught:
        await opened(project)
    assert (caught.value.status, caught.value.retryable) == (503, True)
    elsewhere = await opened(other)
    await first.aclose()
    third = await opened(project)
    for pages in (second, third, elsewhere):
        await pages.aclose()


async def test_the_secret_of_an_operator_is_in_no_event(management: Management) -> None:
    project = await management.project()
    await management.client(None, **{"X-Admin-Secret": SECRET}).put(f"/v1/admin/kill-switches/project/{project}")

    assert SECRET not in str(await events(management.client(), "/v1/events"))
