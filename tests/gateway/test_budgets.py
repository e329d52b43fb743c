"""Budgets as callers meet them at a real gateway: what is refused, in which words, and what is told of what is left."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from behest_gateway.adapters.sql.verify import verify
from behest_protocol.money import usd_from_nano, usd_text

from ..conftest import NewWorld
from ..support.gateway import Gateway, running_gateway, start_gateway
from ..support.provider import Provider
from ..support.world import CHAT, MODEL, World, events_of, messages

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PICTURE = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
]


def limit(world: World, **body: Any) -> str:
    """Make a budget; of a day unless it says another window."""
    budget_id: str = world.manage("POST", "/budgets", {"scope": "project", "window": "day", **body})["id"]
    return budget_id


@dataclass(frozen=True, kw_only=True)
class Who:
    """Whose call it is, the world's own user's when it names none, and with what."""

    user: str | None = None
    key: str | None = None
    session: str | None = None
    thread: str | None = None
    fields: dict[str, Any] = field(default_factory=dict[str, Any])


def call(
    world: World, who: Who | None = None, *, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    """One call, with a token of the tenant's key, or minted with an API key."""
    who = who or Who()
    token = world.token(who.user)
    if who.key is not None:
        bearer = {"Authorization": f"Bearer {who.key}"}
        token = world.client.post("/v1/auth/mint", json={"user_id": who.user or world.user}, headers=bearer).json()[
            "jwt"
        ]
    named = {"Authorization": f"Bearer {token}", "X-Session-Id": who.session, "X-Thread-Id": who.thread}
    sent = {name: value for name, value in named.items() if value is not None}
    body = {"messages": messages(), **who.fields, **fields}
    return world.client.post(CHAT, json=body, headers={**sent, **(headers or {})})


def refusal(answer: httpx.Response) -> dict[str, Any]:
    """The error of a 402, whose envelope is checked on the way."""
    assert answer.status_code == 402, answer.text
    body = answer.json()
    error: dict[str, Any] = body["error"]
    assert answer.headers["x-should-retry"] == "false"
    assert (body["retryable"], error["type"]) == (False, "insufficient_quota")
    assert (body["code"], body["message"]) == (error["code"], error["message"])
    return error


def details_of(answer: httpx.Response) -> dict[str, Any]:
    """The details of a 402."""
    details: dict[str, Any] = refusal(answer)["details"]
    return details


def state_of(world: World, budget_id: str) -> dict[str, Any]:
    """How a budget stands, as management shows it."""
    return next(budget for budget in world.budgets() if budget["id"] == budget_id)


# -- scopes


@dataclass(frozen=True, kw_only=True)
class Case:
    """A budget of one call, whose it is, and whom it does not concern."""

    body: dict[str, Any]
    mine: Who
    others: tuple[Who, ...]
    code: str
    whose: str


def cases(world: World) -> dict[str, Case]:
    """One budget of each scope of a project."""
    first, second = world.new_key(), world.new_key()
    return {
        "project": Case(
            body={"scope": "project"}, mine=Who(), others=(), code="budget_exceeded", whose="This project's"
        ),
        "user": Case(
            body={"scope": "user", "user_id": world.user},
            mine=Who(),
            others=(Who(user="bob"), Who(user="bob", session="s1")),
            code="quota_exceeded",
            whose="This user's",
        ),
        "each_user": Case(
            body={"scope": "each_user"},
            mine=Who(),
            others=(Who(user="bob"), Who(user="eve")),
            code="quota_exceeded",
            whose="This user's",
        ),
        "each_session": Case(
            body={"scope": "each_session"},
            mine=Who(session="s1"),
            others=(Who(session="s2"), Who(), Who(user="bob", session="s1")),
            code="quota_exceeded",
            whose="This session's",
        ),
        "each_thread": Case(
            body={"scope": "each_thread"},
            mine=Who(thread="t1"),
            others=(Who(thread="t2"), Who(), Who(user="bob", thread="t1")),
            code="quota_exceeded",
            whose="This thread's",
        ),
        "key": Case(
            body={"scope": "key", "key_id": first["id"]},
            mine=Who(key=first["key"]),
            others=(Who(key=second["key"]), Who()),
            code="budget_exceeded",
            whose="This API key's",
        ),
        "each_key": Case(
            body={"scope": "each_key"},
            mine=Who(key=first["key"]),
            others=(Who(key=second["key"]), Who()),
            code="budget_exceeded",
            whose="This API key's",
        ),
        "model": Case(
            body={"scope": "model", "model": MODEL},
            mine=Who(),
            others=(Who(fields={"model": "gpt-4o"}),),
            code="budget_exceeded",
            whose="This model's",
        ),
    }


@pytest.mark.parametrize(
    "scope", ["project", "user", "each_user", "each_session", "each_thread", "key", "each_key", "model"]
)
def test_a_budget_refuses_those_it_is_about_and_nobody_else(world: World, scope: str) -> None:
    case = cases(world)[scope]
    budget_id = limit(world, **case.body, limit_requests=1)

    assert call(world, case.mine).status_code == 200
    error = refusal(call(world, case.mine))

    resets_at = error["details"].pop("resets_at")
    assert TIME.fullmatch(resets_at)
    assert error["details"] == {
        "budget_id": budget_id,
        "scope": scope,
        **({"model": MODEL} if scope == "model" else {}),
        "window": "day",
        "limit_requests": 1,
        "spent_requests": 1,
        "held_requests": 0,
        "needed_requests": 1,
    }
    assert error["code"] == case.code
    assert error["message"] == f"{case.whose} budget of 1 request for today is used up. It resets at {resets_at}."
    assert [call(world, other).status_code for other in case.others] == [200] * len(case.others)
    assert refusal(call(world, case.mine))["details"]["budget_id"] == budget_id
    assert state_of(world, budget_id)["refused"] == 2


def test_a_tenants_budget_refuses_in_all_of_its_projects_and_in_no_other(
    gateway: Gateway, provider: Provider, stranger: World
) -> None:
    tenant = gateway.new_tenant("Hooli")
    one, two = World(gateway, provider, tenant), World(gateway, provider, tenant)
    path = f"/v1/tenants/me/budgets?tenant_id={tenant.id}"
    made = gateway.manage("POST", path, {"scope": "tenant", "window": "month", "limit_requests": 1})

    assert call(one).status_code == 200
    error = refusal(call(two))

    assert (error["code"], error["details"]["scope"]) == ("budget_exceeded", "tenant")
    assert error["details"]["budget_id"] == made["id"]
    assert error["message"].startswith("This tenant's budget of 1 request for this month is used up. It resets at ")
    assert call(stranger).status_code == 200
    budgets = two.client.get("/v1/usage", headers=two.bearer()).json()["budgets"]
    assert budgets == []  # what a tenant has in all is not for its users to know


def test_nobody_spends_another_users_session_or_thread_by_naming_it(world: World) -> None:
    limit(world, scope="each_session", limit_requests=1)
    limit(world, scope="each_thread", limit_requests=1)
    for user in ("mallory", "ada"):
        assert call(world, Who(user=user, session="ada's", thread="of-ada")).status_code == 200
    assert refusal(call(world, Who(user="mallory", session="ada's", thread="of-ada")))["code"] == "quota_exceeded"


def test_of_several_budgets_that_are_used_up_the_one_that_resets_last_is_named(world: World) -> None:
    limit(world, limit_requests=0)
    month = limit(world, limit_requests=0, window="month", scope="each_user")
    assert details_of(call(world))["budget_id"] == month
    wallet = limit(world, limit_usd=0, window="lifetime", scope="each_session")
    assert details_of(call(world))["budget_id"] == wallet


# -- units and windows


def test_a_budget_of_tokens_is_never_exceeded_and_refuses_in_tokens(world: World) -> None:
    world.script({"prompt_tokens": 40, "completion_tokens": 16})
    budget_id = limit(world, limit_tokens=500)

    answers = [call(world, max_tokens=16) for _ in range(12)]

    refused = answers[-1]
    passed = [answer for answer in answers if answer.status_code == 200]
    details = details_of(refused)
    assert 1 < len(passed) < 12
    assert details["spent_tokens"] == sum(row.charged_tokens for row in world.rows()) == 56 * len(passed) <= 500
    left = 500 - details["spent_tokens"]
    assert (details["budget_id"], details["limit_tokens"], details["held_tokens"]) == (budget_id, 500, 0)
    assert details["needed_tokens"] > left
    assert refusal(refused)["message"].startswith(
        f"This project's budget of 500 tokens for today has {left} tokens left, "
        f"and this call could take {details['needed_tokens']} tokens. It resets at "
    )


def test_a_budget_of_requests_counts_what_was_served_and_nothing_that_was_not(world: World) -> None:
    world.script({"times": 1, "fault": {"kind": "status", "status": 400, "body": {}}})
    budget_id = limit(world, limit_requests=2)

    assert call(world).status_code >= 400
    assert call(world, model="no-such-model").status_code == 400
    assert [call(world).status_code for _ in range(3)] == [200, 200, 402]
    assert state_of(world, budget_id)["spent_requests"] == 2


def test_a_rolling_budget_says_when_the_first_of_it_comes_back(world: World) -> None:
    limit(world, limit_requests=1, window="rolling", hours=5)
    assert call(world).status_code == 200

    error = refusal(call(world))

    details = error["details"]
    assert (details["window"], details["hours"]) == ("rolling", 5)
    assert error["message"] == (
        f"This project's budget of 1 request for any 5 h is used up. Some of it comes back at {details['resets_at']}."
    )


def test_an_empty_wallet_asks_for_a_top_up_and_then_pays(world: World) -> None:
    wallet = limit(world, scope="user", user_id=world.user, window="lifetime", limit_usd=0)

    error = refusal(call(world))
    world.manage("POST", f"/budgets/{wallet}/top-ups", {"amount_usd": 1, "id": f"pay-{wallet}"})

    assert error["message"] == "This user's budget of 0 USD is used up. It needs a top-up or a higher limit."
    assert error["details"]["resets_at"] is None
    assert call(world).status_code == 200
    assert state_of(world, wallet)["spent_usd"] == usd_from_nano(world.rows()[-1].cost_nano)


def test_a_call_that_was_under_way_when_a_budget_was_made_does_not_count_in_it(world: World) -> None:
    world.script({"completion_tokens": 20, "token_delay_ms": 20})
    headers = world.bearer()

    with world.client.stream("POST", CHAT, json={"messages": messages(), "stream": True}, headers=headers) as response:
        budget_id = limit(world, limit_requests=1)
        assert events_of(response.read())[-1] == b"[DONE]"

    assert world.rows()[-1].state == "settled"
    assert state_of(world, budget_id)["spent_requests"] == 0
    assert [call(world).status_code for _ in range(2)] == [200, 402]


# -- shadow


def test_a_shadow_budget_lets_everything_pass_and_notes_what_it_would_have_refused(world: World) -> None:
    shadow = limit(world, limit_usd=0, mode="shadow")
    unconcerned = limit(world, limit_usd=100, mode="shadow")

    assert call(world).status_code == 200
    assert call(world, messages=[{"role": "user", "content": PICTURE}]).status_code == 200

    rows = world.rows()
    assert [(row.state, row.would_refuse) for row in rows] == [("settled", shadow)] * 2
    state = state_of(world, shadow)
    assert (state["refused"], state["spent_usd"]) == (2, usd_from_nano(sum(row.cost_nano for row in rows)))
    assert state_of(world, unconcerned)["refused"] == 0


def test_a_shadow_budget_that_is_enforced_refuses_the_next_call(world: World) -> None:
    budget_id = limit(world, limit_tokens=1, mode="shadow")
    assert [call(world).status_code for _ in range(2)] == [200, 200]

    world.manage("PATCH", f"/budgets/{budget_id}", {"mode": "enforce"})
    assert details_of(call(world))["spent_tokens"] > 1
    assert call(world, messages=[{"role": "user", "content": PICTURE}]).status_code == 400

    world.manage("PATCH", f"/budgets/{budget_id}", {"mode": "shadow"})
    assert call(world).status_code == 200


def test_a_budget_of_requests_does_not_mind_what_they_hold(world: World) -> None:
    limit(world, limit_requests=2)

    codes = [call(world, messages=[{"role": "user", "content": PICTURE}]).status_code for _ in range(3)]

    assert codes == [200, 200, 402]


# -- the caller's own cap


def cap(amount: str) -> dict[str, str]:
    """The header of a caller's own cap."""
    return {"X-Behest-Max-Cost-Usd": amount}


@pytest.mark.parametrize("with_budget", [False, True])
def test_a_cap_shortens_the_answer_to_what_it_pays_for(world: World, with_budget: bool) -> None:
    if with_budget:
        limit(world, limit_usd=100)
    world.script({"completion_tokens": 4000})

    answer = call(world, headers=cap("0.0001"), max_tokens=4000)

    clamped = int(answer.headers["x-behest-max-tokens-clamped"])
    [billed] = world.bill()
    assert answer.status_code == 200, answer.text
    assert 16 <= clamped < 4000
    assert (billed.max_tokens, billed.completion_tokens) == (clamped, clamped)
    assert 0 < world.rows()[-1].cost_nano <= world.rows()[-1].hold_nano <= 100_000


@pytest.mark.parametrize("with_budget", [False, True])
def test_a_cap_that_pays_for_too_little_refuses_with_scope_request(world: World, with_budget: bool) -> None:
    if with_budget:
        limit(world, limit_usd=100)

    error = refusal(call(world, headers=cap("0.000001")))

    needed = error["details"].pop("needed_usd")
    assert needed > 0.000001
    assert (error["code"], error["details"]) == ("budget_exceeded", {"scope": "request", "limit_usd": 0.000001})
    assert error["message"] == (
        f"This call could cost {usd_text(round(needed * 1e9))} USD, and X-Behest-Max-Cost-Usd allows 0.000001 USD. "
        "Raise it, or shorten the call."
    )
    assert world.bill() == []
    assert [(row.state, row.status) for row in world.rows()] == [("refused", 402)]


def test_a_cap_raises_nothing_above_a_budget(world: World) -> None:
    budget_id = limit(world, limit_usd="0.0001")
    world.script({"completion_tokens": 4000})

    answer = call(world, headers=cap("999"), max_tokens=4000)

    assert int(answer.headers["x-behest-max-tokens-clamped"]) < 4000
    assert world.rows()[-1].hold_nano <= 100_000
    world.manage("PATCH", f"/budgets/{budget_id}", {"limit_usd": 0})
    assert details_of(call(world, headers=cap("999")))["budget_id"] == budget_id


def test_a_call_with_a_cap_is_bounded_like_one_under_a_budget(world: World) -> None:
    picture = [{"role": "user", "content": PICTURE}]

    refused = call(world, headers=cap("1"), messages=picture)

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "messages[0].content[1]"
    assert call(world, messages=picture).status_code == 200


@pytest.mark.parametrize(
    "amount", ["", "a lot", "-1", "+1", "1e-3", "0x1", "1,5", ".5", "1.", "NaN", "1" * 10, "0." + "1" * 19, "1 2", "٣"]
)
@pytest.mark.parametrize("with_budget", [False, True])
def test_a_cap_that_is_no_amount_is_400_and_named(world: World, amount: str, with_budget: bool) -> None:
    if with_budget:
        limit(world, limit_usd=100)
    headers: Any = {**world.bearer(), "X-Behest-Max-Cost-Usd": amount.encode()}

    answer = world.client.post(CHAT, json={"messages": messages()}, headers=headers)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "validation_error")
    assert error["param"] == "X-Behest-Max-Cost-Usd"
    assert "X-Behest-Max-Cost-Usd" in error["message"]
    assert world.bill() == []


def test_a_cap_is_read_to_the_nano_dollar_and_rounded_down(world: World) -> None:
    error = refusal(call(world, headers=cap("0.000000001999999999")))

    assert error["details"]["limit_usd"] == 1e-9


# -- what is left


def remaining(answer: httpx.Response) -> dict[str, str]:
    """The headers of what is left, by unit."""
    found = {unit: answer.headers.get(f"x-behest-budget-remaining-{unit}") for unit in ("usd", "tokens", "requests")}
    return {unit: value for unit, value in found.items() if value is not None}


def test_an_answer_says_what_is_left_in_the_tightest_budget_of_each_unit(world: World) -> None:
    limit(world, limit_usd=1)
    limit(world, limit_usd=2, scope="each_user")
    limit(world, limit_tokens=100_000, window="month")
    limit(world, limit_requests=9, scope="each_session", window="lifetime")
    limit(world, limit_requests=1, mode="shadow")

    answers = [call(world), call(world)]

    rows = world.rows()
    for count, answer in enumerate(answers, start=1):
        assert remaining(answer) == {
            "usd": usd_text(10**9 - sum(row.cost_nano for row in rows[:count])),
            "tokens": str(100_000 - sum(row.charged_tokens for row in rows[:count])),
            "requests": str(9 - count),
        }


def test_a_stream_says_what_is_left_while_its_hold_is_open(world: World) -> None:
    world.script({"completion_tokens": 10, "token_delay_ms": 20})
    limit(world, limit_usd=1)
    limit(world, limit_requests=2)

    answer = call(world, stream=True)

    assert remaining(answer) == {"usd": usd_text(10**9 - world.rows()[-1].hold_nano), "requests": "1"}


def test_without_an_enforced_budget_nothing_is_said_to_be_left(world: World) -> None:
    assert remaining(call(world)) == {}
    assert remaining(call(world, headers=cap("1"))) == {}
    limit(world, limit_usd=1, mode="shadow")
    assert remaining(call(world)) == {}


def test_what_is_left_is_never_below_zero(world: World) -> None:
    world.script({"completion_tokens": 20, "token_delay_ms": 20})
    budget_id = limit(world, limit_usd=1)
    body = {"messages": messages(), "stream": True, "max_tokens": 20}
    headers = {**world.bearer(), "X-Behest-Usage-Comment": "true"}

    with world.client.stream("POST", CHAT, json=body, headers=headers) as response:
        world.manage("PATCH", f"/budgets/{budget_id}", {"limit_usd": 0})
        said = comment_of(response.read())

    assert said["budget_remaining_usd"] >= 0
    assert refusal(call(world))["details"]["budget_id"] == budget_id


# -- the comment


def comment_of(body: bytes) -> dict[str, Any]:
    """What the comment before the end of a stream says."""
    *_, comment, done, rest = body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert comment.startswith(b": behest ")
    said: dict[str, Any] = msgspec.json.decode(comment.removeprefix(b": behest "))
    return said


@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_stream_ends_with_a_comment_of_cost_and_rest_for_whoever_asks(world: World, wants_usage: bool) -> None:
    limit(world, limit_usd=1)
    limit(world, limit_tokens=100_000)
    fields: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": wants_usage}}

    with_comment = call(world, headers={"X-Behest-Usage-Comment": "true"}, **fields)
    without = call(world, **fields)

    row = world.rows()[0]
    assert comment_of(with_comment.content) == {
        "cost_usd": usd_from_nano(row.cost_nano),
        "budget_remaining_usd": usd_from_nano(10**9 - row.cost_nano),
        "budget_remaining_tokens": 100_000 - row.charged_tokens,
    }
    assert b": behest" not in without.content
    assert len(events_of(with_comment.content)) == len(events_of(without.content))


@pytest.mark.parametrize("value", ["", "1", "TRUE", "false"])
def test_only_true_asks_for_the_comment(world: World, value: str) -> None:
    assert b": behest" not in call(world, headers={"X-Behest-Usage-Comment": value}, stream=True).content


def test_the_comment_needs_no_budget(world: World) -> None:
    said = comment_of(call(world, headers={"X-Behest-Usage-Comment": "true"}, stream=True).content)

    assert said == {"cost_usd": usd_from_nano(world.rows()[-1].cost_nano)}


def test_an_answer_as_json_has_no_comment(world: World) -> None:
    answer = call(world, headers={"X-Behest-Usage-Comment": "true"})

    assert answer.json()["object"] == "chat.completion"
    assert b"behest" not in answer.content


# -- what a plan allows


@pytest.fixture(scope="module")
def selling(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway whose tenants may use what their plans allow."""
    folder = tmp_path_factory.mktemp("selling")
    with running_gateway(folder, provider.openai_base_url, BEHEST_GATEWAY_PLAN_ALLOWANCES="true") as gateway:
        yield gateway


def test_a_tenants_plan_limits_its_tokens_of_a_month_and_another_plan_holds_at_once(
    selling: Gateway, provider: Provider
) -> None:
    tenant = selling.new_tenant()
    world = World(selling, provider, tenant)
    plan = f"/v1/tenants/me?tenant_id={tenant.id}"
    assert remaining(call(world)) == {}  # `enterprise` has no limit

    selling.manage("PATCH", plan, {"plan": "free"})
    small = call(world)
    large = [{"role": "user", "content": "x" * 5_000_000}]
    error = refusal(call(world, messages=large))

    used = world.rows()[1].charged_tokens  # it counts from the moment that there is a limit
    assert remaining(small) == {"tokens": str(5_000_000 - used)}
    details = error["details"]
    assert (error["code"], details["scope"], details["window"]) == ("budget_exceeded", "tenant", "month")
    assert (details["limit_tokens"], details["spent_tokens"]) == (5_000_000, used)
    assert (details["limit"], details["usage"]) == ({"tokens_per_month": 5_000_000}, {"tokens_this_month": used})
    selling.manage("PATCH", plan, {"plan": "pro"})
    assert call(world, messages=large).status_code == 200
    assert verify(selling.data_dir).differences == []


# -- the books


def everything_at_once(world: World) -> dict[str, str]:
    """A budget of every scope, unit, window and mode, in one project; their ids by their first letters."""
    made: dict[str, str] = {}
    scopes: dict[str, dict[str, Any]] = {name: case.body for name, case in cases(world).items()}
    windows: list[dict[str, Any]] = [
        {"window": "day", "timezone": "Pacific/Auckland"},
        {"window": "month"},
        {"window": "rolling", "hours": 5},
        {"window": "lifetime"},
    ]
    for number, (scope, body) in enumerate(scopes.items()):
        for unit, amount in {"usd": 50, "tokens": 1_000_000, "requests": 1_000}.items():
            window = windows[(number + len(made)) % 4]
            mode = "shadow" if len(made) % 5 == 0 else "enforce"
            made[f"{scope} {unit}"] = limit(world, **{**body, **window, "mode": mode, f"limit_{unit}": amount})
    return made


def standing(world: World) -> list[dict[str, Any]]:
    """How every budget stands, but for when it resets: an unused rolling budget moves with the clock."""
    return [{**budget, "resets_at": None} for budget in world.budgets()]


def test_the_books_are_right_after_budgets_of_every_kind_and_a_restart_keeps_what_wallets_have(
    provider: Provider, tmp_path: Path
) -> None:
    gateway = start_gateway(tmp_path / "data", provider.openai_base_url)
    try:
        tenant = gateway.new_tenant()
        world = World(gateway, provider, tenant)
        call(world)
        everything_at_once(world)
        wallet = limit(world, scope="user", user_id=world.user, window="lifetime", limit_usd=0)
        refusal(call(world))
        world.manage("POST", f"/budgets/{wallet}/top-ups", {"amount_usd": "0.5", "id": "pay_1"})
        for who in (Who(), Who(session="s", thread="t"), Who(user="bob", session="s"), Who(key=world.api_key)):
            assert call(world, who).status_code == 200
            assert call(world, who, stream=True).status_code == 200
        gateway.manage("DELETE", f"/v1/projects/{world.project_id}/budgets/{world.budgets()[0]['id']}")
        assert call(world, headers=cap("0.001")).status_code == 200
        before, rows = standing(world), world.rows()
        audit = verify(gateway.data_dir)
        assert (audit.differences, audit.rows) == ([], len(rows))
        spent = usd_from_nano(sum(row.cost_nano for row in rows[2:] if row.user_id == world.user))
        assert state_of(world, wallet)["spent_usd"] == pytest.approx(spent, abs=1e-12)
        refused = state_of(world, wallet)["refused"]

        gateway.kill()
        gateway = start_gateway(tmp_path / "data", provider.openai_base_url, admin_token=gateway.admin_token)
        world.gateway, world.client = gateway, gateway.client
        assert standing(world) == before
        assert (state_of(world, wallet)["limit_usd"], refused) == (0.5, 1)
        assert call(world).status_code == 200
        world.manage("POST", f"/budgets/{wallet}/top-ups", {"amount_usd": "0.5", "id": "pay_1"})
        assert state_of(world, wallet)["limit_usd"] == 0.5
        assert verify(gateway.data_dir).differences == []
    finally:
        gateway.stop()


def test_a_new_project_may_have_budgets_before_its_first_call(new_world: NewWorld) -> None:
    world = new_world()
    ids = everything_at_once(world)

    assert call(world).status_code == 200
    assert {budget["id"] for budget in world.budgets()} == set(ids.values())
