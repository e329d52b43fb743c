"""Results are dicts with attributes."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from behest import ChatCompletion, ChatCompletionChunk, Choice, MintResult, Record, UsageReport

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "vendor": {"region": "eu"},
}


def test_fields_are_attributes_and_items_at_every_depth() -> None:
    answer = ChatCompletion.of(ANSWER)

    assert answer == ANSWER
    assert isinstance(answer.choices[0], Choice)
    call = (answer.choices[0].message.tool_calls or [])[0]
    assert call.function.name == call["function"]["name"] == "f"
    assert answer.text == ""


def test_a_field_that_the_gateway_adds_is_kept() -> None:
    assert ChatCompletion.of(ANSWER).vendor.region == "eu"


def test_a_known_field_that_is_absent_is_none_and_an_unknown_one_is_an_error() -> None:
    answer = ChatCompletion.of({"choices": []})

    assert answer.usage is None
    assert answer.text == ""
    with pytest.raises(AttributeError, match="ChatCompletion has no field 'colour'"):
        _ = answer.colour


def test_a_record_can_be_changed_either_way() -> None:
    record = Record.of({"a": 1})

    record.b = 2
    record["c"] = 3
    del record.a
    assert record == {"b": 2, "c": 3}
    assert record.c == 3
    with pytest.raises(AttributeError):
        del record.a


def test_a_record_survives_json_copying_and_pickling() -> None:
    answer = ChatCompletion.of(ANSWER)

    assert json.loads(json.dumps(answer)) == ANSWER
    for twin in (copy.deepcopy(answer), pickle.loads(pickle.dumps(answer))):
        assert twin == answer
        assert isinstance(twin.choices[0], Choice)


def test_a_record_tells_its_fields() -> None:
    record = UsageReport.of({"totals": {"tokens": 1, "cost_usd": 0.5}, "breakdown": []})

    assert repr(record) == "UsageReport(totals=UsageTotals(tokens=1, cost_usd=0.5), breakdown=[])"
    assert {"totals", "breakdown", "keys"} <= set(dir(record))


def test_a_chunk_without_text_adds_none() -> None:
    assert ChatCompletionChunk.of({"choices": []}).text == ""
    assert ChatCompletionChunk.of({"choices": [{"delta": {"role": "assistant"}}]}).text == ""


def test_a_mint_result_does_not_show_its_token() -> None:
    minted = MintResult(token="a.b.c", session_id="s", ttl=60, expires_at=1)

    assert "a.b.c" not in repr(minted)
    assert "a.b.c" not in str(minted)
    assert json.loads(json.dumps(minted))["token"] == minted["token"] == minted.token == "a.b.c"


async def test_a_mint_result_may_be_awaited_as_older_documents_do() -> None:
    minted = MintResult(token="a.b.c", session_id="s", ttl=60, expires_at=1)

    assert await minted is minted
