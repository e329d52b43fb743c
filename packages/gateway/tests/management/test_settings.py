"""Settings are drafted, deployed and discarded; only what is deployed is published."""

from __future__ import annotations

from .conftest import Management
from .test_access import refusal


async def test_a_draft_takes_effect_when_it_is_deployed(management: Management) -> None:
    project = await management.project(settings={"rpm_limit": 5})
    operator, base = management.client(), f"/v1/projects/{project}"
    before = (await operator.get(f"{base}/settings")).json()

    drafted = await operator.put(f"{base}/settings", json={"provider_model": "gpt-4o", "allowed_models": ["o3"]})
    published = management.directory.project(project)
    deployed = await operator.post(f"{base}/deploy")
    after = management.directory.project(project)

    draft = {**before["deployed"], "provider_model": "gpt-4o", "allowed_models": ["o3"]}
    assert before == {"deployed": before["deployed"], "draft": None, "has_draft": False}
    assert drafted.status_code == 200
    assert drafted.json() == {"deployed": before["deployed"], "draft": draft, "has_draft": True}
    assert published is not None
    assert published.settings.provider_model == "gpt-4o-mini"
    assert deployed.status_code == 200
    assert deployed.json() == {"deployed": draft, "draft": None, "has_draft": False}
    assert after is not None
    assert (after.settings.provider_model, after.settings.allowed_models, after.settings.rpm_limit) == (
        "gpt-4o",
        ("o3",),
        5,
    )
    assert management.restarted().project(project) == after


async def test_a_second_draft_replaces_the_first(management: Management) -> None:
    project = await management.project()
    operator, base = management.client(), f"/v1/projects/{project}"

    await operator.put(f"{base}/settings", json={"rpm_limit": 7})
    second = (await operator.put(f"{base}/settings", json={"max_output_tokens": 100})).json()

    assert (second["draft"]["rpm_limit"], second["draft"]["max_output_tokens"]) == (60, 100)


async def test_a_draft_survives_a_restart_without_being_deployed(management: Management) -> None:
    project = await management.project()
    await management.client().put(f"/v1/projects/{project}/settings", json={"rpm_limit": 7})

    again = management.restarted().project(project)

    assert again is not None
    assert again.settings.rpm_limit == 60
    assert (await management.client().get(f"/v1/projects/{project}/settings")).json()["has_draft"] is True


async def test_there_must_be_a_draft_to_deploy_or_discard(management: Management) -> None:
    project = await management.project()
    operator, base = management.client(), f"/v1/projects/{project}"

    assert refusal(await operator.post(f"{base}/deploy")) == (409, "CONFLICT")
    assert refusal(await operator.delete(f"{base}/draft")) == (409, "CONFLICT")
    await operator.put(f"{base}/settings", json={})
    assert (await operator.delete(f"{base}/draft")).status_code == 204
    assert refusal(await operator.delete(f"{base}/draft")) == (409, "CONFLICT")


async def test_a_setting_that_is_not_known_is_refused_and_nothing_is_drafted(management: Management) -> None:
    project = await management.project()
    operator, base = management.client(), f"/v1/projects/{project}"

    answer = await operator.put(f"{base}/settings", json={"rpm_limit": 7, "temperature": 1})

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert "temperature" in answer.json()["message"]
    assert (await operator.get(f"{base}/settings")).json()["has_draft"] is False
