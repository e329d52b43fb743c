"""The `openai` SDK works unmodified: its address is the gateway's, its key a user's token."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from behest_protocol.money import usd_from_nano, usd_text

from ..conftest import NewWorld
from ..support.world import World
from .client import Client

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How is the weather?",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def at(world: World, **config: Any) -> dict[str, Any]:
    """Where the SDK goes, and as whom."""
    return {"base_url": f"{world.gateway.base_url}/v1", "api_key": world.token(), "max_retries": 0, **config}


def text_of(chunks: list[dict[str, Any]], index: int = 0) -> str:
    """The text of a streamed choice."""
    return "".join(
        choice["delta"]["content"] or "" for chunk in chunks for choice in chunk["choices"] if choice["index"] == index
    )


def test_it_is_the_published_sdk_in_an_environment_of_its_own(openai_sdk: Client) -> None:
    assert openai_sdk.run("version") == "3.54.0"


def test_an_answer_comes_whole(openai_sdk: Client, world: World) -> None:
    world.script({"reply": "Grüße aus dem All."})

    completion = openai_sdk.run("whole", **at(world))

    [row], [billed] = world.rows(), world.bill()
    assert completion["choices"][0]["message"]["content"] == "Grüße aus dem All."
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert completion["usage"]["prompt_tokens"] == row.input_tokens == billed.prompt_tokens
    assert completion["usage"]["completion_tokens"] == row.output_tokens == billed.completion_tokens
    assert completion["request_id"] == row.request_id
    assert row.cost_nano == billed.cost_nano > 0
    assert row.user_id == world.user


def test_a_comment_about_cost_in_a_stream_is_invisible_to_it(openai_sdk: Client, world: World) -> None:
    asks = {"default_headers": {"X-Behest-Usage-Comment": "true"}}

    with_comment = openai_sdk.run("stream", **at(world, **asks))
    without = openai_sdk.run("stream", **at(world))

    for chunk in (*with_comment, *without):
        del chunk["id"], chunk["created"]
    assert with_comment == without
    assert text_of(without)


def test_an_answer_comes_as_a_stream(openai_sdk: Client, world: World) -> None:
    world.script({"reply": "One word after the other."})

    chunks = openai_sdk.run("stream", **at(world))

    [row], [billed] = world.rows(), world.bill()
    assert text_of(chunks) == "One word after the other."
    assert [choice["finish_reason"] for choice in chunks[-1]["choices"]] == ["stop"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk["usage"] for chunk in chunks if chunk["usage"] is not None] == []
    assert (row.cost_nano, row.state) == (billed.cost_nano, "settled")


def test_the_usage_of_a_stream_comes_when_it_was_asked_for_and_says_what_it_cost(
    openai_sdk: Client, world: World
) -> None:
    chunks = openai_sdk.run("stream", **at(world, fields={"stream_options": {"include_usage": True}}))

    [row] = world.rows()
    usage = chunks[-1]["usage"]
    assert chunks[-1]["choices"] == []
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (row.input_tokens, row.output_tokens)
    assert usage["cost_usd"] == usd_from_nano(row.cost_nano)
    assert [chunk["usage"] for chunk in chunks[:-1] if chunk["usage"] is not None] == []


def test_the_awaiting_client_asks_several_at_once_whole_and_streaming(openai_sdk: Client, world: World) -> None:
    texts = [f"Question {number}" for number in range(6)]
    for text in texts:
        world.script({"when": {"contains": text}, "reply": f"The answer to {text}.", "token_delay_ms": 1})

    answers = openai_sdk.run("whole_awaited", **at(world, texts=texts))
    streams = openai_sdk.run("stream_awaited", **at(world, texts=texts))

    assert answers == streams == [f"The answer to {text}." for text in texts]
    assert [row.state for row in world.rows()] == ["settled"] * 12
    assert sum(row.cost_nano for row in world.rows()) == sum(call.cost_nano for call in world.bill())


@pytest.mark.parametrize("scenario", ["abort", "abort_awaited"])
def test_closing_a_stream_early_ends_the_providers_work_and_settles(
    openai_sdk: Client, world: World, scenario: str
) -> None:
    world.budget(1)
    world.script({"completion_tokens": 2000, "token_delay_ms": 5})

    text = openai_sdk.run(scenario, **at(world, enough=20))

    [billed] = world.bill()
    [row] = world.rows()
    assert len(text) >= 20
    assert billed.state == "closed_by_client"
    assert 0 < billed.completion_tokens < 1000
    assert (row.attempt_id, row.state, row.status) == (billed.attempt_id, "estimated", 499)
    assert billed.cost_nano <= row.cost_nano < row.hold_nano
    assert world.holds() == {}
    assert [budget["held_usd"] for budget in world.budgets()] == [0]


def test_a_clients_own_time_out_ends_the_providers_work_and_settles(openai_sdk: Client, world: World) -> None:
    world.budget(1)
    world.script({"completion_tokens": 2000, "token_delay_ms": 5})

    assert openai_sdk.run("time_out", **at(world, timeout=0.5)) == "APITimeoutError"

    [billed], [row] = world.bill(), world.rows()
    assert billed.state == "closed_by_client"
    assert (row.state, row.status) == ("unconfirmed", 499)
    assert billed.cost_nano <= row.cost_nano == row.hold_nano
    assert world.holds() == {}


def test_raw_answers_carry_the_trace_and_the_cost(openai_sdk: Client, world: World) -> None:
    world.script({"reply": "Hello."})

    raw = openai_sdk.run("raw", **at(world))

    first, second = world.rows()
    for headers, row in ((raw["headers"], first), (raw["later_headers"], second)):
        assert headers["x-request-id"] == headers["x-trace-id"] == row.request_id
        assert headers["x-behest-cost-usd"] == usd_text(row.cost_nano)
        assert (headers["x-behest-model"], headers["x-behest-provider"]) == ("gpt-4o-mini", "openai")
    assert (raw["text"], raw["later_text"]) == ("Hello.", "Hello.")


def test_raw_streams_carry_the_trace_and_no_cost_which_nobody_knows_yet(openai_sdk: Client, world: World) -> None:
    world.script({"reply": "Hello."})

    raw = openai_sdk.run("raw_stream", **at(world))

    [row] = world.rows()
    assert raw["text"] == "Hello."
    assert raw["headers"]["x-request-id"] == raw["headers"]["x-trace-id"] == row.request_id
    assert "x-behest-cost-usd" not in raw["headers"]


def test_tool_calls_go_through_and_their_results_come_back(openai_sdk: Client, world: World) -> None:
    world.budget(1)
    call = {"id": "call_1", "name": "weather", "arguments": {"city": "Rome"}}
    world.script({"when": {"contains": "weather"}, "tool_calls": [call]})
    question = {"role": "user", "content": "How is the weather in Rome?"}

    asked = openai_sdk.run("whole", **at(world, messages=[question], fields={"tools": [WEATHER]}))
    streamed = openai_sdk.run("streamed_tools", **at(world, messages=[question], fields={"tools": [WEATHER]}))

    choice = asked["choices"][0]
    [given] = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert (given["type"], given["function"]["name"]) == ("function", "weather")
    assert json.loads(given["function"]["arguments"]) == {"city": "Rome"}
    assert {name: json.loads(text) for name, text in streamed.items()} == {"weather": {"city": "Rome"}}

    reply = {"role": "assistant", "content": None, "tool_calls": [given]}
    result = {"role": "tool", "tool_call_id": given["id"], "content": '{"degrees": 31}'}
    follow_up = {"role": "user", "content": "So what shall I wear?"}
    final = openai_sdk.run(
        "whole", **at(world, messages=[question, reply, result, follow_up], fields={"tools": [WEATHER]})
    )
    assert final["choices"][0]["finish_reason"] == "stop"
    assert [row.cost_nano for row in world.rows()] == [call.cost_nano for call in world.bill()]


def test_several_choices_come_and_are_all_paid_for(openai_sdk: Client, world: World) -> None:
    world.budget(1)
    world.script({"reply": "Three times."})

    completion = openai_sdk.run("whole", **at(world, fields={"n": 3}))
    chunks = openai_sdk.run("stream", **at(world, fields={"n": 3}))

    assert [choice["message"]["content"] for choice in completion["choices"]] == ["Three times."] * 3
    assert [text_of(chunks, index) for index in range(3)] == ["Three times."] * 3
    assert [row.output_tokens for row in world.rows()] == [completion["usage"]["completion_tokens"]] * 2
    assert [row.cost_nano for row in world.rows()] == [call.cost_nano for call in world.bill()]


def test_structured_answers_are_parsed(openai_sdk: Client, world: World) -> None:
    world.budget(1)
    world.script({"reply": '{"city": "Rome", "degrees": 31.5}'})

    assert openai_sdk.run("parsed", **at(world)) == {"city": "Rome", "degrees": 31.5}


def test_the_sdks_own_stream_helper_sees_its_events_and_the_usage(openai_sdk: Client, world: World) -> None:
    world.script({"reply": "Event by event."})

    seen = openai_sdk.run("helper_stream", **at(world))

    [row] = world.rows()
    assert seen["kinds"] == ["chunk", "content.delta", "content.done"]
    assert seen["final"]["choices"][0]["message"]["content"] == "Event by event."
    assert seen["final"]["usage"]["completion_tokens"] == row.output_tokens


def test_models_are_listed(openai_sdk: Client, new_world: NewWorld) -> None:
    world = new_world(allowed_models=["gpt-4o"])

    listed = openai_sdk.run("models", **at(world))
    awaited = openai_sdk.run("models_awaited", **at(world))

    assert [(model["id"], model["object"], model["owned_by"]) for model in listed] == [
        ("gpt-4o-mini", "model", "openai"),
        ("gpt-4o", "model", "openai"),
    ]
    assert awaited == ["gpt-4o-mini", "gpt-4o"]


def test_a_slug_host_serves_it_as_well(openai_sdk: Client, world: World) -> None:
    world.script({"reply": "On my own host."})

    completion = openai_sdk.run("whole", **at(world, default_headers={"Host": world.host}))

    assert completion["choices"][0]["message"]["content"] == "On my own host."


# Errors are typed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["error", "error_awaited"])
def test_a_refused_token_is_an_authentication_error(openai_sdk: Client, world: World, scenario: str) -> None:
    told = openai_sdk.run(scenario, **at(world, api_key=world.token(exp=1)))

    assert (told["class"], told["status"], told["code"]) == ("AuthenticationError", 401, "invalid_token")
    assert told["type"] == "authentication_error"
    assert told["request_id"] == told["trace_id"]
    assert "expired" in told["message"]
    assert told["body"]["details"] == {"reason": "expired"}


def test_an_api_key_in_the_place_of_a_token_is_an_authentication_error_that_says_what_to_do(
    openai_sdk: Client, world: World
) -> None:
    told = openai_sdk.run("error", **at(world, api_key=world.api_key))

    assert (told["class"], told["status"]) == ("AuthenticationError", 401)
    assert "POST /v1/auth/mint" in told["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_used_up_budget_is_a_402_that_is_not_tried_again(openai_sdk: Client, world: World, stream: bool) -> None:
    budget_id = world.budget(0, scope="each_user")

    told = openai_sdk.run("error", **at(world, stream=stream, max_retries=2))

    assert (told["class"], told["status"], told["code"]) == ("APIStatusError", 402, "quota_exceeded")
    assert (told["type"], told["should_retry"], told["retry_after"]) == ("insufficient_quota", "false", None)
    assert told["body"]["details"]["budget_id"] == budget_id
    assert told["body"]["details"]["scope"] == "each_user"
    assert re.search(r"It resets at \d{4}-\d\d-\d\dT00:00:00Z\.", told["message"])
    assert [(row.state, row.status) for row in world.rows()] == [("refused", 402)]
    assert world.bill() == []


def test_a_rate_is_a_rate_limit_error_with_a_time_to_wait(openai_sdk: Client, new_world: NewWorld) -> None:
    world = new_world(rpm_limit=1000, user_rpm_limit=2)
    openai_sdk.run("whole", **at(world))
    openai_sdk.run("stream", **at(world))

    told = openai_sdk.run("error", **at(world))

    assert (told["class"], told["status"], told["code"]) == ("RateLimitError", 429, "rate_limited")
    assert (told["type"], told["should_retry"]) == ("rate_limit_error", "true")
    assert 20 <= int(told["retry_after"]) <= 30
    assert told["body"]["details"] == {"scope": "user", "measure": "requests", "limit": 2, "window": "minute"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_request_is_a_bad_request_error_that_names_the_field(
    openai_sdk: Client, world: World, stream: bool
) -> None:
    told = openai_sdk.run("error", **at(world, stream=stream, fields={"model": "no-such-model"}))

    assert (told["class"], told["status"], told["code"]) == ("BadRequestError", 400, "validation_error")
    assert (told["param"], told["type"]) == ("model", "invalid_request_error")
    assert "no-such-model" in told["message"]


def test_what_the_provider_finds_bad_is_a_bad_request_error_in_its_own_words(openai_sdk: Client, world: World) -> None:
    body = {"error": {"message": "temperature is too hot", "param": "temperature", "code": "too_hot"}}
    world.script({"fault": {"kind": "status", "status": 400, "body": body}})

    told = openai_sdk.run("error", **at(world, max_retries=2))

    assert (told["class"], told["message"], told["param"]) == (
        "BadRequestError",
        "Error code: 400 - " + told["message"].partition(" - ")[2],
        "temperature",
    )
    assert told["body"]["message"] == "temperature is too hot"
    assert len(world.bill()) == 1


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda world: world.manage("POST", "/suspend"), ("PermissionDeniedError", 403, "forbidden")),
        (lambda world: world.manage("DELETE"), ("AuthenticationError", 401, "invalid_token")),
        (
            lambda world: world.script({"fault": {"kind": "status", "status": 503}}),
            ("InternalServerError", 502, "upstream_error"),
        ),
        (
            lambda world: world.script({"fault": {"kind": "not_json"}}),
            ("InternalServerError", 502, "upstream_error"),
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_other_error_has_its_class_and_its_code(
    openai_sdk: Client, world: World, prepare: Any, expected: tuple[str, int, str], stream: bool
) -> None:
    prepare(world)

    told = openai_sdk.run("error", **at(world, stream=stream))

    assert (told["class"], told["status"], told["code"]) == expected
    assert told["request_id"] == told["trace_id"] is not None


def test_a_host_of_no_project_is_a_not_found_error(openai_sdk: Client, world: World) -> None:
    told = openai_sdk.run("error", **at(world, default_headers={"Host": "no-such-project.localhost"}))

    assert (told["class"], told["status"], told["code"]) == ("NotFoundError", 404, "not_found")


@pytest.mark.parametrize("kind", ["cut", "error_event"])
def test_a_stream_that_fails_on_its_way_raises_after_what_came_before(
    openai_sdk: Client, world: World, kind: str
) -> None:
    world.script(
        {"reply": "One two three four five.", "token_delay_ms": 40, "fault": {"kind": kind, "after_tokens": 3}}
    )

    broken = openai_sdk.run("broken_stream", **at(world))

    assert broken["text"] == "One two three"
    assert (broken["error"]["class"], broken["error"]["code"]) == ("APIError", "upstream_error")
    assert broken["error"]["type"] == "upstream_error"
    [row] = world.rows()
    assert (row.state, row.status, row.error_code) == ("unconfirmed", 502, "upstream_error")


# The SDK's own retries ---------------------------------------------------------------------------------------------


def test_a_402_is_asked_for_once(openai_sdk: Client, world: World) -> None:
    world.budget(0)

    assert openai_sdk.run("requests_made", **at(world, max_retries=2)) == {"retries": ["0"], "status": 402}


def test_the_operators_own_trouble_is_not_tried_again_though_it_is_a_502(openai_sdk: Client, world: World) -> None:
    world.script({"fault": {"kind": "status", "status": 401}})

    assert openai_sdk.run("requests_made", **at(world, max_retries=2)) == {"retries": ["0"], "status": 502}
    assert len(world.bill()) == 1


def test_a_limit_of_the_providers_is_tried_again_after_the_time_that_it_told(openai_sdk: Client, world: World) -> None:
    limited = {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}
    world.script({"times": 1, "fault": limited})
    world.script({"reply": "At last."})

    made = openai_sdk.run("requests_made", **at(world, max_retries=2))

    assert made == {"retries": ["0", "1"], "status": 200, "text": "At last."}
    assert [(row.state, row.status) for row in world.rows()] == [("released", 429), ("settled", 200)]


def test_a_place_that_is_taken_is_tried_again_after_the_time_that_was_told(
    openai_sdk: Client, new_world: NewWorld
) -> None:
    world = new_world(user_max_concurrent=1)
    world.script({"when": {"contains": "slow"}, "completion_tokens": 50, "token_delay_ms": 40})
    world.script({"reply": "At last."})
    openai_sdk.run("version")

    with world.stream("Be slow"):
        made = openai_sdk.run("requests_made", **at(world, max_retries=6))

    assert (made["status"], made["text"]) == (200, "At last.")
    assert 2 <= len(made["retries"]) <= 5  # about two seconds of waiting, one at a time


def test_a_call_that_is_too_large_for_its_rate_of_tokens_is_asked_for_once(
    openai_sdk: Client, new_world: NewWorld
) -> None:
    world = new_world(tpm_limit=100)

    assert openai_sdk.run("requests_made", **at(world, max_retries=2)) == {"retries": ["0"], "status": 429}
    assert world.bill() == []


def test_a_passing_failure_of_the_providers_is_tried_again_and_paid_once(openai_sdk: Client, world: World) -> None:
    world.script({"times": 1, "fault": {"kind": "status", "status": 500}})
    world.script({"reply": "At last."})

    made = openai_sdk.run("requests_made", **at(world, max_retries=2))

    assert made == {"retries": ["0", "1"], "status": 200, "text": "At last."}
    assert [(row.state, row.cost_nano > 0) for row in world.rows()] == [("released", False), ("settled", True)]
