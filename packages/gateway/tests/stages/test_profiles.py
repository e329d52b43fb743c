"""What is peculiar about a model is known by its name."""

from __future__ import annotations

import pytest
from behest_gateway.stages.route.profiles import profile_of


@pytest.mark.parametrize(
    "model", ["o3-mini", "gpt-5-mini", "gpt-6.1-sol", "openai/gpt-5", "gemini-2.5-pro", "models/gemini-3", "Grok-4"]
)
def test_a_model_that_thinks_in_secret_hides_output_that_it_bills(model: str) -> None:
    assert profile_of(model).hides_output


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4.1", "gpt-audio", "llama-3", "my-o3"])
def test_a_model_that_says_all_that_it_bills_hides_nothing(model: str) -> None:
    assert not profile_of(model).hides_output


@pytest.mark.parametrize(
    ("model", "field"), [("gpt-5", "max_completion_tokens"), ("gemini-2.5-pro", "max_tokens"), ("gpt-4o", "max_tokens")]
)
def test_the_limit_of_output_goes_into_the_field_that_the_model_reads(model: str, field: str) -> None:
    assert profile_of(model).max_tokens_field == field
