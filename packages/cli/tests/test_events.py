"""Events and webhooks from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from behest_cli.dev import Ready

from .calling import Behest, Stub


def revoke_a_key(operator: Behest, project: dict[str, Any]) -> str:
    """Make an event; returns the id of the key that it is about."""
    key_id = str(operator("key", "create", "--project", project["id"], "--json").json["id"])
    operator("key", "revoke", key_id, "--project", project["id"])
    return key_id


def test_what_happened_is_listed_oldest_first(operator: Behest, project: dict[str, Any]) -> None:
    keys = [revoke_a_key(operator, project) for _ in range(3)]

    listed = operator("events", "-p", project["slug"]).out.splitlines()
    lines = operator("events", "-p", project["slug"], "-n", "2", "--json").out.splitlines()
    everything = operator("events", "--all", "--type", "key_revoked", "--json").out.splitlines()
    nothing = operator("events", "-p", project["slug"], "--type", "budget_alert")

    assert listed[0].split() == ["At", "Type", "About"]
    assert [f"key_id={key}" in line for key, line in zip(keys, listed[1:], strict=True)] == [True] * 3
    assert [json.loads(line)["key_id"] for line in lines] == keys[1:]
    assert set(keys) <= {json.loads(line)["key_id"] for line in everything}
    assert (nothing.out, "Nothing has happened yet." in nothing.err) == ("", True)
    assert "type is one of" in operator("events", "-p", project["slug"], "--type", "galaxy", code=1).err


def test_what_happens_is_shown_as_it_happens(operator: Behest, project: dict[str, Any], ready: Ready) -> None:
    env = {**os.environ, "BEHEST_BASE_URL": ready["base_url"], "BEHEST_ADMIN_TOKEN": ready["admin_token"]}
    command = [sys.executable, "-m", "behest_cli", "events", "--follow", "--json", "-p", project["id"]]
    stop = threading.Event()
    told: list[str] = []

    def go_on() -> None:
        while not stop.is_set():
            told.append(revoke_a_key(operator, project))

    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        impatience = threading.Timer(60, process.kill)
        impatience.start()
        making = threading.Thread(target=go_on)
        making.start()
        try:
            assert process.stdout is not None
            seen = [json.loads(process.stdout.readline())["key_id"] for _ in range(3)]
        finally:
            stop.set()
            making.join(60)
            process.terminate()
            impatience.cancel()

    first = told.index(seen[0])
    assert told[first : first + 3] == seen


def test_following_says_when_no_gateway_answers_or_it_refuses(behest: Behest, stub: Stub) -> None:
    refusing = stub(403, '{"message": "This needs the operator secret.", "code": "FORBIDDEN"}', {})
    said = behest("events", "--all", "--follow", code=1, BEHEST_BASE_URL=refusing, BEHEST_ADMIN_TOKEN="t")
    nobody = behest("events", "--all", "--follow", code=1, BEHEST_BASE_URL="http://127.0.0.1:9", BEHEST_ADMIN_TOKEN="t")

    assert "This needs the operator secret. (forbidden)" in said.err
    assert "No gateway answers" in nobody.err


def test_a_webhook_is_added_tested_looked_at_replayed_and_removed(
    operator: Behest, project: dict[str, Any], stub: Stub
) -> None:
    where = ("-p", project["slug"])
    url = stub(204, "", {})
    added = operator("webhooks", "add", url, "--type", "key_revoked", "--type", "budget_alert", *where, "--json").json
    webhook = added["id"]
    listed = operator("webhooks", "list", *where)
    sent = operator("webhooks", "test", webhook, *where)
    (delivery,) = operator("webhooks", "deliveries", webhook, *where, "--json").json["data"]
    table = operator("webhooks", "deliveries", webhook, *where).out
    replayed = operator("webhooks", "replay", webhook, delivery["id"], *where)
    no_dead = operator("webhooks", "replay", webhook, "--dead", *where)
    rotated = operator("webhooks", "rotate", webhook, "--overlap-hours", "0", *where)
    off, on = operator("webhooks", "disable", webhook, *where), operator("webhooks", "enable", webhook, *where)
    removed = operator("webhooks", "remove", webhook, *where)
    empty = operator("webhooks", "list", *where)

    assert added["types"] == ["budget_alert", "key_revoked"]
    assert (url in listed.out, added["secret"] in listed.out) == (True, False)
    assert sent.out == f"Sent {delivery['event']['id']}.\n"
    assert ("webhook_test" in table, delivery["id"] in table) == (True, True)
    assert replayed.out == f"Sent {delivery['id']} again.\n"
    assert "No delivery is dead." in no_dead.err
    assert rotated.out.splitlines()[-1].startswith("whsec_")
    assert rotated.out.splitlines()[-1] != added["secret"]
    assert "shown only now" in rotated.err
    assert (off.out, on.out) == (f"{webhook} is off.\n", f"{webhook} is on.\n")
    assert removed.out == f"Removed {webhook}.\n"
    assert "behest webhooks add" in empty.err


def test_what_is_dead_is_sent_again_in_order(behest: Behest, stub: Stub) -> None:
    address = stub(200, json.dumps({"data": [{"id": "2"}, {"id": "1"}]}), {})
    project = "0198c0de-7a11-7c0f-9f00-3b1c5a4e2d10"
    said = behest("webhooks", "replay", "w", "--dead", "-p", project, BEHEST_BASE_URL=address, BEHEST_ADMIN_TOKEN="t")

    assert said.out == "Sent 1 again.\nSent 2 again.\n"


@pytest.mark.parametrize(
    "words", [["replay", "w"], ["replay", "w", "1", "--dead"], ["deliveries", "w", "--state", "x"]]
)
def test_a_command_that_says_too_little_or_too_much_is_not_sent(operator: Behest, words: list[str]) -> None:
    operator("webhooks", *words, code=2)


def test_an_address_that_is_refused_is_named(operator: Behest, project: dict[str, Any]) -> None:
    said = operator("webhooks", "add", "ftp://example.com", "-p", project["slug"], code=1)

    assert "url is an https address" in said.err
