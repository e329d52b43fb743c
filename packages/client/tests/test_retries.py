"""What is tried again over a real connection, and what is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from behest import BehestAuthError, BehestError, BehestRateLimitError, BehestServerError

from .both import done
from .stub_gateway import API_KEY, CHAT, MINT, PATIENCE, Answer, Cut, Silence, StubGateway

HELLO = [{"role": "user", "content": "Hello"}]
SOON = {"Retry-After": "0"}


async def _ask(client: Any, **options: Any) -> str:
    text: str = (await done(client.chat.completions.create(messages=HELLO, **options))).text
    return text


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_passing_failure_is_tried_again(status: int, client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(status, headers=SOON), Answer(status, headers=SOON))

    assert await _ask(client) == "Hello, default!"
    assert len(gateway.requests(CHAT)) == 3
    assert len(gateway.requests(MINT)) == 1


@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 413, 422, 451])
async def test_a_refusal_is_not(status: int, client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(status, headers={**SOON, "X-Should-Retry": "true"}))

    with pytest.raises(BehestError) as caught:
        await _ask(client)

    assert caught.value.status == status
    assert len(gateway.requests(CHAT)) == 1


async def test_it_gives_up_after_two_retries(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, *[Answer(429, {"error": {"message": "Slow down."}}, SOON)] * 4)

    with pytest.raises(BehestRateLimitError, match="Slow down") as caught:
        await _ask(client)

    assert caught.value.retry_after == 0
    assert len(gateway.requests(CHAT)) == 3


async def test_the_number_of_retries_is_the_callers_choice(make: Callable[..., Any], gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(503, headers=SOON))

    with pytest.raises(BehestServerError):
        await _ask(make(max_retries=0))

    assert len(gateway.requests(CHAT)) == 1


async def test_the_gateway_can_forbid_it(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(503, headers={**SOON, "X-Should-Retry": "false"}))

    with pytest.raises(BehestServerError):
        await _ask(client)

    assert len(gateway.requests(CHAT)) == 1


async def test_a_wait_that_nobody_would_sit_through_is_the_callers_to_decide(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(429, headers={"Retry-After": "3600"}))

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(BehestRateLimitError) as caught:
            await _ask(client)

    assert caught.value.retry_after == 3600


async def test_a_connection_that_broke_before_a_byte_is_tried_again(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Cut())

    assert await _ask(client) == "Hello, default!"
    assert len(gateway.requests(CHAT)) == 2


async def test_an_answer_that_broke_off_in_its_body_is_not(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Cut(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"id":'))

    with pytest.raises(BehestServerError, match="broke off") as caught:
        await _ask(client)

    assert caught.value.code == "network_error"
    assert len(gateway.requests(CHAT)) == 1


async def test_a_silence_is_not_asked_twice_where_that_could_cost_twice(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Silence())

    with pytest.raises(BehestServerError, match="did not answer in time") as caught:
        await _ask(client, timeout=0.2)

    assert caught.value.code == "network_error"
    assert len(gateway.requests(CHAT)) == 1
    assert await asyncio.to_thread(gateway.hung_up.wait, PATIENCE)


async def test_a_silence_is_asked_twice_where_that_does_no_harm(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next("GET /v1/threads", Silence())

    assert await done(client.threads.list(timeout=0.2)) == []
    assert len(gateway.requests("GET /v1/threads")) == 2


async def test_a_refused_token_is_replaced_once(client: Any, gateway: StubGateway) -> None:
    await _ask(client)
    gateway.change_signing_key()

    assert await _ask(client) == "Hello, default!"
    assert [len(gateway.requests(route)) for route in (MINT, CHAT)] == [2, 3]


async def test_a_token_that_is_refused_when_new_too_is_an_error(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, *[Answer(401, {"error": {"code": "invalid_token", "message": "Clock skew."}})] * 3)

    with pytest.raises(BehestAuthError, match="Clock skew"):
        await _ask(client)

    assert [len(gateway.requests(route)) for route in (MINT, CHAT)] == [2, 2]


async def test_what_is_not_allowed_is_not_asked_for_with_another_token(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(403))

    with pytest.raises(BehestAuthError) as caught:
        await _ask(client)

    assert caught.value.code == "forbidden"
    assert [len(gateway.requests(route)) for route in (MINT, CHAT)] == [1, 1]


async def test_the_log_tells_of_retries_and_of_no_secret(
    client: Any, gateway: StubGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.plan_next(CHAT, Answer(503, headers=SOON))
    with caplog.at_level(logging.DEBUG, logger="behest"):
        await _ask(client)

    (line,) = [record.getMessage() for record in caplog.records if record.name == "behest"]
    assert line == "POST /v1/chat/completions: server_error; trying again in 0.00 s (1)"
    assert API_KEY not in caplog.text
    assert all(seen.headers["authorization"] not in caplog.text for seen in gateway.seen)
