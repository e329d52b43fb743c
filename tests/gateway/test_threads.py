"""Stored threads over a real gateway: what a provider sees, what is kept, who may read it, and what is forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from behest import Behest, BehestError
from behest_protocol.sse import SSEDecoder

from ..conftest import NewWorld
from ..support.gateway import Gateway, Tenant, running_gateway, start_gateway
from ..support.provider import Provider
from ..support.world import CHAT, World

MAX_WAIT = 20.0


def say(
    world: World, thread: str | None, *messages: dict[str, Any], user: str | None = None, **more: Any
) -> httpx.Response:
    """Ask in a thread, and wait for the whole answer."""
    headers = {**world.bearer(user), **more.pop("headers", {})}
    if thread is not None:
        headers["X-Thread-Id"] = thread
    return world.client.post(CHAT, json={"messages": list(messages), **more}, headers=headers)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def bot(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def seen(world: World, who: str | None = None) -> list[list[dict[str, Any]]]:
    """The messages of each call that the provider got for a user."""
    answer = httpx.get(f"{world.provider.base_url}/_fake/requests", params={"user": who or world.user})
    return [request["messages"] for request in answer.json()["requests"]]


def pairs(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]


def threads(world: World, who: str | None = None, **query: Any) -> Any:
    answer = world.client.get("/v1/threads", params=query, headers=world.bearer(who))
    assert answer.status_code == 200, answer.text
    return answer.json()


def kept(world: World, thread: str, who: str | None = None) -> list[dict[str, Any]]:
    answer = world.client.get(f"/v1/threads/{thread}/messages", headers=world.bearer(who))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def stream_some(world: World, thread: str, messages: list[dict[str, Any]], enough: int) -> str:
    """Read some of a streamed answer, and hang up; returns what was read."""
    text = ""
    headers = {**world.bearer(), "X-Thread-Id": thread}
    body = {"messages": messages, "stream": True}
    with world.client.stream("POST", CHAT, json=body, headers=headers) as answer:
        assert answer.status_code == 200
        decoder = SSEDecoder()
        for part in answer.iter_raw():
            for event in decoder.feed(part):
                text += httpx.Response(200, content=event).json()["choices"][0]["delta"].get("content") or ""
            if len(text) >= enough:
                break
    world.bill()  # the provider is at rest, and so the attempt is settled
    return text


# What a provider sees -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["new message only", "whole history"])
@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_thirty_turns_with_an_aborted_one_replay_in_order(new_world: NewWorld, style: str, how: str) -> None:
    world = new_world(memory_window=1_000)
    page: list[dict[str, Any]] = []
    for number in range(30):
        question = user(f"Question {number}?")
        sent = [*page, question] if style == "whole history" else [question]
        if number == 12:
            world.script({"times": 1, "completion_tokens": 2000, "token_delay_ms": 5})
            shown = stream_some(world, "t", sent, enough=20)
        else:
            world.script({"times": 1, "reply": f"Answer {number}."})
            answer = say(world, "t", *sent, stream=how == "streamed")
            assert answer.status_code == 200
            shown = f"Answer {number}."
        page += [question, bot(shown)]

    world.script({"times": 1, "reply": "The end."})
    say(world, "t", *([*page, user("And?")] if style == "whole history" else [user("And?")]))

    last = seen(world)[-1]
    told = pairs(last)
    assert [role for role, _ in told] == ["user", "assistant"] * 30 + ["user"]
    assert [text for _, text in told[::2]] == [*(f"Question {n}?" for n in range(30)), "And?"]
    answers = [text for _, text in told[1::2]]
    assert answers[:12] + answers[13:] == [f"Answer {n}." for n in range(30) if n != 12]
    assert answers[12].startswith(page[25]["content"])
    everything = kept(world, "t")
    assert pairs(everything)[::2] == told[::2]
    assert [m["finish_reason"] for m in everything[1::2]] == ["stop"] * 12 + ["aborted"] + ["stop"] * 18


def test_one_conversation_may_go_on_in_the_other_style(world: World) -> None:
    world.script({"reply": "Yes."})
    say(world, "t", user("One?"))
    say(world, "t", user("One?"), bot("Yes."), user("Two?"))
    say(world, "t", user("Three?"))

    assert pairs(seen(world)[-1]) == [
        ("user", "One?"), ("assistant", "Yes."), ("user", "Two?"), ("assistant", "Yes."), ("user", "Three?"),
    ]  # fmt: skip


def test_prompts_come_before_the_history(new_world: NewWorld) -> None:
    world = new_world(system_prompt="The project's.")
    world.script({"reply": "Yes."})
    instructions = {"role": "system", "content": "The caller's."}
    say(world, "t", instructions, user("One?"))
    say(world, "t", instructions, user("Two?"))

    assert pairs(seen(world)[-1]) == [
        ("system", "The project's."), ("system", "The caller's."),
        ("user", "One?"), ("assistant", "Yes."), ("user", "Two?"),
    ]  # fmt: skip
    assert [m["role"] for m in kept(world, "t")] == ["user", "assistant", "user", "assistant"]


def test_only_the_window_is_told_again(new_world: NewWorld) -> None:
    world = new_world(memory_window=2)
    world.script({"reply": "Yes."})
    for text in ("One?", "Two?", "Three?"):
        say(world, "t", user(text))

    assert pairs(seen(world)[-1]) == [("user", "Two?"), ("assistant", "Yes."), ("user", "Three?")]
    assert len(kept(world, "t")) == 6


def test_the_hold_covers_the_history(world: World) -> None:
    world.budget(1)
    world.script({"times": 1, "reply": "word " * 500})
    say(world, "t", user("One?"))
    say(world, "t", user("Two?"))

    first, second = world.rows()
    assert second.input_tokens > first.input_tokens + 400
    assert second.cost_nano <= second.hold_nano


def test_without_a_thread_nothing_is_kept(world: World) -> None:
    say(world, None, user("One?"), headers={"X-Session-Id": "s-1"})
    say(world, None, user("Two?"), headers={"X-Session-Id": "s-1"})

    assert threads(world) == []
    assert pairs(seen(world)[-1]) == [("user", "Two?")]


def test_a_project_may_keep_no_threads(new_world: NewWorld) -> None:
    world = new_world(memory_enabled=False)
    say(world, "t", user("One?"))

    assert threads(world) == []
    assert len(world.rows()) == 1


def test_a_tier_may_change_what_is_kept(world: World) -> None:
    world.manage("POST", "/tiers", {"name": "forgetful", "overrides": {"memory_enabled": False}})
    headers = {"Authorization": f"Bearer {world.token(tier='forgetful')}"}
    say(world, "t", user("One?"), headers=headers)

    assert threads(world) == []


def test_tool_calls_are_kept_with_their_results_or_not_at_all(new_world: NewWorld) -> None:
    asked = {"times": 1, "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]}
    roles: dict[bool, list[str]] = {}
    for keeps in (True, False):
        world = new_world(store_tool_calls=keeps)
        world.script(asked)  # type: ignore[arg-type]
        called = say(world, "t", user("Rome?"), stream=False).json()["choices"][0]["message"]
        answer = {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "Sunny"}
        world.script({"times": 1, "reply": "Sunny."})
        assert say(world, "t", *([answer] if keeps else [user("Rome?"), called, answer])).status_code == 200
        assert [m["role"] for m in seen(world)[-1]] == ["user", "assistant", "tool"]
        roles[keeps] = [m["role"] for m in kept(world, "t")]

    assert roles == {True: ["user", "assistant", "tool", "assistant"], False: ["user", "assistant"]}


def test_streamed_tool_calls_are_put_together(world: World) -> None:
    world.script({"times": 1, "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]})
    say(world, "t", user("Rome?"), stream=True)

    [_, called] = kept(world, "t")
    [call] = called["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert httpx.Response(200, content=call["function"]["arguments"]).json() == {"city": "Rome"}
    assert called["finish_reason"] == "tool_calls"


# What is not kept ---------------------------------------------------------------------------------------------------


def test_what_a_budget_refuses_is_not_kept(world: World) -> None:
    world.budget(0)

    assert say(world, "t", user("A canary?")).status_code == 402
    assert threads(world) == []


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_provider_did_not_answer_is_not_kept(world: World, stream: bool) -> None:
    world.script({"times": 1, "fault": {"kind": "status", "status": 500}})

    assert say(world, "t", user("One?"), stream=stream).status_code == 502
    assert threads(world) == []


def test_a_stream_that_broke_off_is_kept_as_aborted(world: World) -> None:
    world.script({"times": 1, "reply": "One two three four.", "fault": {"kind": "cut", "after_tokens": 2}})
    say(world, "t", user("Count."), stream=True)

    [question, answer] = kept(world, "t")
    assert (question["content"], answer["content"], answer["finish_reason"]) == ("Count.", "One two", "aborted")


def test_an_answer_that_a_budget_cut_short_says_so(world: World) -> None:
    say(world, "t", user("Count."), max_tokens=2)

    assert kept(world, "t")[1]["finish_reason"] == "length"


# Who may read it ----------------------------------------------------------------------------------------------------


def test_a_thread_is_listed_with_its_title_newest_first(world: World) -> None:
    world.script({"reply": "Yes."})
    say(world, "first", user("What is  a\nthread? " + "x" * 60))
    say(world, "second", user("Two?"))

    listed = threads(world)
    one = world.client.get("/v1/threads/first", headers=world.bearer()).json()

    assert [thread["id"] for thread in listed] == ["second", "first"]
    assert listed[1] == one
    assert one["title"] == ("What is a thread? " + "x" * 60)[:60]
    assert one["messages_count"] == 2
    assert one["last_message_at"].endswith("Z")
    assert [thread["id"] for thread in threads(world, limit=1)] == ["second"]


@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("GET", "/messages"), ("DELETE", "")])
def test_the_thread_of_another_user_is_not_there(world: World, stranger: World, method: str, rest: str) -> None:
    say(world, "t", user("Mine."))

    for other, who in ((world, "somebody-else"), (stranger, world.user)):
        answer = other.client.request(method, f"/v1/threads/t{rest}", headers=other.bearer(who))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert threads(world, "somebody-else") == []
    assert len(kept(world, "t")) == 2


def test_two_users_may_use_the_same_id(world: World) -> None:
    world.script({"reply": "Yes."}, user_id="other")
    say(world, "t", user("Mine."))
    say(world, "t", user("Theirs."), user="other")

    assert pairs(seen(world, "other")[-1]) == [("user", "Theirs.")]
    assert kept(world, "t")[0]["content"] == "Mine."
    assert kept(world, "t", "other")[0]["content"] == "Theirs."


@pytest.mark.parametrize("path", ["/v1/threads", "/v1/threads/t", "/v1/threads/t/messages"])
def test_a_thread_is_nobodys_without_a_token(world: World, path: str) -> None:
    assert world.client.get(path).status_code == 401


@pytest.mark.parametrize("name", ["a b", "a/b", "ä", "", "x" * 256, "a\tb", "{}"])
def test_an_id_is_of_letters_digits_and_a_few_signs(world: World, name: str) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in name.encode())
    read = world.client.get(f"/v1/threads/{quoted}", headers=world.bearer())
    said = say(world, None, user("One?"), headers={"X-Thread-Id": name.encode().decode("latin-1").encode("latin-1")})

    assert (read.status_code, read.json()["error"]["code"]) == (400, "validation_error")
    assert read.json()["error"]["param"] == "thread_id"
    if name:
        assert (said.status_code, said.json()["error"]["code"]) == (400, "validation_error")
        assert said.json()["error"]["param"] == "X-Thread-Id"


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "1e3", ""])
def test_a_limit_is_a_whole_number(world: World, limit: str) -> None:
    answer = world.client.get("/v1/threads", params={"limit": limit}, headers=world.bearer())

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")


def test_other_methods_are_refused(world: World) -> None:
    for method, path in (("POST", "/v1/threads"), ("PUT", "/v1/threads/t"), ("DELETE", "/v1/threads/t/messages")):
        assert world.client.request(method, path, headers=world.bearer()).status_code == 405


def test_a_page_may_delete_a_thread(new_world: NewWorld) -> None:
    world = new_world(allowed_origins=["https://app.example"])
    say(world, "t", user("One?"))
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}

    preflight = world.client.request("OPTIONS", "/v1/threads/t", headers=asks)
    deleted = world.client.delete("/v1/threads/t", headers={**world.bearer(), "Origin": "https://app.example"})
    missing = world.client.delete("/v1/threads/t", headers={**world.bearer(), "Origin": "https://app.example"})

    assert preflight.status_code == 204
    assert "DELETE" in preflight.headers["access-control-allow-methods"]
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert missing.status_code == 404
    for answer in (preflight, deleted, missing):
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_reading_threads_is_limited_like_other_reads(new_world: NewWorld) -> None:
    world = new_world(user_rpm_limit=1)
    codes = [world.client.get("/v1/threads", headers=world.bearer()).status_code for _ in range(25)]

    assert set(codes) == {200, 429}


async def test_turns_of_one_thread_at_the_same_time_are_kept_whole(world: World) -> None:
    headers = {**world.bearer(), "X-Thread-Id": "t"}
    async with httpx.AsyncClient(base_url=world.gateway.base_url, timeout=MAX_WAIT) as client:
        answers = await asyncio.gather(
            *(
                client.post(CHAT, json={"messages": [user(f"{number}?")], "stream": bool(number % 2)}, headers=headers)
                for number in range(20)
            )
        )

    assert {answer.status_code for answer in answers} == {200}
    everything = kept(world, "t")
    assert [message["role"] for message in everything] == ["user", "assistant"] * 20
    assert sorted(message["content"] for message in everything[::2]) == sorted(f"{n}?" for n in range(20))
    for question, answer in zip(everything[::2], everything[1::2], strict=True):
        assert f'"{question["content"]}"' in answer["content"]


# Deleting -----------------------------------------------------------------------------------------------------------


def test_a_deleted_thread_is_forgotten(world: World) -> None:
    world.script({"reply": "Yes."})
    say(world, "t", user("One?"))

    assert world.client.delete("/v1/threads/t", headers=world.bearer()).status_code == 204

    assert threads(world) == []
    say(world, "t", user("Two?"))
    assert pairs(seen(world)[-1]) == [("user", "Two?")]
    assert len(kept(world, "t")) == 2


def test_a_thread_that_is_deleted_under_an_answer_stays_deleted(world: World) -> None:
    say(world, "t", user("One?"))
    world.script({"times": 1, "completion_tokens": 400, "token_delay_ms": 3})
    headers = {**world.bearer(), "X-Thread-Id": "t"}
    body = {"messages": [user("Two?")], "stream": True}
    with world.client.stream("POST", CHAT, json=body, headers=headers) as answer:
        parts = answer.iter_raw()
        next(parts)
        assert world.client.delete("/v1/threads/t", headers=world.bearer()).status_code == 204
        for _ in parts:
            pass

    assert threads(world) == []
    assert [row.state for row in world.rows()] == ["settled", "settled"]


# Sessions -----------------------------------------------------------------------------------------------------------


def test_a_session_is_remembered_where_the_project_wants_that(new_world: NewWorld) -> None:
    world = new_world(session_memory=True)
    world.script({"reply": "Yes."})
    for text in ("One?", "Two?"):
        say(world, None, user(text), headers={"X-Session-Id": "any session, really"})
    assert pairs(seen(world)[-1]) == [("user", "One?"), ("assistant", "Yes."), ("user", "Two?")]

    say(world, None, user("Three?"), headers={"X-Session-Id": "another"})
    say(world, "t", user("Four?"), headers={"X-Session-Id": "any session, really"})
    assert [pairs(told) for told in seen(world)[-2:]] == [[("user", "Three?")], [("user", "Four?")]]
    assert [thread["id"] for thread in threads(world)] == ["t"]


# The SDK ------------------------------------------------------------------------------------------------------------


def test_the_sdk_begins_reads_and_deletes_a_thread(world: World) -> None:
    world.script({"reply": "Yes."})
    with Behest(base_url=world.gateway.base_url, key=world.api_key) as client:
        behest = client.for_user(world.user)
        behest.chat.completions.create(messages=[user("One?")], thread_id="t")
        for _ in behest.chat.completions.create(messages=[user("Two?")], thread_id="t", stream=True):
            pass
        [thread] = behest.threads.list()
        messages = behest.threads.messages("t")
        found = behest.threads.get("t")
        behest.threads.delete("t")

        assert (found, found.title, found.messages_count) == (thread, "One?", 4)
        assert [(m.role, m.content) for m in messages] == [
            ("user", "One?"), ("assistant", "Yes."), ("user", "Two?"), ("assistant", "Yes."),
        ]  # fmt: skip
        with pytest.raises(BehestError) as caught:
            behest.threads.get("t")
        assert (caught.value.status, caught.value.code) == (404, "not_found")


# The file -----------------------------------------------------------------------------------------------------------


def _world(gateway: Gateway, provider: Provider) -> World:
    tenant: Tenant = gateway.new_tenant("Acme")
    return World(gateway, provider, tenant)


@pytest.mark.parametrize("stream", [False, True])
def test_a_turn_whose_end_was_seen_survives_a_kill(provider: Provider, tmp_path: Path, stream: bool) -> None:
    gateway = start_gateway(tmp_path / "data", provider.openai_base_url)
    try:
        world = _world(gateway, provider)
        world.script({"reply": "Yes."})
        for number in range(5):
            assert say(world, "t", user(f"{number}?"), stream=stream).status_code == 200
        gateway.kill()
        again = start_gateway(tmp_path / "data", provider.openai_base_url, admin_token=gateway.admin_token)
        try:
            world.gateway, world.client = again, again.client
            assert [m["content"] for m in kept(world, "t")[::2]] == [f"{number}?" for number in range(5)]
            assert [row.state for row in world.rows()] == ["settled"] * 5
            assert say(world, "t", user("5?")).status_code == 200
            assert len(seen(world)[-1]) == 11
        finally:
            again.stop()
    finally:
        gateway.client.close()


def _on_disk(folder: Path, text: str) -> bool:
    return any(text.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_sealed_messages_are_not_in_the_file(provider: Provider, tmp_path: Path) -> None:
    with running_gateway(tmp_path, provider.openai_base_url, BEHEST_GATEWAY_ENCRYPT_THREADS="true") as gateway:
        world = _world(gateway, provider)
        world.script({"reply": "A canary-of-an-answer."})
        say(world, "t", user("A canary-of-a-question?"))
        say(world, "t", user("And?"))

        assert [m["content"] for m in kept(world, "t")][:2] == ["A canary-of-a-question?", "A canary-of-an-answer."]
        assert threads(world)[0]["title"] == "A canary-of-a-question?"
        assert len(seen(world)[-1]) == 3
        assert not _on_disk(tmp_path, "canary")
        data = gateway.data_dir
    assert not _on_disk(data.parent, "canary")


def test_messages_are_in_the_file_until_they_are_deleted_and_never_in_the_log(
    provider: Provider, tmp_path: Path
) -> None:
    with running_gateway(tmp_path, provider.openai_base_url, BEHEST_GATEWAY_ACCESS_LOG="true") as gateway:
        world = _world(gateway, provider)
        say(world, "t", user("A canary-of-a-question?"))
        assert _on_disk(tmp_path / "data", "canary-of-a-question")
        world.client.delete("/v1/threads/t", headers=world.bearer())
    assert not _on_disk(tmp_path, "canary-of-a-question")


def test_what_was_sealed_is_still_read_when_sealing_is_turned_off(provider: Provider, tmp_path: Path) -> None:
    with running_gateway(tmp_path, provider.openai_base_url, BEHEST_GATEWAY_ENCRYPT_THREADS="1") as gateway:
        world = _world(gateway, provider)
        world.script({"reply": "Yes."})
        say(world, "t", user("One?"))
    again = start_gateway(tmp_path / "data", provider.openai_base_url, admin_token=gateway.admin_token)
    try:
        world.gateway, world.client = again, again.client
        say(world, "t", user("Two?"))
        assert [m["content"] for m in kept(world, "t")] == ["One?", "Yes.", "Two?", "Yes."]
    finally:
        again.stop()
