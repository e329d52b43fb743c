"""What people complained of elsewhere about budgets and costs, and what happens here instead: a test for each.

Those of overspending come first, then those of holds that are kept too long or are too large, then those of wrong or
lost costs. Left out, since nothing here could go wrong in that way:

- weighted tokens, and a gate of one's own in front: a budget is in money, and is the gate;
- a counter of a user that expires after a while, or one per replica: there is one process, and counters end with their
  window (`core/windows.py`; a restart is tested below);
- a key owner who raises their own cap for a time: there is no such field; who may change a budget is tested below;
- a window that ends while a hold is open: such a hold counts to the window that it was taken in
  (packages/gateway/tests/adapters/test_ledger.py);
- a share of a budget at which routing changes: nothing is routed by budgets;
- answers that are fetched again and booked again: there is one operation, and it is always a new call;
- a buffer in another store that drops daily sums: sums are written with the row; see test_verify.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ..support.gateway import Gateway, Tenant, running_gateway, start_gateway
from ..support.provider import Provider
from ..support.world import CHAT, MODEL, World, messages
from .test_charges import hanging_up, until

TOKENS = 64
"""The limit of output of calls that are to cost exactly their hold."""
INPUT_NANO, OUTPUT_NANO = 150, 600
"""What a token of gpt-4o-mini costs."""


def usd(nano: int) -> str:
    """Nano-dollars as an amount of a budget."""
    return f"{nano / 1e9:.9f}"


def worst_case(world: World, *, user_id: str) -> int:
    """What the standard call holds, in nano-dollars; every later call of this user costs exactly that."""
    assert world.chat(user_id=user_id, max_tokens=TOKENS).status_code == 200
    hold = world.rows()[-1].hold_nano
    prompt, rest = divmod(hold - TOKENS * OUTPUT_NANO, INPUT_NANO)
    assert rest == 0
    for user in (user_id, world.user):
        world.script({"prompt_tokens": prompt, "completion_tokens": TOKENS}, user_id=user)
    return hold


def at_once(world: World, calls: int, *, session: str | None = None, **fields: Any) -> Counter[int]:
    """So many calls of the world's user in parallel; how many got which status."""
    headers = {**world.bearer(), **({"X-Session-Id": session} if session else {})}
    body = {"messages": messages(), "max_tokens": TOKENS, **fields}

    def ask() -> int:
        return world.client.post(CHAT, json=body, headers=headers).status_code

    with ThreadPoolExecutor(calls) as pool:
        asked = [pool.submit(ask) for _ in range(calls)]
        return Counter(one.result() for one in asked)


def nothing_is_held(world: World) -> bool:
    """No hold is in the file, and no budget says that any is."""
    return not world.holds() and not any(budget["held_usd"] for budget in world.budgets())


def mine(world: World, user_id: str | None = None) -> dict[str, Any]:
    """The one budget that a user sees of their own."""
    answer = world.client.get("/v1/usage", headers=world.bearer(user_id))
    assert answer.status_code == 200, answer.text
    [budget] = answer.json()["budgets"]
    found: dict[str, Any] = budget
    return found


# -- A. Overspending


def test_parallel_calls_cannot_all_pass_on_the_same_reading_of_a_budget(new_world: Any) -> None:
    """Calls in parallel each read what was spent before, found room, and were all sent."""
    world = new_world(min_output_tokens=TOKENS)
    hold = worst_case(world, user_id="first")
    world.budget(usd(3 * hold), scope="user", user_id=world.user)

    assert at_once(world, 20) == {200: 3, 402: 17}
    assert mine(world)["spent_usd"] == pytest.approx(3 * hold / 1e9)


def test_parallel_calls_of_one_session_cannot_all_pass_its_budget(new_world: Any) -> None:
    """What a session had spent was looked up when its calls came in, and added to when they were over."""
    world = new_world(min_output_tokens=TOKENS)
    hold = worst_case(world, user_id="first")
    world.budget(usd(2 * hold), scope="each_session", window="lifetime")

    assert at_once(world, 20, session="one") == {200: 2, 402: 18}
    assert at_once(world, 5, session="another") == {200: 2, 402: 3}


def test_the_first_concurrent_calls_of_an_unknown_user_count_against_the_budget_of_each_user(new_world: Any) -> None:
    """A user whom nobody had seen before had no record yet, and so no budget, until the first call was over."""
    world = new_world(min_output_tokens=TOKENS)
    hold = worst_case(world, user_id="first")
    world.budget(usd(2 * hold), scope="each_user")

    assert at_once(world, 20) == {200: 2, 402: 18}
    assert sum(call.cost_nano for call in world.bill() if call.headers["X-End-User-Id"] == world.user) == 2 * hold


def restarted(gateway: Gateway, provider: Provider, data: Path) -> Gateway:
    """The same gateway after a crash."""
    gateway.kill()
    return start_gateway(data, provider.openai_base_url, admin_token=gateway.admin_token)


@pytest.mark.parametrize(
    ("scope", "fields"),
    [("project", {}), ("each_user", {}), ("model", {"model": MODEL}), ("each_session", {})],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_spent_survives_a_restart_and_no_budget_is_refilled(
    provider: Provider, tmp_path: Path, scope: str, fields: dict[str, Any]
) -> None:
    """Counters lived in memory, so that each deployment was a free refill; those of models longer than others."""
    gateway = start_gateway(tmp_path / "data", provider.openai_base_url)
    world = World(gateway, provider, gateway.new_tenant(), {"min_output_tokens": TOKENS})
    hold = worst_case(world, user_id="first")
    budget = world.budget(usd(2 * hold), scope=scope, window="lifetime", **fields)
    assert at_once(world, 1) == {200: 1}

    second = restarted(gateway, provider, tmp_path / "data")
    try:
        world.gateway, world.client = second, second.client
        assert second.ledger.counted(budget) == hold
        assert at_once(world, 5) == {200: 1, 402: 4}
        assert second.ledger.counted(budget) == 2 * hold
    finally:
        second.stop()


@pytest.mark.parametrize("change", ["PATCH", "POST", "DELETE"])
def test_a_user_cannot_raise_their_own_budget(world: World, change: str) -> None:
    """Whoever had a key could raise the cap that it was under."""
    budget = world.budget("0.000001", scope="each_user")
    path = f"/v1/projects/{world.project_id}/budgets" + ("" if change == "POST" else f"/{budget}")
    body = {"limit_usd": 1000} if change == "PATCH" else {"scope": "each_user", "window": "day", "limit_usd": 1000}
    content = None if change == "DELETE" else json.dumps(body)

    for credential in (world.bearer(), {"Authorization": f"Bearer {world.api_key}"}):
        answer = world.client.request(change, path, content=content, headers=credential)
        assert answer.status_code in (401, 403), answer.text

    assert world.chat().status_code == 402
    [kept] = world.budgets()
    assert kept["limit_usd"] == 0.000001


def test_an_admin_of_the_tenant_is_under_the_budget_of_each_user_too(world: World) -> None:
    """Tokens with an administrator's role passed by the personal budget."""
    world.budget("0.000001", scope="each_user")
    boss = {"Authorization": f"Bearer {world.token('boss', role='admin')}"}

    answer = world.client.post(CHAT, json={"messages": messages()}, headers=boss)

    assert (answer.status_code, answer.json()["code"]) == (402, "quota_exceeded")


def test_one_users_budget_is_never_anothers_though_they_come_by_one_key(world: World) -> None:
    """What was known of a key was kept, with the budget of the end user who had come first."""
    world.budget("0.000001", scope="user", user_id="poor")
    poor = {"Authorization": f"Bearer {world.mint('poor')['jwt']}"}
    rich = {"Authorization": f"Bearer {world.mint('rich')['jwt']}"}

    seen = [world.client.post(CHAT, json={"messages": messages()}, headers=who) for who in (poor, rich, poor, rich)]

    assert [answer.status_code for answer in seen] == [402, 200, 402, 200]
    assert [row.user_id for row in world.rows() if row.attempt] == ["rich", "rich"]


def test_the_user_comes_from_the_token_and_not_from_a_header_or_the_body(world: World) -> None:
    """The end user was whoever a header or the body named, so anybody could spend another's budget."""
    world.budget(1, scope="each_user")
    names = ("X-End-User-Id", "X-User-Id", "X-Behest-User", "X-Forwarded-User", "X-Tenant-Id", "X-Project-Id")
    body = {"messages": messages(), "user": "victim", "metadata": {"user_id": "victim", "end_user": "victim"}}

    answer = world.client.post(CHAT, json=body, headers={**dict.fromkeys(names, "victim"), **world.bearer()})

    assert answer.status_code == 200
    [row], [call] = world.rows(), world.bill()
    assert row.user_id == world.user
    edge = {"X-End-User-Id": world.user, "X-Tenant-Id": world.tenant.id, "X-Project-Id": world.project_id}
    assert {name: call.headers.get(name) for name in edge} == edge
    assert mine(world)["spent_usd"] == pytest.approx(row.cost_nano / 1e9)
    assert mine(world, "victim")["spent_usd"] == 0


NOT_SERVED = [
    "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/images/generations", "/v1/audio/speech",
    "/v1/files", "/v1/batches", "/v1/realtime", "/v1/rerank", "/v1/moderations", "/v1/proxy/chat/completions",
    "/v1/passthrough/chat/completions", "/openai/v1/chat/completions", "/v1/openai/chat/completions",
    "/v1/chat/completions/", "/v1//chat/completions", "/v1/chat/completions/extra", "/chat/completions",
]  # fmt: skip


@pytest.mark.parametrize("path", NOT_SERVED)
def test_there_is_no_other_way_to_the_provider(world: World, path: str) -> None:
    """Routes that passed requests on as they were spent money without touching a budget."""
    world.budget(1)

    for method in ("POST", "GET"):
        answer = world.client.request(method, path, json={"messages": messages()}, headers=world.bearer())
        assert answer.status_code == 404, answer.text

    assert (world.bill(), [row for row in world.rows() if row.attempt]) == ([], [])


@pytest.mark.parametrize("field", ["budget", "max_budget", "budget_usd", "limits"])
def test_a_budget_that_is_not_understood_is_refused_and_not_ignored(world: World, field: str) -> None:
    """A limit in a field of another name was accepted, and nothing was enforced."""
    body = {"scope": "project", "window": "day", "limit_usd": 1, field: 5}
    path = f"/v1/projects/{world.project_id}/budgets"

    answer = world.client.post(path, json=body, headers=world.gateway.operator)

    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    assert field in answer.json()["error"]
    assert world.budgets() == []


def test_a_changed_budget_holds_for_the_very_next_call(world: World) -> None:
    """A new limit took a deployment, or until a cached one had expired."""
    budget = world.budget("0.000001")
    seen = [world.chat().status_code]
    for limit in ("1", "0.000001", "1"):
        world.manage("PATCH", f"/budgets/{budget}", {"limit_usd": limit})
        seen.append(world.chat().status_code)
    world.manage("PATCH", f"/budgets/{budget}", {"limit_usd": "0.000001"})
    world.manage("DELETE", f"/budgets/{budget}")
    seen.append(world.chat().status_code)

    assert seen == [402, 200, 402, 200, 200]


# -- B. Holds that are kept too long, or are too large


FAILURES: dict[str, dict[str, Any]] = {
    "refused": {"kind": "status", "status": 500},
    "silent": {"kind": "hang"},
    "fails before its first chunk": {"kind": "not_json"},
    "cut before its first word": {"kind": "cut"},
    "cut": {"kind": "cut", "after_tokens": 3},
    "garbage": {"kind": "garbage", "after_tokens": 3},
    "no usage": {"kind": "no_usage"},
    "an error event": {"kind": "error_event", "after_tokens": 3},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_hold_is_given_back_however_a_call_fails(
    hasty: Gateway, provider: Provider, tenants: dict[str, Tenant], failure: str, stream: bool
) -> None:
    """A stream that failed before its first chunk kept its hold for ever, and its user was locked out."""
    tenant = tenants.get(hasty.base_url) or tenants.setdefault(hasty.base_url, hasty.new_tenant())
    world = World(hasty, provider, tenant)
    budget = world.budget(1)
    world.script({"fault": FAILURES[failure], "completion_tokens": 8})

    answer = world.chat(stream=stream, max_tokens=TOKENS)
    assert answer.status_code in (200, 502, 504), answer.text

    until(lambda: nothing_is_held(world), "a hold was kept")
    [row] = world.rows()
    assert hasty.ledger.counted(budget) == row.cost_nano


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
def test_a_hold_is_given_back_when_the_caller_hangs_up(world: World, stream: bool) -> None:
    """Callers who disconnected left their holds behind; nobody saw it until the invoice."""
    budget = world.budget(1)
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})

    for _ in range(5):
        before = len(world.provider.calls(world.project_id))
        with hanging_up(world, stream=stream):
            until(lambda: len(world.provider.calls(world.project_id)) > before, "the provider was not asked")  # noqa: B023

    until(lambda: len(world.rows()) == 5 and nothing_is_held(world), "a hold was kept")
    assert all(call.state == "closed_by_client" for call in world.bill())
    assert world.gateway.ledger.counted(budget) == sum(row.cost_nano for row in world.rows())


def test_what_is_enforced_is_what_was_spent_to_the_nano_dollar(new_world: Any) -> None:
    """The enforced figure drifted away from the costs on record, up to twice as much, even in one process."""
    world = new_world()
    budgets = [world.budget(1, scope=scope) for scope in ("project", "each_user")]
    world.script({"completion_tokens": 7})

    assert at_once(world, 12, stream=True) == {200: 12}
    assert at_once(world, 12) == {200: 12}

    rows, bill = world.rows(), world.bill()
    assert len(rows) == len(bill) == 24
    spent = sum(row.cost_nano for row in rows)
    assert spent == sum(call.cost_nano for call in bill)
    assert [world.gateway.ledger.counted(budget) for budget in budgets] == [spent, spent]
    assert nothing_is_held(world)


def test_a_wish_for_64k_tokens_is_clamped_to_what_is_left_and_not_refused(world: World) -> None:
    """The most that a model can write was set aside for each call, so nothing passed once less than that was left."""
    world.budget("0.001")

    answer = world.chat(max_tokens=64_000)

    assert answer.status_code == 200, answer.text
    [call] = world.bill()
    assert call.max_tokens is not None
    assert 100 < call.max_tokens < 64_000
    assert answer.headers["x-behest-max-tokens-clamped"] == str(call.max_tokens)
    [row] = world.rows()
    assert row.hold_nano <= 1_000_000


def test_a_caller_who_leaves_early_is_not_charged_the_whole_hold(world: World) -> None:
    """Streams that were stopped were charged at their hold, which cost users money that they had never spent."""
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})

    with world.stream(max_tokens=4000) as response:
        next(response.iter_raw())

    until(lambda: bool(world.rows()), "the attempt is not settled")
    [call], [row] = world.bill(), world.rows()
    assert call.cost_nano <= row.cost_nano < row.hold_nano / 10


@pytest.fixture(scope="module")
def generous(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway whose operator has a model that costs nothing."""
    folder = tmp_path_factory.mktemp("generous")
    prices = folder / "prices.json"
    prices.write_text('{"gpt-4o": {"input_mtok": "0", "output_mtok": "0"}}')
    with running_gateway(folder, provider.openai_base_url, BEHEST_GATEWAY_PRICE_OVERRIDES=str(prices)) as gateway:
        yield gateway


def test_a_used_up_budget_does_not_stop_a_model_that_costs_nothing(generous: Gateway, provider: Provider) -> None:
    """Once a budget was used up, models of the operator's own were refused too, though they are free."""
    world = World(generous, provider, generous.new_tenant())
    world.budget("0.0001")
    world.script({"fault": {"kind": "ignore_max_tokens", "tokens": 2000}, "when": {"model": "gpt-4o-mini"}})
    assert world.chat().status_code == 200
    [overdrawn] = world.budgets()
    assert overdrawn["spent_usd"] > overdrawn["limit_usd"]

    assert world.chat().status_code == 402
    for stream in (False, True):
        assert world.chat(model="gpt-4o", stream=stream).status_code == 200

    free = [row for row in world.rows() if row.model == "gpt-4o"]
    assert [(row.state, row.cost_nano, row.hold_nano) for row in free] == [("settled", 0, 0)] * 2


# -- C. Wrong or lost costs


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
def test_a_cached_token_is_billed_once(world: World, stream: bool) -> None:
    """Cached tokens were billed at the cached price and, as a part of the prompt, at the full one again."""
    for cached in (0, 512, 1024):
        world.script({"prompt_tokens": 1024, "cached_tokens": cached, "completion_tokens": 10, "times": 1})
        _ = world.chat(stream=stream).content

    costs = [row.cost_nano for row in world.rows()]
    assert costs == [call.cost_nano for call in world.bill()]
    assert costs == [1024 * 150 + 6000, 512 * 150 + 512 * 75 + 6000, 1024 * 75 + 6000]


@pytest.mark.parametrize("fault", ["no_usage", "no_done", "no_finish"])
def test_a_stream_is_never_free_whenever_its_usage_comes_and_if_it_never_does(world: World, fault: str) -> None:
    """Streams whose usage came late or not at all were booked at nothing, and no budget ever tripped."""
    budget = world.budget(1)
    world.script({"fault": {"kind": fault}, "completion_tokens": 20})

    _ = world.chat(stream=True, max_tokens=TOKENS).content

    [call], [row] = world.bill(), world.rows()
    assert row.cost_nano >= call.cost_nano > 0
    assert row.cost_nano == (row.hold_nano if fault == "no_usage" else call.cost_nano)
    assert world.gateway.ledger.counted(budget) == row.cost_nano


def test_a_stream_is_counted_though_its_caller_did_not_ask_for_the_usage(world: World) -> None:
    """Usage was only there for callers who had asked for it; the others paid nothing."""
    answer = world.chat(stream=True, stream_options={"include_usage": False})

    assert b'"prompt_tokens"' not in answer.content
    [call], [row] = world.bill(), world.rows()
    assert (row.state, row.cost_nano) == ("settled", call.cost_nano)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
def test_output_that_is_billed_and_not_in_the_completion_tokens_is_charged(world: World, stream: bool) -> None:
    """Reasoning was in the provider's total and not among the completion tokens, so a sixth of the bill was missing."""
    hidden = {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}
    world.script({"fault": {"kind": "bad_usage", "usage": hidden}, "completion_tokens": 198})

    _ = world.chat(stream=stream).content

    [row] = world.rows()
    assert (row.state, row.output_tokens, row.cost_nano) == ("settled", 603, 20 * INPUT_NANO + 603 * OUTPUT_NANO)


def test_an_interrupted_stream_is_in_the_ledger(world: World) -> None:
    """Streams that were interrupted vanished from the logs while the provider billed them."""
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})
    with world.stream() as response:
        next(response.iter_raw())

    until(lambda: bool(world.rows()), "the stream is not in the ledger")
    [call], [row] = world.bill(), world.rows()
    assert (row.attempt_id, row.state, row.status) == (call.attempt_id, "estimated", 499)
    assert row.cost_nano >= call.cost_nano > 0


@pytest.mark.parametrize("request_id", ["", "the-same-for-all", None])
def test_every_call_of_the_provider_has_one_row_whatever_the_caller_calls_it(
    world: World, request_id: str | None
) -> None:
    """Rows had the caller's request id for a key: with an empty or repeated one only the first was kept."""
    names = ("X-Request-Id", "X-Client-Request-Id", "Idempotency-Key", "X-Trace-Id")
    headers = {**world.bearer(), **(dict.fromkeys(names, request_id) if request_id is not None else {})}

    for number in range(9):
        body = {"messages": messages(), "stream": number % 2 == 0}
        assert world.client.post(CHAT, json=body, headers=headers).status_code == 200

    rows, bill = world.rows(), world.bill()
    assert len(rows) == len(bill) == 9
    assert sorted(row.attempt_id for row in rows) == sorted(str(call.attempt_id) for call in bill)
    usage = world.client.get("/v1/usage", headers=world.bearer()).json()["totals"]
    assert usage["requests"] == 9


@pytest.mark.parametrize("model", ["a-model-that-nobody-knows", "gpt-4o-mini-of-my-own", "openai/unheard-of"])
def test_a_model_whose_price_is_unknown_is_refused_and_not_free(world: World, model: str) -> None:
    """An unknown price counted as nothing, so ceilings never took effect."""
    answer = world.chat(model=model)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert "No price is known" in answer.json()["error"]["message"]
    assert world.bill() == []
    assert [(row.state, row.cost_nano) for row in world.rows()] == [("refused", 0)]
