"""What a call costs, from the provider's word to the ledger's row and the caller's answer: once for each kind of token.

The sums are those of packages/gateway/tests/money/test_published_prices.py, by the pages of 2026-10-14, in US dollars
per million tokens; a dollar per million tokens is 1,000 nano-dollars per token.
"""

from __future__ import annotations

from typing import Any

import pytest
from behest_protocol.sse import SSEDecoder
from msgspec import Struct, json

from ..support.world import World


class Case(Struct, frozen=True, kw_only=True):
    """One call: what the provider reports, and what that comes to in nano-dollars."""

    name: str
    model: str
    prompt: int
    completion: int
    hidden: int = 0
    into: dict[str, int] = {}
    out: dict[str, int] = {}
    nano: int

    @property
    def usage(self) -> dict[str, Any]:
        """As a provider of the dialect sends it; what is hidden is in the total alone."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion + self.hidden,
            "prompt_tokens_details": self.into,
            "completion_tokens_details": self.out,
        }


CASES = [
    Case(name="plain", model="gpt-4o-mini", prompt=1234, completion=567,
         nano=1234 * 150 + 567 * 600),
    Case(name="cached read", model="gpt-4o-mini", prompt=1234, completion=567, into={"cached_tokens": 1024},
         nano=210 * 150 + 1024 * 75 + 567 * 600),
    Case(name="cache write", model="gpt-6.1-sol", prompt=3000, completion=20,
         into={"cached_tokens": 1024, "cache_write_tokens": 1500},
         nano=476 * 2000 + 1024 * 100 + 1500 * 2500 + 20 * 10_000),
    Case(name="reasoning", model="gpt-5.4", prompt=1000, completion=900, out={"reasoning_tokens": 832},
         nano=1000 * 2500 + 900 * 15_000),
    Case(name="reasoning that is not in the completion", model="gpt-5.4", prompt=20, completion=198, hidden=405,
         nano=20 * 2500 + 603 * 15_000),
    Case(name="audio", model="gpt-audio", prompt=150, completion=80, into={"audio_tokens": 120},
         out={"audio_tokens": 60}, nano=30 * 2500 + 120 * 32_000 + 20 * 10_000 + 60 * 64_000),
    Case(name="cached audio", model="gpt-realtime-mini", prompt=1000, completion=10,
         into={"audio_tokens": 800, "cached_tokens": 700},
         nano=200 * 60 + 500 * 300 + 300 * 10_000 + 10 * 2400),
    Case(name="the longest short context", model="gpt-5.4", prompt=272_000, completion=100,
         nano=272_000 * 2500 + 100 * 15_000),
    Case(name="the shortest long context", model="gpt-5.4", prompt=272_001, completion=100,
         nano=272_001 * 5000 + 100 * 22_500),
    Case(name="cached in a long context", model="gpt-5.4", prompt=300_000, completion=10,
         into={"cached_tokens": 250_000}, nano=50_000 * 5000 + 250_000 * 500 + 10 * 22_500),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_the_ledger_and_the_caller_get_the_price_of_what_the_provider_reported(
    world: World, case: Case, stream: bool
) -> None:
    world.script({"fault": {"kind": "bad_usage", "usage": case.usage}, "completion_tokens": 3})
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}

    answer = world.chat(model=case.model, stream=stream, **options)

    assert answer.status_code == 200, answer.text
    if stream:
        *_, usage, _done = SSEDecoder().feed(answer.content)
        said = json.decode(usage)["usage"]["cost_usd"]
    else:
        said = float(answer.headers["x-behest-cost-usd"])
    assert round(said * 1e9) == case.nano
    [row] = world.rows()
    assert (row.state, row.cost_nano) == ("settled", case.nano)
    assert (row.input_tokens, row.output_tokens) == (case.prompt, case.completion + case.hidden)
