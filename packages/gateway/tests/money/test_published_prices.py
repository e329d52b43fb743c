"""What calls cost by two providers' published price pages, computed by hand, and that no token is billed twice.

A case gives what the provider reports in the OpenAI dialect, and the sum as a person would write it: so many tokens at
so many US dollars per million. A dollar per million tokens is 1,000 nano-dollars per token. The pages say of long
contexts that one token above the threshold makes all of the call's tokens dearer.

The date is that on which the makers of the price table last compared it with the pages; OpenAI's model pages of
gpt-audio and of the GPT-6 family and a transcript of Google's page of 2026-10-07 were read beside it, and say the same.
Of gpt-realtime-mini, the one model with a price for cached audio there, the table alone was read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest
from behest_gateway.adapters.prices import PriceTable
from behest_gateway.core.prices import PriceVector, cost_nano, nano_from_femto, parts_of
from behest_protocol.usage import Usage, usage_from_openai
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct
from msgspec.structs import astuple

OPENAI = "OpenAI, API pricing (Standard) and model pages, as published on 2026-10-14"
GOOGLE = "Google, Gemini Developer API pricing (Paid tier, Standard), as published on 2026-10-14"


class TheDayAfter:
    """A clock that stands on 2026-10-15, when both pages said what is written here."""

    def now_us(self) -> int:
        return int(datetime(2026, 10, 15, 12, tzinfo=UTC).timestamp()) * 1_000_000


TABLE = PriceTable(TheDayAfter(), {})


class Case(Struct, frozen=True, kw_only=True):
    """One call. `sum` is tokens and US dollars per million of them, part by part; `nano` is what it comes to."""

    name: str
    page: str
    model: str
    reported: dict[str, Any]
    sum: tuple[tuple[int, str], ...]
    nano: int


def usage(prompt: int, completion: int, *, total: int | None = None, **parts: int) -> dict[str, Any]:
    """A `usage` object as providers of the dialect send it."""
    into: dict[str, int] = {name: parts.pop(name) for name in ("cached_tokens", "cache_write_tokens") if name in parts}
    if "audio_in" in parts:
        into["audio_tokens"] = parts.pop("audio_in")
    out = {"reasoning_tokens": parts.pop("reasoning_tokens", 0), "audio_tokens": parts.pop("audio_out", 0)}
    assert not parts
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
        "prompt_tokens_details": into,
        "completion_tokens_details": out,
    }


CASES = [
    # gpt-4o-mini: input 0.15, cached input 0.075, output 0.60
    Case(name="plain", page=OPENAI, model="gpt-4o-mini", reported=usage(1234, 567),
         sum=((1234, "0.15"), (567, "0.60")), nano=185_100 + 340_200),
    Case(name="cached read", page=OPENAI, model="gpt-4o-mini", reported=usage(1234, 567, cached_tokens=1024),
         sum=((210, "0.15"), (1024, "0.075"), (567, "0.60")), nano=31_500 + 76_800 + 340_200),
    Case(name="all of the prompt cached", page=OPENAI, model="gpt-4o-mini", reported=usage(1024, 0, cached_tokens=1024),
         sum=((1024, "0.075"),), nano=76_800),
    # gpt-5.4: input 2.50, cached input 0.25, output 15; above 272K of input 5, 0.50 and 22.50 for the full request
    Case(name="reasoning is a part of the output", page=OPENAI, model="gpt-5.4",
         reported=usage(1000, 900, reasoning_tokens=832),
         sum=((1000, "2.50"), (900, "15")), nano=2_500_000 + 13_500_000),
    Case(name="the longest short context", page=OPENAI, model="gpt-5.4", reported=usage(272_000, 100),
         sum=((272_000, "2.50"), (100, "15")), nano=680_000_000 + 1_500_000),
    Case(name="the shortest long context", page=OPENAI, model="gpt-5.4", reported=usage(272_001, 100),
         sum=((272_001, "5"), (100, "22.50")), nano=1_360_005_000 + 2_250_000),
    Case(name="cached tokens count to the length", page=OPENAI, model="gpt-5.4",
         reported=usage(300_000, 10, cached_tokens=250_000, reasoning_tokens=10),
         sum=((50_000, "5"), (250_000, "0.50"), (10, "22.50")), nano=250_000_000 + 125_000_000 + 225_000),
    # gpt-6.1-sol: input 2, cached input 0.10, cache writes 2.50, output 10; above 272K 4, 0.20, 5 and 15
    Case(name="cache write", page=OPENAI, model="gpt-6.1-sol",
         reported=usage(3000, 20, cached_tokens=1024, cache_write_tokens=1500),
         sum=((476, "2"), (1024, "0.10"), (1500, "2.50"), (20, "10")), nano=952_000 + 102_400 + 3_750_000 + 200_000),
    Case(name="cache write in a long context", page=OPENAI, model="gpt-6.1-sol",
         reported=usage(272_001, 1, cached_tokens=200_000, cache_write_tokens=72_000),
         sum=((1, "4"), (200_000, "0.20"), (72_000, "5"), (1, "15")), nano=4_000 + 40_000_000 + 360_000_000 + 15_000),
    # gpt-audio: text 2.50 in and 10 out, audio 32 in and 64 out; no price for cached input
    Case(name="audio in and out", page=OPENAI, model="gpt-audio", reported=usage(150, 80, audio_in=120, audio_out=60),
         sum=((30, "2.50"), (120, "32"), (20, "10"), (60, "64")), nano=75_000 + 3_840_000 + 200_000 + 3_840_000),
    Case(name="cached audio without a cached price", page=OPENAI, model="gpt-audio",
         reported=usage(100, 0, audio_in=100, cached_tokens=100), sum=((100, "32"),), nano=3_200_000),
    # gpt-realtime-mini: text 0.60, cached 0.06, out 2.40; audio 10, cached 0.30, out 20
    Case(name="cached audio and cached text", page=OPENAI, model="gpt-realtime-mini",
         reported=usage(1000, 10, audio_in=800, cached_tokens=700),
         sum=((200, "0.06"), (500, "0.30"), (300, "10"), (10, "2.40")), nano=12_000 + 150_000 + 3_000_000 + 24_000),
    # Gemini 2.5 Flash: text 0.30, audio 1.00, cached 0.03 (audio 0.10), output with thinking 2.50
    Case(name="plain", page=GOOGLE, model="gemini-2.5-flash", reported=usage(1000, 200),
         sum=((1000, "0.30"), (200, "2.50")), nano=300_000 + 500_000),
    Case(name="cached read", page=GOOGLE, model="gemini-2.5-flash", reported=usage(5000, 100, cached_tokens=4096),
         sum=((904, "0.30"), (4096, "0.03"), (100, "2.50")), nano=271_200 + 122_880 + 250_000),
    Case(name="thinking that only the total has", page=GOOGLE, model="gemini-2.5-flash",
         reported=usage(20, 198, total=623), sum=((20, "0.30"), (603, "2.50")), nano=6_000 + 1_507_500),
    Case(name="thinking beside the answer", page=GOOGLE, model="gemini-2.5-flash",
         reported=usage(21, 0, reasoning_tokens=60, total=81), sum=((21, "0.30"), (60, "2.50")), nano=6_300 + 150_000),
    Case(name="audio in", page=GOOGLE, model="gemini-2.5-flash", reported=usage(1000, 50, audio_in=960),
         sum=((40, "0.30"), (960, "1.00"), (50, "2.50")), nano=12_000 + 960_000 + 125_000),
    Case(name="cached audio", page=GOOGLE, model="gemini-2.5-flash",
         reported=usage(1000, 10, audio_in=1000, cached_tokens=900),
         sum=((100, "1.00"), (900, "0.10"), (10, "2.50")), nano=100_000 + 90_000 + 25_000),
    # Gemini 2.5 Pro: prompts up to 200k 1.25, cached 0.125, output 10; above 2.50, 0.25 and 15; audio is priced as text
    Case(name="the longest short prompt", page=GOOGLE, model="gemini-2.5-pro", reported=usage(200_000, 100),
         sum=((200_000, "1.25"), (100, "10")), nano=250_000_000 + 1_000_000),
    Case(name="the shortest long prompt", page=GOOGLE, model="gemini-2.5-pro", reported=usage(200_001, 100),
         sum=((200_001, "2.50"), (100, "15")), nano=500_002_500 + 1_500_000),
    Case(name="cached, audio and long", page=GOOGLE, model="gemini-2.5-pro",
         reported=usage(250_000, 100, cached_tokens=200_000, audio_in=100_000),
         sum=((50_000, "2.50"), (200_000, "0.25"), (100, "15")), nano=125_000_000 + 50_000_000 + 1_500_000),
]  # fmt: skip


def provider_of(case: Case) -> str:
    """The provider's name in the price table."""
    return "openai" if case.page is OPENAI else "google"


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.model}: {c.name}") for c in CASES])
def test_a_call_costs_what_the_published_page_says(case: Case) -> None:
    by_hand = sum((tokens * Decimal(usd) * 1000 for tokens, usd in case.sum), Decimal(0))
    assert by_hand.to_integral_value(rounding=ROUND_CEILING) == case.nano, "the sum was written down wrong"

    read = usage_from_openai(case.reported)
    price = TABLE.price(provider_of(case), case.model)

    assert read is not None
    assert price is not None
    assert cost_nano(read, price) == case.nano
    assert sum(tokens for tokens, _ in case.sum) == read.input + read.output, "each token is billed once"


PRICES = [
    price
    for provider in get_snapshot().providers
    if provider.id in ("openai", "google")
    for model in provider.models
    if (price := TABLE.price(provider.id, model.id)) is not None
]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Whatever a provider may credibly report, long contexts among them."""
    into = draw(st.one_of(st.integers(0, 2000), st.integers(199_990, 200_010), st.integers(271_990, 300_000)))
    cached = draw(st.integers(0, into))
    out = draw(st.integers(0, 2000))
    return Usage(
        input=into,
        output=out,
        cached_read=cached,
        cache_write=draw(st.integers(0, into - cached)),
        reasoning=draw(st.integers(0, out)),
        audio_input=draw(st.integers(0, into)),
        audio_output=draw(st.integers(0, out)),
    )


def changed(usage: Usage, **counts: int) -> Usage:
    """The same usage but for some counts."""
    names = ("input", "output", "cached_read", "cache_write", "reasoning", "audio_input", "audio_output")
    return Usage(**{name: getattr(usage, name) for name in names} | counts)


def test_there_are_many_models_to_try() -> None:
    assert len(PRICES) > 100
    assert sum(len(price.bands) > 1 for price in PRICES) > 10
    assert sum(price.bands[0].rates.cached_audio is not UNSET for price in PRICES) > 5


@given(usage=usages())
def test_every_token_is_in_exactly_one_part(usage: Usage) -> None:
    counts = astuple(parts_of(usage))

    assert min(counts) >= 0
    assert sum(counts) == usage.input + usage.output


def cached_audio_rate(price: PriceVector, input_tokens: int) -> int:
    """What a token of cached audio costs, femto-dollars."""
    rates = price.rates_for(input_tokens)
    return rates.cached_read if rates.cached_audio is UNSET else rates.cached_audio


@given(price=st.sampled_from(PRICES), usage=usages())
def test_the_parts_add_up_to_the_whole(price: PriceVector, usage: Usage) -> None:
    rates, parts = price.rates_for(usage.input), parts_of(usage)
    each = (
        (parts.text, rates.input),
        (parts.cached_text, rates.cached_read),
        (parts.cached_audio, cached_audio_rate(price, usage.input)),
        (parts.written_text, rates.cache_write),
        (parts.written_audio, max(rates.cache_write, rates.audio_input)),
        (parts.audio, rates.audio_input),
        (parts.text_out, rates.output),
        (parts.audio_out, rates.audio_output),
    )

    assert cost_nano(usage, price) == nano_from_femto(sum(n * rate for n, rate in each) + rates.per_call)


@given(price=st.sampled_from(PRICES), usage=usages(), data=st.data())
def test_a_cached_token_is_never_billed_twice(price: PriceVector, usage: Usage, data: st.DataObject) -> None:
    rates = price.rates_for(usage.input)
    assert rates.cached_read <= rates.input, "a page on which caching is dearer needs a look"
    assert cached_audio_rate(price, usage.input) <= max(rates.audio_input, rates.input)
    more = data.draw(st.integers(usage.cached_read, usage.input - usage.cache_write))

    plain = cost_nano(changed(usage, cached_read=0), price)
    assert cost_nano(changed(usage, cached_read=more), price) <= cost_nano(usage, price) <= plain


@given(price=st.sampled_from(PRICES), usage=usages(), data=st.data())
def test_a_call_is_never_priced_below_any_way_in_which_cached_and_audio_can_overlap(
    price: PriceVector, usage: Usage, data: st.DataObject
) -> None:
    usage = changed(usage, cache_write=0)
    least = max(0, usage.cached_read + usage.audio_input - usage.input)
    both = data.draw(st.integers(least, min(usage.cached_read, usage.audio_input)))
    rates = price.rates_for(usage.input)

    femto = (
        (usage.input - usage.cached_read - usage.audio_input + both) * rates.input
        + (usage.cached_read - both) * rates.cached_read
        + both * cached_audio_rate(price, usage.input)
        + (usage.audio_input - both) * rates.audio_input
        + (usage.output - usage.audio_output) * rates.output
        + usage.audio_output * rates.audio_output
        + rates.per_call
    )
    assert cost_nano(usage, price) >= nano_from_femto(femto)


@given(price=st.sampled_from(PRICES), usage=usages())
def test_reasoning_is_never_added_to_the_output_that_it_is_a_part_of(price: PriceVector, usage: Usage) -> None:
    assert cost_nano(usage, price) == cost_nano(changed(usage, reasoning=0), price)


@given(price=st.sampled_from(PRICES), usage=usages(), more=st.integers(0, 300_000))
def test_more_tokens_never_cost_less(price: PriceVector, usage: Usage, more: int) -> None:
    cost = cost_nano(usage, price)

    assert cost_nano(changed(usage, input=usage.input + more, audio_input=0), price) >= cost_nano(
        changed(usage, audio_input=0), price
    )
    assert cost_nano(changed(usage, output=usage.output + more), price) >= cost
