"""Tiers at a real gateway: what each refuses and how it says so, and what its users get."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from behest_fakes.requests import read_chat_request
from behest_fakes.tokens import count_prompt
from behest_gateway.adapters.sql.verify import verify

from ..conftest import NewWorld
from ..support.gateway import Gateway
from ..support.world import CHAT, World, messages

BUILT_IN = [("free", 10, 50_000), ("pro", 60, 2_000_000), ("max", 300, 20_000_000)]


def ask(world: World, tier: object, user_id: str | None = None, **fields: Any) -> httpx.Response:
    """Chat with a token of a tier."""
    token = world.token(user_id, tier=tier)
    body = {"messages": messages(), **fields}
    return world.client.post(CHAT, json=body, headers={"Authorization": f"Bearer {token}"})


def refusal(answer: httpx.Response) -> dict[str, Any]:
    """The published details of a 402, after the rest of it was looked at."""
    assert answer.status_code == 402, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("quota_exceeded", "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    return {name: error["details"][name] for name in ("tier", "limit", "usage")}


def prompt_tokens(system: str) -> int:
    """What the provider counts for a plain question after a system prompt."""
    asked = [{"role": "system", "content": system}, *messages()]
    return count_prompt(read_chat_request(json.dumps({"model": "any", "messages": asked}).encode()))


def override(world: World, tier: str, **values: Any) -> None:
    """Override what a tier says, for the next request."""
    world.manage("PUT", f"/tiers/{tier}", {"overrides": values})


@pytest.mark.parametrize(("tier", "limit", "_"), BUILT_IN)
def test_a_tier_is_a_users_requests_a_minute(world: World, tier: str, limit: int, _: int) -> None:
    token = {"Authorization": f"Bearer {world.token(tier=tier)}"}
    began = time.monotonic()
    served = 0

    while (answer := world.client.post(CHAT, json={"messages": messages()}, headers=token)).status_code == 200:
        served += 1
        assert served <= limit * 2

    details = answer.json()["error"]["details"]
    assert (answer.status_code, details["scope"], details["limit"]) == (429, "user", limit)
    assert limit <= served <= limit + (time.monotonic() - began) * limit / 60 + 1
    assert world.chat().status_code == 200  # without a tier, the project's own rate


@pytest.mark.parametrize(("tier", "_", "limit"), BUILT_IN)
def test_a_tier_is_a_users_tokens_a_day(world: World, tier: str, _: int, limit: int) -> None:
    world.script({"prompt_tokens": limit + 120, "completion_tokens": 3, "times": 1})

    served = ask(world, tier)
    refused = ask(world, tier)

    assert served.status_code == 200, served.text
    assert refusal(refused) == {
        "tier": tier,
        "limit": {"tokens_per_day": limit},
        "usage": {"tokens_today": limit + 123},
    }
    assert f"This user's budget of {limit:,} tokens for today is used up." in refused.json()["error"]["message"]
    assert ask(world, tier, "another").status_code == 200


def test_the_free_tier_is_a_hundred_requests_a_day(world: World) -> None:
    override(world, "free", rpm_limit=100_000)

    statuses = {ask(world, "free").status_code for _ in range(100)}

    assert statuses == {200}
    assert refusal(ask(world, "free")) == {
        "tier": "free", "limit": {"requests_per_day": 100}, "usage": {"requests_today": 100},
    }  # fmt: skip
    assert len(world.bill()) == 100


@pytest.mark.parametrize("tier", ["pro", "max"])
def test_a_tiers_requests_a_day_are_tuned_for_the_next_request(world: World, tier: str) -> None:
    assert ask(world, tier).status_code == 200
    override(world, tier, requests_per_day=2)

    assert ask(world, tier).status_code == 200

    assert refusal(ask(world, tier)) == {
        "tier": tier, "limit": {"requests_per_day": 2}, "usage": {"requests_today": 2},
    }  # fmt: skip
    override(world, tier, requests_per_day=None)
    assert ask(world, tier).status_code == 200


def test_tokens_a_month_are_a_limit_of_their_own(world: World) -> None:
    override(world, "pro", tokens_per_month=10_000)
    world.script({"prompt_tokens": 10_000, "completion_tokens": 1, "times": 1})

    ask(world, "pro")

    assert refusal(ask(world, "pro")) == {
        "tier": "pro", "limit": {"tokens_per_month": 10_000}, "usage": {"tokens_this_month": 10_001},
    }  # fmt: skip


def test_an_upgrade_takes_effect_with_the_next_token_and_keeps_the_days_count(world: World) -> None:
    world.script({"prompt_tokens": 50_000, "completion_tokens": 123, "times": 1})
    free, pro = ({"Authorization": f"Bearer {world.mint(tier=tier)['jwt']}"} for tier in (1, 2))
    body = {"messages": messages()}

    assert world.client.post(CHAT, json=body, headers=free).status_code == 200
    assert world.client.post(CHAT, json=body, headers=free).status_code == 402
    upgraded = world.client.post(CHAT, json=body, headers=pro)
    usage = world.client.get("/v1/usage", headers=pro).json()

    assert upgraded.status_code == 200
    left = 2_000_000 - 50_123 - upgraded.json()["usage"]["total_tokens"]
    assert upgraded.headers["x-behest-budget-remaining-tokens"] == str(left)
    assert upgraded.headers["x-behest-budget-remaining-requests"] == str(10_000 - 2)
    counted = {budget["id"]: budget for budget in usage["budgets"]}
    tokens = counted[f"tier:{world.project_id}:tokens:day"]
    assert (tokens["limit_tokens"], tokens["spent_tokens"]) == (2_000_000, 2_000_000 - left)
    assert world.client.post(CHAT, json=body, headers=free).status_code == 402
    rows = [(row.tier, row.status) for row in world.rows()]
    assert rows == [("free", 200), ("free", 402), ("pro", 200), ("free", 402)]


def test_without_a_tier_the_projects_own_limits_hold(new_world: NewWorld) -> None:
    world = new_world(user_requests_per_day=2)

    statuses = [world.chat().status_code for _ in range(2)]
    refused = world.chat()

    assert statuses == [200, 200]
    assert refusal(refused) == {"tier": None, "limit": {"requests_per_day": 2}, "usage": {"requests_today": 2}}
    assert ask(world, "free").status_code == 200


def test_a_tier_of_the_projects_own_chooses_the_model_and_the_prompt(new_world: NewWorld) -> None:
    world = new_world(system_prompt="Be brief.")
    overrides = {
        "provider_model": "gpt-4o",
        "system_prompt": "Give the team a really long answer, please.",
        "rpm_limit": 3,
    }
    world.manage("POST", "/tiers", {"name": "team", "overrides": overrides})

    bearer = {"Authorization": f"Bearer {world.mint(tier='Team')['jwt']}"}
    models = world.client.get("/v1/models", headers=bearer).json()["data"]
    answers = [world.client.post(CHAT, json={"messages": messages()}, headers=bearer), world.chat()]

    assert [answer.headers["x-behest-model"] for answer in answers] == ["gpt-4o", "gpt-4o-mini"]
    assert models[0]["id"] == "gpt-4o"
    assert [(call.model, call.headers.get("X-Tier"), call.prompt_tokens) for call in world.bill()] == [
        ("gpt-4o", "team", prompt_tokens("Give the team a really long answer, please.")),
        ("gpt-4o-mini", None, prompt_tokens("Be brief.")),
    ]
    assert [row.tier for row in world.rows()] == ["team", None]
    world.manage("DELETE", "/tiers/team")
    assert world.client.get("/v1/models", headers=bearer).json()["data"][0]["id"] == "gpt-4o-mini"


@pytest.mark.parametrize("claim", [2, "2", "pro", "PRO"])
def test_a_tier_is_the_same_by_number_and_by_name(world: World, claim: object) -> None:
    ask(world, claim)
    token = world.mint(tier=claim)["jwt"]
    world.client.post(CHAT, json={"messages": messages()}, headers={"Authorization": f"Bearer {token}"})

    assert [call.headers["X-Tier"] for call in world.bill()] == ["pro", "pro"]
    assert [row.tier for row in world.rows()] == ["pro", "pro"]


def test_a_token_carries_its_tier_as_it_was_asked_for(world: World) -> None:
    import jwt

    given = [2, "2", "PRO", " max "]

    tokens = [world.mint(tier=tier)["jwt"] for tier in given]

    assert [jwt.decode(token, options={"verify_signature": False})["tier"] for token in tokens] == given


@pytest.mark.parametrize("claim", [0, 4, "gold", "", True, 2.5, ["max"], {"tier": 3}])
def test_a_tier_that_a_tenants_token_made_up_counts_as_the_lowest(world: World, claim: object) -> None:
    assert ask(world, claim).status_code == 200

    assert [row.tier for row in world.rows()] == ["free"]


def test_a_mint_refuses_a_tier_that_is_not_there_and_says_which_are(world: World) -> None:
    world.manage("POST", "/tiers", {"name": "team"})

    answer = world.client.post(
        "/v1/auth/mint",
        json={"user_id": world.user, "tier": "gold"},
        headers={"Authorization": f"Bearer {world.api_key}"},
    )

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "validation_error", "tier")
    assert error["message"] == "tier is one of 1, 2, 3 or free, pro, max, team"


def test_the_books_are_right_about_what_tiers_counted(gateway: Gateway, world: World) -> None:
    override(world, "free", requests_per_day=2)
    for tier in ("free", "free", "free", "pro", None):
        ask(world, tier)

    audit = verify(gateway.data_dir)

    ours = f"tier:{world.project_id}:"
    assert [wrong for wrong in audit.differences if ours in wrong.name] == []
    assert gateway.ledger.counted(f"{ours}requests:day") == 3
    counted = [call.prompt_tokens + call.completion_tokens for call in world.bill() if "X-Tier" in call.headers]
    assert gateway.ledger.counted(f"{ours}tokens:day") == sum(counted)
