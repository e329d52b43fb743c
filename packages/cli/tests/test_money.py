"""Budgets and allowed origins, set from the command line and kept by the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from .calling import Behest


def test_each_user_is_stopped_by_a_budget_of_their_own(
    operator: Behest, server: Behest, project: dict[str, Any]
) -> None:
    operator("budget", "set", "-p", project["id"], "--each-user", "--usd", "0.00006", "--window", "day")
    first = server("chat", "Say hello", "--user", "ada")
    refused = server("chat", "Say hello " + "again " * 20, "--user", "ada", code=1)
    other = server("chat", "Say hello", "--user", "bob")

    assert "of $0.00006 left (each user, by day" in first.err
    assert "(quota_exceeded)" in refused.err
    assert "behest budget" in refused.err
    assert "This cost" in other.err


def test_setting_a_budget_again_changes_its_limit(operator: Behest, project: dict[str, Any]) -> None:
    budget = ("budget", "set", "-p", project["slug"], "--user", "ada", "--window", "month", "--json")
    first = operator(*budget, "--usd", "5").json
    second = operator(*budget, "--usd", "$7.50").json
    listed = operator("budget", "list", "-p", project["slug"], "--json").json["data"]

    assert (first["id"], first["limit_usd"]) == (second["id"], 5)
    assert [(entry["id"], entry["limit_usd"], entry["scope"]) for entry in listed] == [(first["id"], 7.5, "user")]


def test_budgets_of_other_scopes_and_windows_stand_beside_each_other(operator: Behest, project: dict[str, Any]) -> None:
    for more in ([], ["--each-user"], ["--user", "ada"]):
        for window in ("day", "month"):
            operator("budget", "set", "-p", project["id"], "--usd", "1", "--window", window, *more)
    table = operator("budget", "list", "-p", project["id"]).out

    assert [table.count(text) for text in ("the project", "each user", "user ada", "day", "month")] == [2, 2, 2, 3, 3]


def test_a_budget_keeps_its_time_zone(operator: Behest, project: dict[str, Any]) -> None:
    budget = ("budget", "set", "-p", project["id"], "--usd", "1", "--window", "day")
    operator(*budget, "--timezone", "Europe/Berlin")
    refused = operator(*budget, "--timezone", "Asia/Tokyo", code=1)

    assert "counts in Europe/Berlin" in refused.err
    assert "behest budget remove" in refused.err


def test_a_removed_budget_limits_nothing(operator: Behest, project: dict[str, Any]) -> None:
    made = operator("budget", "set", "-p", project["id"], "--usd", "1", "--window", "day", "--json").json
    removed = operator("budget", "remove", made["id"], "-p", project["id"])
    listed = operator("budget", "list", "-p", project["id"])

    assert removed.out == f"Removed {made['id']}.\n"
    assert (listed.out, "There is no budget." in listed.err) == ("", True)


@pytest.mark.parametrize("amount", ["free", "-1", "nan", "inf", ""])
def test_an_amount_that_is_none_is_refused_before_anything_is_sent(behest: Behest, amount: str) -> None:
    nobody = {"BEHEST_BASE_URL": "http://127.0.0.1:9", "BEHEST_ADMIN_TOKEN": "t"}
    refused = behest("budget", "set", f"--usd={amount}", "--window", "day", code=2, **nobody)

    assert "Not an amount in US dollars" in refused.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--usd 1 --window day --user a --each-user", "--user and --each-user exclude each other"),
        ("--usd 1 --window day --model m --each-key --tenant t", "--model and --tenant and --each-key exclude each"),
        ("--usd 1 --tokens 5 --window day", "Exactly one of --usd, --tokens and --requests"),
        ("--window day", "Exactly one of --usd, --tokens and --requests"),
        ("--usd 1", "Over which window?"),
        ("--usd 1 --window day --hours 5", "--window and --hours exclude each other"),
    ],
)
def test_options_that_contradict_each_other_are_refused_with_the_next_step(
    operator: Behest, options: str, said: str
) -> None:
    refused = operator("budget", "set", *options.split(), code=2)

    assert said in refused.err
    assert "Write it like" in refused.err or "Write --window" in refused.err or "in turn" in refused.err


def test_a_budget_is_set_for_every_scope_unit_and_window_and_again_with_a_new_limit(
    operator: Behest, project: dict[str, Any]
) -> None:
    mine = ("-p", project["id"])
    key_id = operator("key", "create", *mine, "--json").json["id"]
    asked = {
        (): ("project", "--usd 0.5", "day"),
        ("--user", "ada"): ("user", "--tokens 50000", "month"),
        ("--each-user",): ("each_user", "--requests 20", "day"),
        ("--each-session",): ("each_session", "--usd 2", "lifetime"),
        ("--each-thread",): ("each_thread", "--tokens 1000", "rolling"),
        ("--key", key_id): ("key", "--usd 3", "rolling"),
        ("--each-key",): ("each_key", "--requests 7", "month"),
        ("--model", "gpt-4o"): ("model", "--usd 4", "lifetime"),
    }
    for _ in range(2):
        made: list[dict[str, Any]] = []
        for options, (scope, limit, window) in asked.items():
            over = ("--hours", "5") if window == "rolling" else ("--window", window)
            budget = operator("budget", "set", *mine, *options, *limit.split(), *over, "--json").json
            unit, value = limit.removeprefix("--").split()
            assert (budget["scope"], budget["window"], budget["unit"]) == (scope, window, unit)
            assert (budget[f"limit_{unit}"], budget["hours"]) == (float(value), 5 if window == "rolling" else None)
            made.append(budget)
        assert operator("budget", "list", *mine, "--json").json["data"] == made

    assert [budget["user_id"] for budget in made if budget["scope"] == "user"] == ["ada"]
    assert [budget["key_id"] for budget in made if budget["scope"] == "key"] == [key_id]
    assert [budget["model"] for budget in made if budget["scope"] == "model"] == ["gpt-4o"]


def test_budgets_are_listed_with_their_units_and_modes(operator: Behest, project: dict[str, Any]) -> None:
    mine = ("-p", project["id"])
    operator("budget", "set", *mine, "--model", "gpt-4o", "--tokens", "50000", "--hours", "5", "--shadow")
    operator("budget", "set", *mine, "--each-thread", "--requests", "1", "--window", "lifetime")
    heading, first, second = (" ".join(line.split()) for line in operator("budget", "list", *mine).out.splitlines())

    assert heading == "Id For Window Limit Spent Held Refused Resets Mode"
    assert "model gpt-4o 5 h 50,000 tokens 0 0 0 20" in first
    assert first.endswith("Z shadow")
    assert second.endswith("each thread lifetime 1 request – – 0 – enforce")


def test_mode_and_thresholds_change_only_when_they_are_given(operator: Behest, project: dict[str, Any]) -> None:
    budget = ("budget", "set", "-p", project["id"], "--window", "day", "--json", "--usd")
    made = operator(*budget, "5", "--shadow", "--threshold", "90", "--threshold", "70").json
    kept = operator(*budget, "6").json
    enforced = operator(*budget, "6", "--enforce").json

    assert [made[name] for name in ("mode", "thresholds", "limit_usd")] == ["shadow", [70, 90], 5]
    assert kept == {**made, "limit_usd": 6}
    assert enforced == {**kept, "mode": "enforce"}


def test_an_empty_wallet_says_to_top_it_up_and_then_pays(
    operator: Behest, server: Behest, project: dict[str, Any]
) -> None:
    mine = ("-p", project["id"])
    wallet = operator("budget", "set", *mine, "--user", "ada", "--usd", "0", "--window", "lifetime", "--json").json[
        "id"
    ]
    refused = server("chat", "Say hello", "--user", "ada", code=1)
    none_yet = operator("budget", "top-ups", wallet, *mine)
    added = operator("budget", "top-up", wallet, "--usd", "5", "--note", "invoice 7", "--id", "pay_7", *mine)
    again = operator("budget", "top-up", wallet, "--usd", "5", "--id", "pay_7", *mine, "--json").json
    other = operator("budget", "top-up", wallet, "--usd", "6", "--id", "pay_7", *mine, code=1)
    answered = server("chat", "Say hello", "--user", "ada")
    listed = operator("budget", "top-ups", wallet, *mine)

    assert f"`behest budget top-up {wallet}`" in refused.err
    assert (none_yet.out, f"`behest budget top-up {wallet} --usd 5`" in none_yet.err) == ("", True)
    assert "user ada  lifetime  $5.00  $0.00" in added.out
    assert (again["id"], again["budget"]["limit_usd"]) == ("pay_7", 5)
    assert "behest budget set --window lifetime" in " ".join(other.err.split())
    assert "of $5.00 left (this user, by lifetime)" in answered.err
    heading, row = listed.out.splitlines()
    assert heading.split() == ["Id", "Added", "Note", "By", "At"]
    assert " ".join(row.split()).startswith("pay_7 $5.00 invoice 7 operator ")


def test_a_budget_that_is_not_there_is_refused_with_the_next_step(operator: Behest, project: dict[str, Any]) -> None:
    for command in (("remove", "nobody"), ("top-up", "nobody", "--usd", "1"), ("top-ups", "nobody")):
        refused = operator("budget", *command, "-p", project["id"], code=1)
        assert "`behest budget list`" in refused.err


def test_a_tenants_budget_is_set_listed_topped_up_and_removed(operator: Behest) -> None:
    tenant = operator("tenant", "create", "Initech", "--json").json["id"]
    of_it = ("--tenant", tenant)
    made = operator("budget", "set", *of_it, "--tokens", "100", "--window", "lifetime", "--json").json
    changed = operator("budget", "set", *of_it, "--tokens", "200", "--window", "lifetime", "--json").json
    topped = operator("budget", "top-up", made["id"], "--tokens", "50", *of_it, "--json").json["budget"]
    added = operator("budget", "top-ups", made["id"], *of_it).out
    listed = operator("budget", "list", *of_it).out
    operator("budget", "remove", made["id"], *of_it)

    assert (made["scope"], made["project_id"], made["tenant_id"]) == ("tenant", None, tenant)
    assert (changed["id"], changed["limit_tokens"], topped["limit_tokens"]) == (made["id"], 200, 250)
    assert "50 tokens" in added
    assert "the tenant  lifetime  250 tokens  0" in listed
    assert operator("budget", "list", *of_it).out == ""


def test_an_origin_is_allowed_at_once_and_no_longer_when_removed(operator: Behest, project: dict[str, Any]) -> None:
    mine = ("-p", project["id"])
    operator("origin", "add", "http://localhost:9000/", *mine)
    again = operator("origin", "add", "https://app.example", *mine).out
    settings = operator("origin", "list", *mine, "--json").json
    operator("origin", "remove", "http://localhost:9000", *mine)
    left = operator("origin", "list", *mine).out
    unknown = operator("origin", "remove", "http://localhost:9000", *mine, code=1)

    assert again == "http://localhost:9000\nhttps://app.example\n"
    assert (settings["deployed"]["allowed_origins"], settings["has_draft"]) == (again.split(), False)
    assert left == "https://app.example\n"
    assert "is not allowed anyway" in unknown.err


def test_somebody_elses_draft_is_not_deployed_along(operator: Behest, ready: Any, project: dict[str, Any]) -> None:
    from behest_cli.management import Management

    path = f"/v1/projects/{project['id']}/settings"
    with Management(base_url=ready["base_url"], token=ready["admin_token"]) as management:
        management.put(path, {**project["settings"], "system_prompt": "half-written"})
        refused = operator("origin", "add", "http://localhost:9000", "-p", project["id"], code=1)
        settings = management.get(path).data

    assert "draft" in refused.err
    assert (settings["deployed"]["system_prompt"], settings["deployed"]["allowed_origins"]) == (None, [])


@pytest.mark.parametrize("origin", ["localhost:8000", "http://a.example/path", "ftp://a.example", ""])
def test_what_is_no_origin_is_refused(operator: Behest, origin: str) -> None:
    assert "Not an origin" in operator("origin", "add", origin, code=2).err
