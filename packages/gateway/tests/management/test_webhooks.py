"""Webhooks as the management plane keeps them: secrets shown once, who may, what is refused."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from behest_gateway.adapters.sql.control import ControlStore
from behest_gateway.adapters.sql.database import Database
from behest_gateway.control import webhooks as rules
from behest_gateway.control.webhooks import SECRET_FIELD, Webhook

from .conftest import Management
from .test_access import refusal

URL = "https://hooks.example.com/behest"


async def made(management: Management, project: str, **more: Any) -> dict[str, Any]:
    """Make a webhook; the answer."""
    return await management.made(f"/v1/projects/{project}/webhooks", {"url": URL, **more})


def everything_kept(management: Management) -> str:
    """All that is in the data directory, as text."""
    connection, found = management.database.connection, list[str]()
    for (table,) in list(connection.execute("select name from sqlite_master where type = 'table'")):
        found += [repr(row) for row in connection.execute(f'select * from "{table}"')]
    return "\n".join(found)


async def test_a_secret_is_shown_once_and_kept_sealed(management: Management) -> None:
    project = await management.project()
    answer = await made(management, project, types=["key_revoked"])
    secret = answer.pop("secret")

    assert answer == {
        "id": answer["id"], "url": URL, "types": ["key_revoked"], "enabled": True, "disabled_reason": None,
        "overlap_until": None, "created_at": answer["created_at"],
    }  # fmt: skip
    path = f"/v1/projects/{project}/webhooks"
    assert (await management.client().get(path)).json() == {"data": [answer]}
    assert (await management.client().get(f"{path}/{answer['id']}")).json() == answer
    kept = everything_kept(management)
    assert secret not in kept
    assert repr(base64.b64decode(secret.removeprefix("whsec_"))) not in kept


async def test_a_new_secret_takes_over_and_the_old_one_stays_for_the_overlap(management: Management) -> None:
    project = await management.project()
    first = await made(management, project)
    path = f"/v1/projects/{project}/webhooks/{first['id']}"
    store, vault = management.webhooks, management.vault

    def secrets(webhook: Webhook | None) -> list[str]:
        assert webhook is not None
        sealed = [each for each in (webhook.sealed, webhook.earlier_sealed) if each is not None]
        place = {"owner": project, "kid": webhook.id, "field": SECRET_FIELD}
        return [vault.open(each, **place).decode() for each in sealed]

    second = (await management.client().post(f"{path}/rotate", json={"overlap_hours": 2})).json()
    assert secrets(store.webhook(project, first["id"])) == [second["secret"], first["secret"]]
    assert second["overlap_until"] is not None
    third = (await management.client().post(f"{path}/rotate", json={"overlap_hours": 0})).json()
    assert secrets(store.webhook(project, first["id"])) == [third["secret"]]
    assert third["overlap_until"] is None
    for hours in (-1, 169):
        answer = await management.client().post(f"{path}/rotate", json={"overlap_hours": hours})
        assert refusal(answer) == (400, "VALIDATION_ERROR")
        assert "overlap_hours" in answer.json()["message"]


async def test_a_webhook_is_changed_turned_off_and_dropped(management: Management) -> None:
    project = await management.project()
    webhook = await made(management, project)
    operator, path = management.client(), f"/v1/projects/{project}/webhooks/{webhook['id']}"

    off = (await operator.patch(path, json={"enabled": False, "types": ["budget_alert"]})).json()
    assert (off["enabled"], off["disabled_reason"], off["types"]) == (False, "owner", ["budget_alert"])
    assert refusal(await operator.post(f"{path}/test")) == (409, "CONFLICT")
    on = (await operator.patch(path, json={"enabled": True, "url": URL + "/2"})).json()
    assert (on["enabled"], on["disabled_reason"], on["url"]) == (True, None, URL + "/2")

    assert (await operator.delete(path)).status_code == 204
    assert refusal(await operator.get(path)) == (404, "NOT_FOUND")
    assert refusal(await operator.delete(path)) == (404, "NOT_FOUND")


async def test_a_test_event_goes_to_this_webhook_alone_and_can_be_replayed(management: Management) -> None:
    project = await management.project()
    one, two = await made(management, project), await made(management, project)
    operator, path = management.client(), f"/v1/projects/{project}/webhooks"

    sent = await operator.post(f"{path}/{one['id']}/test")
    listed = (await operator.get(f"{path}/{one['id']}/deliveries")).json()["data"]

    assert (sent.status_code, listed) == (202, [sent.json()])
    assert (sent.json()["state"], sent.json()["event"]["type"]) == ("pending", "webhook_test")
    assert (await operator.get(f"{path}/{two['id']}/deliveries")).json() == {"data": []}

    delivery = sent.json()["id"]
    management.webhooks.failed(delivery, at=1, status=500, error="the receiver answered 500", next_at=None)
    dead = (await operator.get(f"{path}/{one['id']}/deliveries", params={"state": "dead"})).json()["data"]
    assert [(d["id"], d["last_status"], d["next_attempt_at"]) for d in dead] == [(delivery, 500, None)]
    again = await operator.post(f"{path}/{one['id']}/deliveries/{delivery}/replay")
    assert (again.status_code, again.json()["state"], again.json()["attempts"]) == (202, "pending", 0)
    for unknown in ("999", "x", "-1", "9" * 30):
        answer = await operator.post(f"{path}/{one['id']}/deliveries/{unknown}/replay")
        assert refusal(answer) == (404, "NOT_FOUND")
    assert refusal(await operator.post(f"{path}/{two['id']}/deliveries/{delivery}/replay")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "http://hooks.example.com"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://169.254.169.254/"}, "url"),
        ({"url": 7}, "url"),
        ({"url": URL, "types": ["galaxy"]}, "types"),
        ({"url": URL, "types": ["webhook_test"]}, "types"),
        ({"url": URL, "types": "key_revoked"}, "types"),
        ({"url": URL, "secret": "mine"}, "secret"),
    ],
)
async def test_a_webhook_that_is_none_is_refused_by_field(
    management: Management, body: dict[str, Any], field: str
) -> None:
    project = await management.project()

    answer = await management.client().post(f"/v1/projects/{project}/webhooks", json=body)

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert field in answer.json()["message"]


@pytest.mark.parametrize("params", [{"state": "lost"}, {"limit": "0"}, {"limit": "1001"}])
async def test_a_list_of_deliveries_that_is_none_is_refused_by_name(
    management: Management, params: dict[str, str]
) -> None:
    project = await management.project()
    webhook = await made(management, project)

    answer = await management.client().get(f"/v1/projects/{project}/webhooks/{webhook['id']}/deliveries", params=params)

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert next(iter(params)) in answer.json()["message"]


async def test_a_tenant_sees_and_touches_its_own_webhooks_alone(management: Management) -> None:
    mine, other = await management.project(), await management.project()
    admin = management.client(await management.token((await management.key(mine, "admin"))["key"]))
    user = management.client(await management.token((await management.key(mine))["key"]))
    hidden = await made(management, other)

    own = await admin.post(f"/v1/projects/{mine}/webhooks", json={"url": URL})
    assert own.status_code == 201
    for client, refused in ((admin, (404, "NOT_FOUND")), (user, (403, "FORBIDDEN"))):
        path = f"/v1/projects/{other}/webhooks"
        answers = [
            await client.get(path),
            await client.post(path, json={"url": URL}),
            await client.get(f"{path}/{hidden['id']}"),
            await client.patch(f"{path}/{hidden['id']}", json={"enabled": False}),
            await client.delete(f"{path}/{hidden['id']}"),
            await client.post(f"{path}/{hidden['id']}/rotate"),
            await client.post(f"{path}/{hidden['id']}/test"),
            await client.get(f"{path}/{hidden['id']}/deliveries"),
            await client.post(f"{path}/{hidden['id']}/deliveries/1/replay"),
        ]
        assert [refusal(answer) for answer in answers] == [refused] * len(answers)
    assert refusal(await admin.get(f"/v1/projects/{mine}/webhooks/{hidden['id']}")) == (404, "NOT_FOUND")


async def test_a_project_has_only_so_many_webhooks(management: Management, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_WEBHOOKS", 2)
    project = await management.project()
    await made(management, project)
    await made(management, project)

    answer: httpx.Response = await management.client().post(f"/v1/projects/{project}/webhooks", json={"url": URL})
    assert refusal(answer) == (409, "CONFLICT")


async def test_a_project_that_ends_takes_its_webhooks_along(management: Management) -> None:
    project = await management.project()
    webhook = await made(management, project)
    await management.client().post(f"/v1/projects/{project}/webhooks/{webhook['id']}/test")

    await management.client().delete(f"/v1/projects/{project}")

    assert management.webhooks.webhooks(project) == []
    assert not management.webhooks.has_pending()


async def test_a_sealed_secret_needs_the_master_key(tmp_path: Path) -> None:
    database = Database(tmp_path)
    assert not ControlStore(database).has_sealed
    webhook = Webhook(id="w", tenant_id="t", project_id="p", url=URL, types=(), sealed=b"x", created_at=1)
    with database.transaction() as connection:
        connection.execute(
            "insert into webhooks values (?, ?, ?, ?, '[]', ?, null, null, 1, null, 1)",
            (webhook.id, webhook.tenant_id, webhook.project_id, webhook.url, webhook.sealed),
        )

    assert ControlStore(database).has_sealed
    database.close()
