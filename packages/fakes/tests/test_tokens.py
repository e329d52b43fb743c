"""Counting: deterministic, and never more tokens than bytes."""

from __future__ import annotations

import json
from typing import Any

from behest_fakes.requests import read_chat_request
from behest_fakes.tokens import count_prompt, split
from hypothesis import given
from hypothesis import strategies as st


def count(messages: list[Any], **more: Any) -> int:
    return count_prompt(read_chat_request(json.dumps({"model": "m", "messages": messages, **more}).encode()))


def test_a_prompt_is_a_quarter_of_its_bytes_and_a_little_for_each_message() -> None:
    assert count([{"role": "user", "content": "12345"}]) == 2 + 4 + 3
    assert count([{"role": "user", "content": "1234"}, {"role": "user", "content": "5"}]) == 2 + 8 + 3
    assert count([{"role": "user", "content": "日本"}]) == 2 + 4 + 3
    assert count([{"role": "user", "content": ""}, {"role": "assistant", "content": None}]) == 8 + 3
    assert count([{"role": "user", "content": [{"type": "text", "text": "1234"}]}]) == 1 + 4 + 3


def test_what_is_not_text_counts_by_its_json() -> None:
    base = count([{"role": "user", "content": "1234"}])
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    assert count([{"role": "user", "content": "1234"}], tools=tools) == base + -(-len(json.dumps(tools)) // 4)
    part = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    assert count([{"role": "user", "content": [part]}]) == -(-len(json.dumps(part)) // 4) + 7
    calls = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    assert count([{"role": "assistant", "tool_calls": calls}]) == -(-len(json.dumps(calls)) // 4) + 7


@given(st.lists(st.text(max_size=200), min_size=1, max_size=5))
def test_a_prompt_never_has_more_tokens_than_its_body_has_bytes(texts: list[str]) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    body = json.dumps({"model": "m", "messages": messages}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert count(messages) <= len(body)


@given(st.text(max_size=300))
def test_tokens_join_to_the_text_and_none_is_empty(text: str) -> None:
    tokens = split(text)
    assert "".join(tokens) == text
    assert all(tokens)
