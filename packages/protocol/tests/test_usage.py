"""A provider's usage is believed when it makes sense, and is unknown otherwise; it is never taken for zero."""

from __future__ import annotations

import pytest
from behest_protocol.usage import Usage, usage_from_openai


def test_every_part_is_read() -> None:
    raw = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2, "accepted_prediction_tokens": 0},
    }

    assert usage_from_openai(raw) == Usage(
        input=100, output=50, cached_read=60, reasoning=30, audio_input=5, audio_output=2
    )


def test_an_explicit_zero_is_zero() -> None:
    assert usage_from_openai({"prompt_tokens": 0, "completion_tokens": 0}) == Usage()


def test_what_only_the_total_has_is_output() -> None:
    thinking = {"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 81}

    assert usage_from_openai(thinking) == Usage(input=21, output=60)
    details = {"reasoning_tokens": 60}
    assert usage_from_openai({**thinking, "completion_tokens_details": details}) == Usage(
        input=21, output=60, reasoning=60
    )


@pytest.mark.parametrize("total", [None, 0, 15, 30])
def test_a_total_that_is_not_above_its_parts_changes_nothing(total: int | None) -> None:
    raw = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": total}

    assert usage_from_openai(raw) == Usage(input=10, output=20)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "12",
        {},
        {"prompt_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 10**12, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 10**12},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": -2},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": "2"},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}},
        {"prompt_tokens": 1, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": 7},
    ],
)
def test_usage_that_makes_no_sense_is_unknown(raw: object) -> None:
    assert usage_from_openai(raw) is None
