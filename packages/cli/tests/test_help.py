"""What the command line says about itself, and how it says no."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import typer.main
from behest_cli.dev import Ready
from behest_cli.main import app

from .calling import Behest, Stub


def commands() -> list[tuple[str, ...]]:
    """List every command, groups included."""

    def below(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        return [
            path,
            *(found for name, sub in getattr(command, "commands", {}).items() for found in below(sub, (*path, name))),
        ]

    return below(typer.main.get_command(app), ())


def test_the_commands_are_these() -> None:
    groups = {
        "budget", "key", "kill", "ledger", "origin", "profile", "project", "signing-key", "tenant", "tiers",
        "token", "webhooks",
    }  # fmt: skip
    assert {" ".join(path) for path in commands() if len(path) == 1 and path[0] not in groups} == {
        "chat", "dev", "events", "gateway", "new", "simulate", "usage", "version",
    }  # fmt: skip
    assert {" ".join(path) for path in commands() if len(path) == 2} == {
        "budget list", "budget remove", "budget set", "budget top-up", "budget top-ups", "key create", "key list",
        "key revoke", "kill list", "kill log", "kill off", "kill on", "ledger verify", "origin add", "origin list",
        "origin remove", "profile save", "profile show", "project create", "project list", "project show",
        "signing-key create", "signing-key list", "signing-key revoke", "tenant create", "tenant list", "tiers list",
        "tiers remove", "tiers set", "tiers show", "token mint", "usage export", "webhooks add", "webhooks deliveries",
        "webhooks disable", "webhooks enable", "webhooks list", "webhooks remove", "webhooks replay", "webhooks rotate",
        "webhooks test",
    }  # fmt: skip


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself(behest: Behest, path: tuple[str, ...]) -> None:
    said = behest(*path, "--help")
    assert "Usage:" in said.out


def test_help_loads_nothing_that_only_a_command_needs() -> None:
    heavy = ("behest", "behest_gateway.app", "copier", "fastapi", "httpx", "uvicorn", "pydantic")
    program = "import sys, behest_cli.main; sys.stdout.write(' '.join(n for n in sys.argv[1:] if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program, *heavy], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == ""


def test_python_m_behest_cli_is_behest() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "behest_cli", "version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "behest-gateway" in done.stdout


def test_shells_complete_commands(behest: Behest) -> None:
    said = behest(_BEHEST_COMPLETE="complete_bash", COMP_WORDS="behest sign", COMP_CWORD="1")
    assert said.out.split() == ["signing-key"]


@pytest.mark.parametrize("command", ["tenant list", "key list", "chat hello", "usage"])
def test_without_an_address_the_next_step_is_named(behest: Behest, command: str) -> None:
    said = behest(*command.split(), code=2)
    assert "BEHEST_BASE_URL" in said.err
    assert "behest dev" in said.err


def test_without_a_secret_the_next_step_is_named(behest: Behest) -> None:
    address = {"BEHEST_BASE_URL": "http://127.0.0.1:9"}
    assert "BEHEST_ADMIN_TOKEN" in behest("tenant", "list", code=2, **address).err
    assert "BEHEST_KEY" in behest("chat", "hello", code=2, **address).err


@pytest.mark.parametrize("command", ["tenant list", "token mint --user ada"])
def test_when_nothing_answers_it_says_how_to_start_a_gateway(behest: Behest, command: str) -> None:
    import socket

    with socket.socket() as taken:  # Bound, but not listening: a connection is refused, and nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        known = {"BEHEST_BASE_URL": address, "BEHEST_ADMIN_TOKEN": "t", "BEHEST_KEY": "behest_sk_live_" + "0" * 32}
        said = behest(*command.split(), code=1, **known)

    assert f"No gateway answers at {address}." in said.err
    assert "`behest gateway` or `behest dev`" in said.err


def test_a_wrong_secret_is_refused_and_not_shown(behest: Behest, ready: Ready) -> None:
    said = behest("tenant", "list", code=1, BEHEST_BASE_URL=ready["base_url"], BEHEST_ADMIN_TOKEN="not-the-secret")

    assert "BEHEST_ADMIN_TOKEN" in said.err
    assert "not-the-secret" not in said.err + said.out


@pytest.mark.parametrize("address", ["localhost:8080", "not an address", "ftp://a.example"])
def test_what_is_no_address_is_refused(behest: Behest, address: str) -> None:
    assert "Not an address" in behest("tenant", "list", code=2, BEHEST_BASE_URL=address, BEHEST_ADMIN_TOKEN="t").err


def test_a_failing_gateway_is_shown_with_its_trace(behest: Behest, stub: Stub) -> None:
    body = '{"error": "Boom.", "message": "Boom.", "code": "SERVER_ERROR", "trace_id": "tr_1"}'
    said = behest("tenant", "list", code=1, BEHEST_BASE_URL=stub(500, body, {}), BEHEST_ADMIN_TOKEN="t")

    assert "The gateway refused: Boom. (server_error)" in said.err
    assert "tr_1" in said.err


@pytest.mark.parametrize(("status", "body"), [(200, "<html>hello</html>"), (404, "no such page")])
def test_something_that_is_no_gateway_is_recognised(behest: Behest, stub: Stub, status: int, body: str) -> None:
    said = behest("tenant", "list", code=1, BEHEST_BASE_URL=stub(status, body, {}), BEHEST_ADMIN_TOKEN="t")

    assert "Behest gateway" in said.err
    assert "--base-url" in said.err


def test_lists_that_are_empty_say_the_next_step(behest: Behest, stub: Stub) -> None:
    said = behest("tenant", "list", BEHEST_BASE_URL=stub(200, '{"data": []}', {}), BEHEST_ADMIN_TOKEN="t")

    assert (said.out, "behest tenant create" in said.err) == ("", True)


def test_json_is_exactly_what_the_gateway_answered(behest: Behest, stub: Stub) -> None:
    body = '{"data": [ {"id": "t_1",  "limit": 0.10, "new_field": [1, {}]} ]}'
    said = behest("tenant", "list", "--json", BEHEST_BASE_URL=stub(200, body, {}), BEHEST_ADMIN_TOKEN="t")

    assert said.out == body + "\n"


def test_with_several_projects_one_has_to_be_named(operator: Behest, project: dict[str, Any]) -> None:
    said = operator("key", "list", code=2)
    unknown = operator("key", "list", "--project", "no-such-slug", code=2)

    slugs = [each["slug"] for each in json.loads(operator("project", "list", "--json").out)["data"]]
    assert project["slug"] in slugs
    assert f"There are {len(slugs)} projects: {', '.join(slugs[:10])}." in said.err
    assert "--project" in said.err
    assert "There is no project 'no-such-slug'" in unknown.err


def test_a_slug_host_is_as_good_an_address_as_the_plain_one(operator: Behest, ready: Ready) -> None:
    assert ready["project_id"] in operator("project", "list", "--json", BEHEST_BASE_URL=ready["slug_url"]).out
    assert operator("token", "mint", "-u", "a", BEHEST_BASE_URL=ready["slug_url"], BEHEST_KEY=ready["api_key"]).out
