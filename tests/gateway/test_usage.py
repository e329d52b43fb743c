"""What was used, to the nano-dollar, and only for those it concerns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from behest_protocol.money import usd_from_nano, usd_text

from ..support.world import CHAT, World, events_of, messages

NOTHING = {"requests": 0, "tokens": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def ask(world: World, path: str, headers: dict[str, str] | None = None) -> Any:
    """A question about usage, and its answer."""
    answer = world.client.get(path, headers=headers or world.bearer())
    assert answer.status_code == 200, answer.text
    return answer.json()


def admin_of(world: World) -> dict[str, str]:
    """The header of an admin of the project."""
    key = world.new_key("admin")["key"]
    minted = world.client.post(
        "/v1/auth/mint", json={"user_id": "boss"}, headers={"Authorization": f"Bearer {key}"}
    ).json()
    return {"Authorization": f"Bearer {minted['jwt']}"}


def sums_of(world: World, user_id: str | None = None) -> dict[str, Any]:
    """The ledger's attempts added up, as the answers show sums."""
    rows = [row for row in world.rows() if row.attempt and user_id in (None, row.user_id)]
    into, out = sum(row.input_tokens for row in rows), sum(row.output_tokens for row in rows)
    return {
        "requests": len(rows),
        "tokens": into + out,
        "input_tokens": into,
        "output_tokens": out,
        "cost_usd": usd_from_nano(sum(row.cost_nano for row in rows)),
    }


def test_a_new_user_has_used_nothing(world: World) -> None:
    assert ask(world, "/v1/usage") == {"totals": NOTHING, "breakdown": [], "budgets": []}


def test_a_whole_answer_says_what_it_cost_and_so_do_the_ledger_and_the_bill(world: World) -> None:
    answer = world.chat()

    [row], [billed] = world.rows(), world.bill()
    usage = answer.json()["usage"]
    assert answer.headers["x-behest-cost-usd"] == usd_text(billed.cost_nano)
    assert (answer.headers["x-behest-model"], answer.headers["x-behest-provider"]) == ("gpt-4o-mini", "openai")
    assert (row.attempt_id, row.cost_nano, row.state) == (billed.attempt_id, billed.cost_nano, "settled")
    assert (row.input_tokens, row.output_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (row.request_id, row.user_id) == (answer.headers["x-request-id"], world.user)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stream_tells_usage_and_cost_in_its_last_chunk_to_whoever_asked(world: World, wanted: bool) -> None:
    with world.stream(stream_options={"include_usage": wanted}) as response:
        *chunks, done = events_of(response.read())

    usages = [msgspec.json.decode(chunk).get("usage") for chunk in chunks]
    [row], [billed] = world.rows(), world.bill()
    assert done == b"[DONE]"
    assert "x-behest-cost-usd" not in response.headers
    assert row.cost_nano == billed.cost_nano
    assert [usage for usage in usages[:-1] if usage is not None] == []
    if wanted:
        assert msgspec.json.decode(chunks[-1])["choices"] == []
        assert usages[-1]["cost_usd"] == usd_from_nano(row.cost_nano)
        assert usages[-1]["completion_tokens"] == row.output_tokens
    else:
        assert usages[-1] is None
        assert msgspec.json.decode(chunks[-1])["choices"][0]["finish_reason"] == "stop"


def test_usage_adds_up_answers_streams_and_nothing_that_was_refused(world: World) -> None:
    each, mine = world.budget(1, scope="each_user"), world.budget("2.50", scope="user", user_id=world.user)
    project = world.budget(3, window="month")
    world.budget(4, scope="user", user_id="somebody-else")
    assert world.chat().status_code == 200
    assert world.chat("And again", stream=True).status_code == 200
    assert world.chat(user_id="neighbour").status_code == 200
    assert world.chat(model="no-such-model").status_code == 400

    usage = ask(world, "/v1/usage")

    totals = sums_of(world, world.user)
    [bucket] = usage["breakdown"]
    assert usage["totals"] == totals
    assert totals["requests"] == 2
    assert bucket == {"timestamp": f"{datetime.now(UTC):%Y-%m-%d}T00:00:00Z", **totals}
    spent, of_all = totals["cost_usd"], sums_of(world)["cost_usd"]
    assert [budget.pop("resets_at")[-10:] for budget in usage["budgets"]] == ["T00:00:00Z"] * 3
    assert usage["budgets"] == [
        {
            "id": each,
            "scope": "each_user",
            "window": "day",
            "limit_usd": 1,
            "spent_usd": spent,
            "held_usd": 0,
            "mode": "enforce",
        },
        {
            "id": mine,
            "scope": "user",
            "window": "day",
            "limit_usd": 2.5,
            "spent_usd": spent,
            "held_usd": 0,
            "mode": "enforce",
        },
        {
            "id": project,
            "scope": "project",
            "window": "month",
            "limit_usd": 3,
            "spent_usd": of_all,
            "held_usd": 0,
            "mode": "enforce",
        },
    ]


def test_a_user_sees_their_own_usage_alone_and_an_admin_sees_everyones(world: World) -> None:
    world.chat()
    world.chat("A longer question of my neighbour's", user_id="neighbour")
    admin = admin_of(world)

    mine = sums_of(world, world.user)
    theirs = sums_of(world, "neighbour")
    assert mine != theirs
    assert ask(world, "/v1/usage")["totals"] == mine
    assert ask(world, f"/v1/usage?user_id={world.user}")["totals"] == mine
    assert ask(world, "/v1/usage", world.bearer("neighbour"))["totals"] == theirs
    assert ask(world, "/v1/usage", world.bearer("newcomer"))["totals"] == NOTHING
    assert ask(world, "/v1/usage?user_id=neighbour", admin)["totals"] == theirs
    assert ask(world, "/v1/usage?user_id=nobody", admin)["totals"] == NOTHING
    assert ask(world, "/v1/usage", admin)["totals"] == sums_of(world)


def test_users_of_two_projects_with_the_same_name_are_two_people(world: World, sibling: World) -> None:
    world.chat(user_id="alice")

    assert ask(sibling, "/v1/usage", sibling.bearer("alice"))["totals"] == NOTHING


def test_the_bill_has_the_documented_shape_and_the_ledgers_sums(world: World) -> None:
    world.chat()
    world.chat(model="gpt-4o")
    world.chat(user_id="neighbour")
    today = datetime.now(UTC).date()
    path = f"/v1/billing/usage?from={today}&to={today}"

    bill = ask(world, path, admin_of(world))
    mine = ask(world, path)

    costs = dict.fromkeys(("gpt-4o", "gpt-4o-mini"), 0)
    for row in world.rows():
        costs[row.model] += row.cost_nano
    sums = {name: value for name, value in sums_of(world).items() if name != "tokens"}
    window = {"from": f"{today}T00:00:00Z", "to": f"{today + timedelta(days=1)}T00:00:00Z"}
    assert bill == {
        "project_id": world.project_id,
        "window": window,
        "platform": {
            **sums,
            "by_model": [
                {"model": "gpt-4o", "requests": 1, "cost_usd": usd_from_nano(costs["gpt-4o"])},
                {"model": "gpt-4o-mini", "requests": 2, "cost_usd": usd_from_nano(costs["gpt-4o-mini"])},
            ],
        },
        "byok": {"requests": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0, "by_model": []},
    }
    assert mine["platform"]["requests"] == 2
    assert mine["window"] == window


@pytest.mark.parametrize(
    "start",
    [
        "{day}",
        "{day}T00:00:00Z",
        "{day}T00:00:00.000Z",
        "{day}T00%3A00%3A00Z",
        "{day}T00:00:00+00:00",
        "{day}T00:00:00%2B00:00",
        "{day}T02:00:00+02:00",
        "{day}T00:00:00.123456+00:00",
        "{day}%2000:00:00",
        "{day}T00:00:00",
    ],
)
@pytest.mark.parametrize("path", ["/v1/usage", "/v1/billing/usage"])
def test_times_are_read_as_published_clients_write_them_a_raw_plus_included(
    world: World, path: str, start: str
) -> None:
    world.chat()
    today = datetime.now(UTC).date()
    tomorrow = today + timedelta(days=1)

    found = ask(world, f"{path}?from={start.format(day=today)}&to={start.format(day=tomorrow)}")
    later = start.format(day=tomorrow + timedelta(days=1))
    missed = ask(world, f"{path}?from={start.format(day=tomorrow)}&to={later}")

    (found, missed) = (answer.get("totals") or answer["platform"] for answer in (found, missed))
    assert (found["requests"], missed["requests"]) == (1, 0)


def test_a_day_as_an_end_includes_that_day_and_an_instant_does_not(world: World) -> None:
    world.chat()
    today = datetime.now(UTC).date()

    def requests(query: str) -> int:
        count: int = ask(world, f"/v1/usage?from={today - timedelta(days=3)}&{query}")["totals"]["requests"]
        return count

    assert requests(f"to={today}") == 1
    assert requests(f"to={today}T00:00:00Z") == 0
    assert requests(f"to={today - timedelta(days=1)}") == 0


@pytest.mark.parametrize(
    ("granularity", "written"),
    [("minute", "%Y-%m-%dT%H:%M:00Z"), ("hour", "%Y-%m-%dT%H:00:00Z"), ("day", "%Y-%m-%dT00:00:00Z")],
)
def test_the_breakdown_has_a_line_for_each_step_in_which_something_was_used(
    world: World, granularity: str, written: str
) -> None:
    before = datetime.now(UTC)
    world.chat()
    world.chat()
    after = datetime.now(UTC)

    usage = ask(world, f"/v1/usage?granularity={granularity}&from={before.date()}")

    lines = usage["breakdown"]
    assert {line["timestamp"] for line in lines} <= {before.strftime(written), after.strftime(written)}
    assert sum(line["requests"] for line in lines) == 2
    assert usage["totals"] == sums_of(world)


def test_parameters_that_are_not_known_or_empty_are_passed_over(world: World) -> None:
    world.chat()

    usage = ask(world, "/v1/usage?from=&to=&user_id=&granularity=day&colour=red&granularity=")

    assert usage["totals"]["requests"] == 1


def test_a_budget_that_is_set_later_counts_what_was_used_before(world: World) -> None:
    world.chat()
    spent = sums_of(world)["cost_usd"]

    world.budget(1)
    world.budget(1, scope="each_user", window="month")

    assert [budget["spent_usd"] for budget in ask(world, "/v1/usage")["budgets"]] == [spent, spent]
    assert [budget["spent_usd"] for budget in ask(world, "/v1/usage", world.bearer("new"))["budgets"]] == [spent, 0]


def test_while_a_call_runs_its_hold_is_seen_and_afterwards_its_cost(world: World) -> None:
    world.budget(1)
    world.script({"completion_tokens": 40, "token_delay_ms": 25})

    with world.stream(max_tokens=100) as response:
        pieces = response.iter_raw()
        next(pieces)
        [running] = ask(world, "/v1/usage")["budgets"]
        [held] = world.holds().values()
        assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
    [over] = ask(world, "/v1/usage")["budgets"]

    assert (running["spent_usd"], running["held_usd"]) == (0, usd_from_nano(held))
    assert (over["spent_usd"], over["held_usd"]) == (sums_of(world)["cost_usd"], 0)
    assert 0 < over["spent_usd"] < running["held_usd"]


def test_a_refusal_for_money_says_how_much_when_and_whose(world: World) -> None:
    budget_id = world.budget("0.0001", scope="each_user", window="month")
    body = {"messages": messages("x" * 1000), "max_tokens": 50}

    answer = world.client.post(CHAT, json=body, headers=world.bearer())

    details = answer.json()["error"]["details"]
    assert answer.status_code == 402
    assert TIME.fullmatch(details.pop("resets_at"))
    assert details.pop("needed_usd") > 0.0001
    assert details == {
        "scope": "each_user",
        "window": "month",
        "limit_usd": 0.0001,
        "spent_usd": 0,
        "held_usd": 0,
        "budget_id": budget_id,
    }
    assert world.bill() == []
