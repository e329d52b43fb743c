"""Requests a minute: for a project and for each of its users, with a time to wait that is true."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from ..conftest import NewWorld
from ..support.world import World, messages


def refusal(answer: httpx.Response) -> dict[str, Any]:
    """The details of a 429, after its headers were looked at."""
    assert answer.status_code == 429, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limited", "rate_limit_error")
    assert answer.headers["x-should-retry"] == "true"
    assert f"Try again in {answer.headers['retry-after']} s." in error["message"]
    details: dict[str, Any] = error["details"]
    return details


def test_a_user_above_their_rate_waits_while_another_goes_on(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=1000, user_rpm_limit=2)

    statuses = [world.chat().status_code for _ in range(2)]
    refused = world.chat()

    assert statuses == [200, 200]
    assert refusal(refused) == {"scope": "user", "limit": 2, "window": "minute"}
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert world.chat(user_id="another").status_code == 200
    assert world.chat(stream=True).status_code == 429


def test_a_project_above_its_rate_waits_whoever_asks(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=3, user_rpm_limit=1000)

    statuses = [world.chat(user_id=f"user-{number}").status_code for number in range(3)]
    refused = world.chat(user_id="user-4")

    assert statuses == [200, 200, 200]
    assert refusal(refused) == {"scope": "project", "limit": 3, "window": "minute"}
    assert 15 <= int(refused.headers["retry-after"]) <= 20


@pytest.mark.parametrize(("project", "user"), [(60, 6), (10, 3), (1000, 100)])
def test_without_a_rate_of_their_own_users_get_a_tenth_of_the_projects_but_three_at_least(
    new_world: NewWorld, project: int, user: int
) -> None:
    world = new_world(rpm_limit=project, user_rpm_limit=None)

    if user > 10:
        return_codes = {world.chat().status_code for _ in range(10)}
        assert return_codes == {200}
        return
    assert [world.chat().status_code for _ in range(user)] == [200] * user
    assert refusal(world.chat())["limit"] == user


def test_who_waits_as_long_as_told_is_let_in(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=60, user_rpm_limit=60)

    answer = world.chat(model="no-such-model")
    for _ in range(70):
        if answer.status_code == 429:
            break
        answer = world.chat(model="no-such-model")
    refusal(answer)
    time.sleep(int(answer.headers["retry-after"]))

    assert world.chat().status_code == 200


def test_what_is_refused_for_its_rate_costs_nothing_and_is_not_written_down(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=1000, user_rpm_limit=1)
    world.budget(1)

    codes = [world.chat().status_code for _ in range(4)]

    assert codes == [200, 429, 429, 429]
    assert len(world.bill()) == 1
    assert [row.state for row in world.rows()] == ["settled"]
    assert world.holds() == {}


def test_looking_at_usage_and_models_takes_nothing_from_the_rate_of_chats(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=2, user_rpm_limit=2)

    reads = [world.client.get(path, headers=world.bearer()).status_code for path in ("/v1/usage", "/v1/models") * 5]

    assert reads == [200] * 10
    assert [world.chat().status_code for _ in range(3)] == [200, 200, 429]
    assert world.client.get("/v1/usage", headers=world.bearer()).status_code == 200


def test_reading_has_a_rate_of_its_own(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=1, user_rpm_limit=1)

    answers = [world.client.get("/v1/models", headers=world.bearer()) for _ in range(21)]

    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert refusal(answers[-1]) == {"scope": "user", "limit": 20, "window": "minute"}


def test_a_refused_token_takes_nothing_from_anybodys_rate(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=1, user_rpm_limit=1)
    expired = {"Authorization": f"Bearer {world.token(exp=1)}"}

    for _ in range(5):
        refused = world.client.post("/v1/chat/completions", json={"messages": messages()}, headers=expired)
        assert refused.status_code == 401

    assert world.chat().status_code == 200


def test_a_new_rate_is_in_force_once_it_is_deployed(world: World) -> None:
    world.manage("PUT", "/settings", {"user_rpm_limit": 1})
    assert [world.chat().status_code for _ in range(2)] == [200, 200]

    world.manage("POST", "/deploy")
    assert [world.chat().status_code for _ in range(2)] == [200, 429]
