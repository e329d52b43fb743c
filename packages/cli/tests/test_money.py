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

    assert [table.count(text) for text in ("the project", "each user", "ada", "day", "month")] == [2, 2, 2, 3, 3]


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


def test_user_and_each_user_exclude_each_other(operator: Behest) -> None:
    refused = operator("budget", "set", "--usd", "1", "--window", "day", "--user", "a", "--each-user", code=2)

    assert "exclude each other" in refused.err


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
