"""Rates of addresses, users, API keys and projects: in requests, in tokens and in calls at once, and what they tell."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from ..conftest import NewWorld
from ..support.fields import List, read_list
from ..support.gateway import running_gateway
from ..support.provider import Provider
from ..support.world import CHAT, World, messages

HANG: Any = {"fault": {"kind": "hang", "after_tokens": 1}}
PATIENCE_SECONDS = 10


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
    assert refusal(refused) == {"scope": "user", "measure": "requests", "limit": 2, "window": "minute"}
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert world.chat(user_id="another").status_code == 200
    assert world.chat(stream=True).status_code == 429


def test_a_project_above_its_rate_waits_whoever_asks(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=3, user_rpm_limit=1000)

    statuses = [world.chat(user_id=f"user-{number}").status_code for number in range(3)]
    refused = world.chat(user_id="user-4")

    assert statuses == [200, 200, 200]
    assert refusal(refused) == {"scope": "project", "measure": "requests", "limit": 3, "window": "minute"}
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
    assert refusal(answers[-1]) == {"scope": "user", "measure": "requests", "limit": 20, "window": "minute"}


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


# -- API keys


def test_the_tokens_of_one_api_key_share_a_rate_and_those_of_none_have_none(new_world: NewWorld) -> None:
    world = new_world(key_rpm_limit=2)
    minted = [{"Authorization": f"Bearer {world.mint(user)['jwt']}"} for user in ("ann", "ben", "cem")]
    other_key = {"Authorization": f"Bearer {world.new_key()['key']}"}
    other = world.client.post("/v1/auth/mint", json={"user_id": "dan"}, headers=other_key).json()["jwt"]

    def ask(headers: dict[str, str]) -> httpx.Response:
        return world.client.post(CHAT, json={"messages": messages()}, headers=headers)

    answers = [ask(headers) for headers in minted]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert refusal(answers[-1]) == {"scope": "key", "measure": "requests", "limit": 2, "window": "minute"}
    assert ask({"Authorization": f"Bearer {other}"}).status_code == 200
    assert [world.chat().status_code for _ in range(3)] == [200] * 3  # signed by the tenant, minted by no key


# -- tokens a minute


def test_tokens_that_were_not_used_may_be_used_by_the_next_call(new_world: NewWorld) -> None:
    world = new_world(tpm_limit=5000)

    answers = [world.chat(max_tokens=4000) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    used = sum(answer.json()["usage"]["total_tokens"] for answer in answers)
    left = int(answers[-1].headers["x-ratelimit-remaining-tokens"])
    assert answers[-1].headers["x-ratelimit-limit-tokens"] == "5000"
    assert 5000 - used <= left <= 5000


@pytest.mark.parametrize(
    ("setting", "scope"), [("tpm_limit", "project"), ("user_tpm_limit", "user"), ("key_tpm_limit", "key")]
)
def test_tokens_are_refused_while_running_calls_may_need_them_and_then_nothing_else_is_taken(
    new_world: NewWorld, setting: str, scope: str
) -> None:
    world = new_world(**{setting: 5000})
    world.script({"when": {"contains": "wait"}, **HANG})
    bearer = {"Authorization": f"Bearer {world.mint()['jwt']}"}
    body = {"messages": messages("Do wait"), "stream": True, "max_tokens": 4000}

    with world.client.stream("POST", CHAT, json=body, headers=bearer) as running:
        refused = world.client.post(CHAT, json={"messages": messages(), "max_tokens": 1500}, headers=bearer)
        small = world.client.post(CHAT, json={"messages": messages(), "max_tokens": 100}, headers=bearer)

    details = refusal(refused)
    assert details == {
        "scope": scope, "measure": "tokens", "limit": 5000, "window": "minute", "needed": details["needed"]
    }  # fmt: skip
    assert 1500 < details["needed"] < 1800
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert small.status_code == 200
    before, after = (int(each.headers["x-ratelimit-remaining-requests"]) for each in (running, refused))
    assert after >= before
    assert f'"{scope}-tokens"' in refused.headers["ratelimit"]
    assert len(world.rows()) == 2


def test_a_call_that_is_larger_than_the_whole_minute_is_told_never_to_come_again(new_world: NewWorld) -> None:
    world = new_world(user_tpm_limit=1000)

    refused = world.chat(max_tokens=1000)

    error = refused.json()["error"]
    assert (refused.status_code, error["code"], refused.json()["retryable"]) == (429, "rate_limited", False)
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert error["details"] == {
        "scope": "user",
        "measure": "tokens",
        "limit": 1000,
        "window": "minute",
        "needed": error["details"]["needed"],
    }
    assert "it can never pass" in error["message"]
    assert world.chat(max_tokens=500).status_code == 200
    assert len(world.bill()) == 1


def test_a_call_that_finds_no_money_gives_its_tokens_back(new_world: NewWorld) -> None:
    world = new_world(tpm_limit=5000)
    world.budget(0)

    refused = [world.chat(max_tokens=4000) for _ in range(3)]

    assert [answer.status_code for answer in refused] == [402] * 3
    assert [answer.headers["x-ratelimit-remaining-tokens"] for answer in refused] == ["5000"] * 3


# -- calls under way


@pytest.mark.parametrize(
    ("setting", "scope"),
    [("max_concurrent", "project"), ("user_max_concurrent", "user"), ("key_max_concurrent", "key")],
)
def test_calls_under_way_are_limited_until_one_ends_even_by_a_hang_up(
    new_world: NewWorld, setting: str, scope: str
) -> None:
    world = new_world(**{setting: 1})
    world.script({"when": {"contains": "wait"}, **HANG})
    bearer = {"Authorization": f"Bearer {world.mint()['jwt']}"}
    body = {"messages": messages("Do wait"), "stream": True}

    with world.client.stream("POST", CHAT, json=body, headers=bearer) as running:
        refused = world.client.post(CHAT, json={"messages": messages()}, headers=bearer)
        read = world.client.get("/v1/usage", headers=bearer)

    assert running.status_code == 200
    assert refusal(refused) == {"scope": scope, "measure": "concurrency", "limit": 1}
    assert (refused.headers["retry-after"], read.status_code) == ("1", 200)
    policies = read_list(refused.headers["ratelimit-policy"])
    assert policies[f"{scope}-concurrency"] == {"q": 1, "qu": "concurrent-requests"}
    assert read_list(refused.headers["ratelimit"])[f"{scope}-concurrency"] == {"r": 0}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (again := world.client.post(CHAT, json={"messages": messages()}, headers=bearer)).status_code == 429:
        assert time.monotonic() < deadline, "the place of a call whose caller left was not given back"
    assert again.status_code == 200


def test_a_place_is_free_again_once_the_last_byte_is_read(new_world: NewWorld) -> None:
    world = new_world(max_concurrent=1)

    for number in range(20):
        answer = world.chat(stream=number % 2 == 0)
        assert answer.status_code == 200, answer.text
        assert world.chat(model="no-such-model").status_code == 400


# -- what every answer tells


def told(answer: httpx.Response) -> dict[str, str]:
    """The fields of both families."""
    return {name: value for name, value in answer.headers.items() if "ratelimit" in name}


def seconds(text: str) -> float:
    """A time as OpenAI's clients read it."""
    minutes, _, rest = text.rpartition("m") if text.endswith("s") and not text.endswith("ms") else ("", "", text)
    return int(minutes or 0) * 60 + (float(rest[:-2]) / 1000 if rest.endswith("ms") else float(rest[:-1]))


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_to_a_chat_says_how_the_rates_stand(new_world: NewWorld, stream: bool) -> None:
    world = new_world(rpm_limit=60, user_rpm_limit=6)

    first, second = world.chat(stream=stream), world.chat(stream=stream)

    for answer, left in ((first, 5), (second, 4)):
        fields = told(answer)
        assert sorted(fields) == [
            "ratelimit",
            "ratelimit-policy",
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ]
        assert read_list(fields["ratelimit-policy"]) == {"user": {"q": 6, "w": 60}, "project": {"q": 60, "w": 60}}
        stands: List = read_list(fields["ratelimit"])
        assert (stands["user"]["r"], stands["project"]["r"]) in [(left, 58), (left, 59)]
        assert fields["x-ratelimit-limit-requests"] == "6"
        assert fields["x-ratelimit-remaining-requests"] == str(left)
        full = (6 - left) * 10
        assert full - 3 <= seconds(fields["x-ratelimit-reset-requests"]) <= full
        assert full - 3 <= int(stands["user"]["t"]) <= full


def test_refusals_after_the_door_say_it_too_and_those_before_it_do_not(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=1000, user_rpm_limit=2)
    nobody = world.client.post(CHAT, json={"messages": messages()}, headers={"Authorization": "Bearer nonsense"})
    malformed = world.client.post(CHAT, json={}, headers=world.bearer())
    world.budget(0)
    poor, hasty = world.chat(stream=True), world.chat()

    assert [answer.status_code for answer in (nobody, malformed, poor, hasty)] == [401, 400, 402, 429]
    assert told(nobody) == {}
    remaining = [answer.headers["x-ratelimit-remaining-requests"] for answer in (malformed, poor, hasty)]
    assert remaining == ["1", "0", "0"]
    assert read_list(hasty.headers["ratelimit"])["user"]["r"] == 0
    assert int(hasty.headers["retry-after"]) <= seconds(hasty.headers["x-ratelimit-reset-requests"])


def test_rates_of_tokens_are_told_with_their_unit(new_world: NewWorld) -> None:
    world = new_world(rpm_limit=1000, user_rpm_limit=100, tpm_limit=50_000, user_tpm_limit=9_000, max_concurrent=5)

    answer = world.chat()

    assert read_list(answer.headers["ratelimit-policy"]) == {
        "user": {"q": 100, "w": 60},
        "project": {"q": 1000, "w": 60},
        "project-concurrency": {"q": 5, "qu": "concurrent-requests"},
        "user-tokens": {"q": 9_000, "w": 60, "qu": "tokens"},
        "project-tokens": {"q": 50_000, "w": 60, "qu": "tokens"},
    }
    assert answer.headers["x-ratelimit-limit-tokens"] == "9000"
    stands = read_list(answer.headers["ratelimit"])
    assert stands["project-concurrency"] == {"r": 4}
    assert stands["user-tokens"]["r"] == int(answer.headers["x-ratelimit-remaining-tokens"]) > 8_900


# -- addresses


@pytest.fixture(scope="module")
def proxied(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """A project of a gateway that takes this machine for a proxy, and three requests a minute of an address."""
    env = {"BEHEST_GATEWAY_TRUSTED_PROXIES": "127.0.0.1", "BEHEST_GATEWAY_IP_RPM_LIMIT": "3"}
    with running_gateway(tmp_path_factory.mktemp("proxied"), provider.openai_base_url, **env) as gateway:
        yield World(gateway, provider, gateway.new_tenant())


def test_an_address_above_its_rate_is_refused_before_anybody_looks_at_its_token(proxied: World) -> None:
    nonsense = {"Authorization": "Bearer nonsense", "X-Forwarded-For": "203.0.113.1"}
    guess = {"Authorization": f"Bearer behest_sk_live_{'0' * 32}", "X-Forwarded-For": "198.51.100.9, 203.0.113.1"}
    unseen = {**proxied.bearer("nobody saw this token"), "X-Forwarded-For": "203.0.113.1"}

    answers = [
        proxied.client.post(CHAT, json={}, headers=nonsense),
        proxied.client.post("/v1/auth/mint", json={"user_id": "ada"}, headers=guess),
        proxied.client.get("/v1/models", headers=nonsense),
        proxied.client.post(CHAT, json={}, headers=nonsense),
        proxied.client.post("/v1/auth/mint", json={"user_id": "ada"}, headers=guess),
        proxied.client.post(CHAT, json={"messages": messages()}, headers=unseen),
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429, 429]
    for answer in answers[3:]:
        assert refusal(answer) == {"scope": "ip", "measure": "requests", "limit": 3, "window": "minute"}
        assert 15 <= int(answer.headers["retry-after"]) <= 20
        assert read_list(answer.headers["ratelimit-policy"]) == {"ip": {"q": 3, "w": 60}}
    another = {**proxied.bearer(), "X-Forwarded-For": "203.0.113.2"}
    assert proxied.client.post(CHAT, json={"messages": messages()}, headers=another).status_code == 200
    assert proxied.rows()[-1].user_id == proxied.user


def test_what_was_verified_before_is_not_counted_for_its_address(proxied: World) -> None:
    place = {"X-Forwarded-For": "203.0.113.5"}
    token = {**proxied.bearer("a page's user"), **place}
    key = {"Authorization": f"Bearer {proxied.api_key}", **place}

    reads = [proxied.client.get("/v1/models", headers=token).status_code for _ in range(6)]
    mints = [
        proxied.client.post("/v1/auth/mint", json={"user_id": f"u{number}"}, headers=key).status_code
        for number in range(6)
    ]

    assert (reads, mints) == ([200] * 6, [200] * 6)


def test_a_network_of_ipv6_counts_as_one(proxied: World) -> None:
    codes = [
        proxied.client.get("/v1/models", headers={"X-Forwarded-For": f"2001:db8:0:{net}::{host}"})
        for net, host in ((7, 1), (7, 2), (7, 3), (7, 4), (8, 1))
    ]

    assert [answer.status_code for answer in codes] == [401, 401, 401, 429, 401]


def test_who_stands_for_themselves_on_this_machine_is_not_counted(proxied: World, world: World) -> None:
    assert [proxied.chat().status_code for _ in range(5)] == [200] * 5
    pretending = [
        world.client.get("/v1/models", headers={**world.bearer(), "X-Forwarded-For": "203.0.113.3"}).status_code
        for _ in range(130)
    ]
    assert pretending == [200] * 130  # no proxy is trusted there, so this is loopback


def test_health_and_management_are_not_counted(proxied: World) -> None:
    headers = {"X-Forwarded-For": "203.0.113.4"}
    operator = {**proxied.gateway.operator, **headers}

    assert [proxied.client.get("/health", headers=headers).status_code for _ in range(5)] == [200] * 5
    assert [proxied.client.get("/v1/projects", headers=operator).status_code for _ in range(5)] == [200] * 5
