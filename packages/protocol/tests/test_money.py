"""Money survives the way to text and back, and never passes through a sum of floats."""

from __future__ import annotations

import pytest
from behest_protocol.money import nano_from_usd, usd_from_nano, usd_text
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 9_000_000 * 10**9))
def test_an_amount_survives_its_text(nano: int) -> None:
    assert nano == nano_from_usd(usd_text(nano))


@given(st.integers(0, 10**6 * 10**9))
def test_an_amount_survives_a_json_number_of_up_to_a_million_dollars(nano: int) -> None:
    assert nano == round(usd_from_nano(nano) * 10**9)


@pytest.mark.parametrize("bad", [-1, "-0.1", "nan", float("inf"), "ten", "", True])
def test_what_is_no_amount_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        nano_from_usd(bad)  # type: ignore[arg-type]


def test_less_than_a_nano_dollar_is_rounded_up() -> None:
    assert nano_from_usd("0.0000000001") == 1
