"""What type checkers tell people who use the client. Checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

import httpx
import openai
from behest import (
    AsyncBehest,
    AsyncBehestUser,
    AsyncStream,
    Behest,
    BehestError,
    BehestUser,
    ChatCompletion,
    ChatCompletionChunk,
    CompletionUsage,
    MintResult,
    Stream,
    Thread,
    ThreadMessage,
    UsageReport,
    classify_http_error,
    detect_mode,
)

MESSAGES = [{"role": "user", "content": "Hello"}]


def blocking(behest: Behest, maybe: bool) -> None:
    completions = behest.chat.completions

    assert_type(completions.create(messages=MESSAGES), ChatCompletion)
    assert_type(completions.create(messages=MESSAGES, stream=False, temperature=0), ChatCompletion)
    assert_type(completions.create(messages=MESSAGES, stream=True), Stream)
    assert_type(completions.create(messages=MESSAGES, stream=maybe), ChatCompletion | Stream)

    answer = completions.create(messages=MESSAGES, model="gpt-4o-mini", user_id="u_42", tier="pro")
    assert_type(answer.choices[0].message.content, str | None)
    assert_type(answer.usage, CompletionUsage | None)
    assert_type(answer.text, str)
    assert_type(answer["choices"], Any)
    assert_type(answer.whatever_the_gateway_adds, Any)
    completions.create(messages=[*MESSAGES, answer.choices[0].message])
    completions.create(messages=MESSAGES, max_cost_usd="0.05")
    Behest(max_cost_usd=0.05)

    with completions.create(messages=MESSAGES, stream=True) as stream:
        for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)
            assert_type(chunk.choices[0].delta.content, str | None)

    assert_type(behest.auth.mint(user_id="u_42"), MintResult)
    assert_type(behest.auth.mint().expires_at, int)
    assert_type(behest.threads.list(), list[Thread])
    assert_type(behest.threads.messages("t_1"), list[ThreadMessage])
    behest.threads.delete("t_1")
    assert_type(behest.usage.get(granularity="hour"), UsageReport)
    assert_type(behest.usage.get().totals.cost_usd, float)
    for budget in behest.usage.get().budgets or []:
        assert_type(budget.limit_usd, float | None)
        assert_type(budget.spent_tokens, int | None)
        assert_type(budget.resets_at, str | None)
    assert_type(behest.for_user("u_42"), BehestUser)
    assert_type(behest.for_user("u_42").chat.completions.create(messages=MESSAGES), ChatCompletion)
    assert_type(behest.openai(user_id="u_42"), openai.OpenAI)
    assert_type(behest.for_user("u_42").openai(), openai.OpenAI)


async def awaiting(behest: AsyncBehest) -> None:
    completions = behest.chat.completions

    assert_type(await completions.create(messages=MESSAGES), ChatCompletion)
    assert_type(await completions.create(messages=MESSAGES, stream=True), AsyncStream)
    async with await completions.create(messages=MESSAGES, stream=True) as stream:
        async for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)

    assert_type(await behest.auth.mint(user_id="u_42"), MintResult)
    assert_type(await behest.threads.list(), list[Thread])
    assert_type(await behest.usage.get(), UsageReport)
    assert_type(behest.for_user("u_42"), AsyncBehestUser)
    assert_type(behest.openai(), openai.AsyncOpenAI)


def values(error: BehestError) -> None:
    assert_type(error.retry_after, int | None)
    assert_type(error.details, dict[str, Any])
    assert_type(classify_http_error(402), BehestError)
    assert_type(detect_mode("behest_sk_live_x")[1], str)


def mistakes(behest: Behest) -> None:
    behest.chat.completions.create()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    behest.for_user(42)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    behest.usage.get(granularity="week")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Behest(http_client=httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Behest("behest_sk_live_x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
