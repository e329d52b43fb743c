"""Kill switches from the command line, by the names that people know."""

from __future__ import annotations

from typing import Any

import pytest

from .calling import Behest


def test_a_user_is_turned_off_and_on_again(operator: Behest, server: Behest, project: dict[str, Any]) -> None:
    on = operator("kill", "on", "user", "ada/é", "-p", project["slug"], "--reason", "runaway", "--json").json
    refused = server("chat", "Say hello", "--user", "ada/é", code=1)
    other = server("chat", "Say hello", "--user", "bob")
    listed = operator("kill", "list").out
    off = operator("kill", "off", "user", "ada/é", "-p", project["slug"], "--reason", "mended & well")
    served = server("chat", "Say hello", "--user", "ada/é")
    log = operator("kill", "log", "--json").json["data"]

    target = f"{project['id']}/ada/é"
    assert (on["scope"], on["target"], on["reason"]) == ("user", target, "runaway")
    assert "turned off by a kill switch" in refused.err
    assert "(forbidden)" in refused.err
    assert "This cost" in other.err
    assert (target in listed, "runaway" in listed) == (True, True)
    assert off.out == "The kill switch for user ada/é is off.\n"
    assert "This cost" in served.err
    assert [(c["turned"], c["reason"]) for c in log if c["target"] == target] == [
        ("off", "mended & well"),
        ("on", "runaway"),
    ]


def test_every_scope_has_its_switch(operator: Behest, project: dict[str, Any]) -> None:
    named = {"tenant": "demo", "project": project["slug"], "model": "meta/llama-4"}
    tenants = operator("tenant", "list", "--json").json["data"]
    named["tenant"] = next(t["name"] for t in tenants if t["id"] == project["tenant_id"])
    targets = {"tenant": project["tenant_id"], "project": project["id"], "model": "meta/llama-4"}

    for scope, name in named.items():
        assert operator("kill", "on", scope, name, "--json").json["target"] == targets[scope]
        operator("kill", "off", scope, name)
    assert operator("kill", "on", "global", "--json").json["target"] is None
    assert operator("kill", "off", "global").out == "The kill switch for global is off.\n"

    empty = operator("kill", "list")
    assert (empty.out, "No kill switch is on." in empty.err) == ("", True)


@pytest.mark.parametrize("words", [["tenant"], ["project"], ["user"], ["model"], ["global", "x"], ["galaxy"]])
def test_a_switch_that_is_none_is_not_asked_for(operator: Behest, words: list[str]) -> None:
    operator("kill", "on", *words, code=2)
    operator("kill", "off", *words, code=2)


def test_a_project_that_is_unknown_is_named(operator: Behest) -> None:
    assert "no-such-slug" in operator("kill", "on", "project", "no-such-slug", code=2).err
