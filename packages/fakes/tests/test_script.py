"""Rules: which call they decide, how often, and what they refuse to mean."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from behest_fakes import FakeProvider, ScriptError

MALFORMED: list[dict[str, Any]] = [
    {"repply": "x"},
    {"when": {"text": "x"}},
    {"times": 0},
    {"completion_tokens": -1},
    {"completion_tokens": 10_000_000},
    {"reply": "x", "completion_tokens": 3},
    {"tool_calls": [{"arguments": {}}]},
    {"token_delay_ms": -1},
    {"fault": {"kind": "nonsense"}},
    {"fault": {"after_tokens": 1}},
    {"fault": {"kind": "cut", "after": 1}},
    {"fault": {"kind": "status"}},
    {"fault": {"kind": "status", "status": 99}},
    {"fault": {"kind": "status", "status": 429, "headers": {"a b": "c"}}},
    {"fault": {"kind": "status", "status": 429, "headers": {"a": "b\r\nc: d"}}},
    {"fault": {"kind": "redirect", "location": "a\nb"}},
    {"fault": {"kind": "not_json", "content_type": "a\nb"}},
]


async def say(http: httpx.AsyncClient, text: Any, *, model: str = "m", user: str | None = None, **more: Any) -> str:
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "apples, pears"}]
    headers = {} if user is None else {"X-End-User-Id": user}
    body = {"model": model, "messages": messages, **more}
    answer = await http.post("/v1/chat/completions", json=body, headers=headers)
    return answer.text if more.get("stream") else str(answer.json()["choices"][0]["message"]["content"])


async def test_the_first_rule_that_matches_decides(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(when={"model": "gpt-4o", "user": "u_1"}, reply="both")
    provider.script(when={"model": "gpt-4o"}, reply="model")
    provider.script(when={"user": "u_1"}, reply="user")
    provider.script(when={"contains": "apples"}, reply="apples")
    assert await say(http, "x", model="gpt-4o", user="u_1") == "both"
    assert await say(http, "x", model="gpt-4o", user="u_2") == "model"
    assert await say(http, "x", user="u_1") == "user"
    assert await say(http, "about apples") == "apples"
    assert '"x"' in await say(http, "x")


async def test_contains_looks_at_the_text_parts_of_the_last_user_message(
    provider: FakeProvider, http: httpx.AsyncClient
) -> None:
    provider.script(when={"contains": "pears"}, reply="pears")
    parts = [{"type": "image_url", "image_url": {"url": "pears"}}, {"type": "text", "text": "about pe"}]
    assert await say(http, parts) != "pears"
    assert await say(http, [*parts, {"type": "text", "text": "ars"}]) == "pears"


async def test_a_rule_can_be_for_streams_only(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(when={"stream": True}, reply="streamed")
    assert await say(http, "x") != "streamed"
    assert '"content":"streamed"' in await say(http, "x", stream=True)


async def test_a_rule_is_used_up_after_its_times(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(reply="twice", times=2)
    provider.script(reply="then")
    assert [await say(http, "x") for _ in range(4)] == ["twice", "twice", "then", "then"]


async def test_rules_are_added_listed_and_cleared_over_http(http: httpx.AsyncClient) -> None:
    rule = {"when": {"contains": "x"}, "times": 1, "fault": {"kind": "cut", "after_tokens": 2}}
    added = await http.post("/_fake/script", json=rule)
    assert (added.status_code, added.json()) == (201, {"id": "rule_1"})
    fault = {"kind": "cut", "after_tokens": 2, "after_usage": False, "reset": False}
    listed = {"id": "rule_1", "used": 0, **rule, "fault": fault}
    assert (await http.get("/_fake/script")).json() == {"rules": [listed]}
    assert (await http.delete("/_fake/script")).json() == {"rules": []}
    assert '"x"' in await say(http, "x")


async def test_counts_of_a_rule_replace_the_counted_ones(provider: FakeProvider, http: httpx.AsyncClient) -> None:
    provider.script(prompt_tokens=1_000, cached_tokens=5_000, completion_tokens=0)
    assert await say(http, "x", model="gpt-4o-mini") == ""
    (call,) = provider.bill().calls
    assert (call.prompt_tokens, call.cached_tokens, call.completion_tokens) == (1_000, 1_000, 0)
    assert call.cost_nano_usd == 1_000 * 75


@pytest.mark.parametrize("rule", MALFORMED)
async def test_a_malformed_rule_is_refused_with_the_reason(
    provider: FakeProvider, http: httpx.AsyncClient, rule: dict[str, Any]
) -> None:
    answer = await http.post("/_fake/script", json=rule)
    assert answer.status_code == 400
    assert "malformed" in answer.json()["error"]["message"]
    with pytest.raises(ScriptError, match="malformed"):
        provider.script(**rule)
    assert (await http.get("/_fake/script")).json() == {"rules": []}


async def test_a_rule_that_is_no_json_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/_fake/script", content=b"{")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
