"""Compiled prices charge exactly what the price table itself calculates, for every model in it."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import msgspec
import pytest
from behest_gateway.adapters.prices import PriceFileError, PriceTable, read_overrides
from behest_gateway.core.clock import SystemClock
from behest_gateway.core.prices import Band, cost_nano, vector_hash
from behest_protocol.usage import Usage
from genai_prices import Usage as TableUsage
from genai_prices.data_snapshot import get_snapshot


class Noon:
    """A clock that stands still."""

    def now_us(self) -> int:
        return 1_795_000_000_000_000


SIZES = (
    Usage(input=1000, output=500),
    Usage(input=1000, output=500, cached_read=900),
    Usage(input=250_000, output=100, cached_read=10),
    Usage(input=300_000, output=7000),
    Usage(),
)


def test_every_model_of_openai_costs_what_the_table_says() -> None:
    from datetime import UTC, datetime

    table = PriceTable(Noon(), {})
    when = datetime.fromtimestamp(Noon().now_us() / 1e6, UTC)
    [provider] = [p for p in get_snapshot().providers if p.id == "openai"]
    compared = 0
    for model in provider.models:
        price = table.price("openai", model.id)
        if price is None:
            continue
        for usage in SIZES:
            theirs = TableUsage(
                input_tokens=usage.input, output_tokens=usage.output, cache_read_tokens=usage.cached_read
            )
            total = model.calc_price(theirs, provider, genai_request_timestamp=when).total_price
            nano = int((Decimal(total) * 10**9).to_integral_value(rounding=ROUND_CEILING))
            assert cost_nano(usage, price) == nano, (model.id, usage)
            compared += 1
    assert compared > 200


def test_the_price_of_the_default_model_is_the_published_one() -> None:
    price = PriceTable(Noon(), {}).price("openai", "gpt-4o-mini")

    assert price is not None
    assert price.version.startswith("genai-prices ")
    assert cost_nano(Usage(input=1_000_000), price) == 150_000_000
    assert cost_nano(Usage(input=1_000_000, cached_read=1_000_000), price) == 75_000_000
    assert cost_nano(Usage(output=1_000_000), price) == 600_000_000
    assert cost_nano(Usage(output=1), price) == 600


def test_a_model_that_nobody_knows_has_no_price() -> None:
    assert PriceTable(SystemClock(), {}).price("openai", "no-such-model") is None


def test_a_price_has_the_same_hash_as_long_as_it_is_the_same() -> None:
    one, two = PriceTable(Noon(), {}), PriceTable(SystemClock(), {})

    assert one.price("openai", "gpt-4o") == two.price("openai", "gpt-4o")


def test_cached_audio_has_its_own_price_or_that_of_what_is_cached_or_that_of_audio() -> None:
    table = PriceTable(Noon(), {})
    audio = Usage(input=1000, audio_input=1000, cached_read=1000)
    compared = [("google", "gemini-2.5-flash", 100), ("google", "gemini-2.5-pro", 125), ("openai", "gpt-audio", 32_000)]

    for provider, model, nano_per_token in compared:
        price = table.price(provider, model)
        assert price is not None
        assert cost_nano(audio, price) == 1000 * nano_per_token, model


def test_a_price_vector_from_before_cached_audio_had_a_price_keeps_its_hash() -> None:
    rates = b'{"input":1,"output":2,"cached_read":3,"cache_write":4,"audio_input":5,"audio_output":6,"per_call":7}'
    old = b'[{"above":0,"rates":%b}]' % rates
    bands = msgspec.json.decode(old, type=tuple[Band, ...])

    assert msgspec.json.encode(bands) == old
    assert vector_hash("openai", "m", bands) == "ed52cc35c8cc79908f467d12f1b5379f7e29f9dc08ef40f61b2881537584b4d6"


def test_an_operators_own_price_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(
        '{"gpt-4o-mini": {"input_mtok": "1", "output_mtok": "0.0375"}, "llama": {"input_mtok": 0, "output_mtok": 0}}'
    )
    table = PriceTable(Noon(), read_overrides(file))

    own, free = table.price("openai", "gpt-4o-mini"), table.price("openai", "llama")

    assert own is not None
    assert free is not None
    assert cost_nano(Usage(input=3, output=2, cached_read=1), own) == 3000 + 75
    assert cost_nano(Usage(input=10**6, output=10**6), free) == 0
    assert "llama" in table.models("openai")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"m": {}}',
        '{"m": {"input_mtok": "-1", "output_mtok": "1"}}',
        '{"m": {"input_mtok": "nan", "output_mtok": "1"}}',
        '{"m": {"input_mtok": "1", "output_mtok": "1", "typo": 1}}',
    ],
)
def test_a_price_file_that_is_wrong_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text)

    with pytest.raises(PriceFileError, match=r"prices\.json"):
        read_overrides(file)


def test_a_missing_price_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match="cannot read"):
        read_overrides(tmp_path / "none.json")
