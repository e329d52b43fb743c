"""A ready OpenAI client goes through the gateway, and its token renews itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import openai
import pytest
from behest import BehestConfigError

from .both import done
from .stub_gateway import CHAT, MINT, Answer, StubGateway

HELLO: Any = [{"role": "user", "content": "Hello"}]


async def _ask(sdk: Any, **options: Any) -> str:
    answer = await done(sdk.chat.completions.create(model="default", messages=HELLO, **options))
    return str(answer.choices[0].message.content)


async def test_it_is_an_openai_client_for_one_user(client: Any, gateway: StubGateway) -> None:
    sdk = client.openai(user_id="u_42", session_id="s_1", thread_id="t_1", tier=2)

    assert isinstance(sdk, (openai.OpenAI, openai.AsyncOpenAI))
    assert await _ask(sdk) == "Hello, u_42!"
    (seen,) = gateway.requests(CHAT)
    assert (seen.headers["x-session-id"], seen.headers["x-thread-id"]) == ("s_1", "t_1")
    assert (seen.claims["uid"], seen.claims["sid"], seen.claims["tier"]) == ("u_42", "s_1", 2)


async def test_it_streams(client: Any) -> None:
    sdk = client.openai(user_id="u_42")

    stream = await done(sdk.chat.completions.create(model="default", messages=HELLO, stream=True))
    chunks = [chunk async for chunk in stream] if isinstance(stream, openai.AsyncStream) else list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello, u_42!"


async def test_its_token_is_the_one_that_is_kept(client: Any, gateway: StubGateway) -> None:
    sdk = client.openai(user_id="u_42")
    for _ in range(2):
        await _ask(sdk)
    await done(client.chat.completions.create(messages=HELLO, user_id="u_42"))
    await _ask(client.for_user("u_42").openai())

    assert len(gateway.requests(MINT)) == 1


async def test_its_token_is_replaced_before_it_ends(client: Any, gateway: StubGateway) -> None:
    sdk = client.openai(user_id="u_42")
    gateway.reported_ttl = 0
    await _ask(sdk)
    await _ask(sdk)

    tokens = {seen.headers["authorization"] for seen in gateway.requests(CHAT)}
    assert len(tokens) == len(gateway.requests(MINT)) == 2


async def test_its_token_is_replaced_once_when_it_is_refused(client: Any, gateway: StubGateway) -> None:
    sdk = client.openai(user_id="u_42")
    await _ask(sdk)
    gateway.change_signing_key()

    assert await _ask(sdk) == "Hello, u_42!"
    assert [len(gateway.requests(route)) for route in (MINT, CHAT)] == [2, 3]

    gateway.plan_next(CHAT, *[Answer(401, {"error": {"message": "Clock skew."}})] * 4)
    with pytest.raises(openai.AuthenticationError, match="Clock skew"):
        await _ask(sdk)
    assert [len(gateway.requests(route)) for route in (MINT, CHAT)] == [3, 5]


async def test_a_used_up_budget_is_an_error_that_is_not_retried(client: Any, gateway: StubGateway) -> None:
    gateway.over_budget.add("u_42")

    with pytest.raises(openai.APIStatusError) as caught:
        await _ask(client.openai(user_id="u_42"))

    assert (caught.value.status_code, caught.value.code) == (402, "quota_exceeded")
    assert len(gateway.requests(CHAT)) == 1


async def test_closing_one_leaves_the_others_open(client: Any, gateway: StubGateway) -> None:
    ada, grace = client.openai(user_id="ada"), client.openai(user_id="grace")
    await _ask(ada)
    await done(ada.close())

    assert await _ask(grace) == "Hello, grace!"
    assert len({seen.connection for seen in gateway.requests(CHAT)}) == 1


async def test_its_other_options_are_the_callers(client: Any, gateway: StubGateway) -> None:
    sdk = client.openai(user_id="u_42", max_retries=0, timeout=5, default_headers={"X-Team": "blue"})

    assert (sdk.max_retries, sdk.timeout) == (0, 5)
    await _ask(sdk)
    assert gateway.seen[-1].headers["x-team"] == "blue"


async def test_retries_and_time_outs_are_those_of_the_client(make: Callable[..., Any]) -> None:
    sdk = make(max_retries=1, timeout=7).openai()

    assert (sdk.max_retries, sdk.timeout) == (1, 7)


async def test_the_clients_cap_on_the_cost_holds_for_its_calls_too(
    make: Callable[..., Any], gateway: StubGateway
) -> None:
    await _ask(make(max_cost_usd=0.05).openai(user_id="u_42"))

    assert gateway.seen[-1].headers["x-behest-max-cost-usd"] == "0.05"


async def test_an_http_client_of_the_callers_own_is_used(client: Any, gateway: StubGateway) -> None:
    is_sync = type(client).__name__ == "Behest"
    kind = openai.DefaultHttpxClient if is_sync else openai.DefaultAsyncHttpxClient
    own = kind(headers={"X-Team": "blue"})
    sdk = client.openai(user_id="u_42", http_client=own)

    assert await _ask(sdk) == "Hello, u_42!"
    assert gateway.seen[-1].headers["x-team"] == "blue"
    await done(sdk.close())
    assert own.is_closed


async def test_a_user_in_a_bound_client_is_its_own(client: Any, gateway: StubGateway) -> None:
    assert await _ask(client.for_user("ada", session_id="s_1").openai(thread_id="t_1")) == "Hello, ada!"
    assert gateway.seen[-1].headers["x-session-id"] == "s_1"
    assert gateway.seen[-1].headers["x-thread-id"] == "t_1"


async def test_without_the_openai_package_it_says_what_to_install(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)

    with pytest.raises(BehestConfigError, match=r"pip install 'openai>=1\.106'") as caught:
        client.openai(user_id="u_42")

    assert caught.value.code == "missing_package"


async def test_an_openai_package_that_is_too_old_is_named(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "__version__", "1.99.9")

    with pytest.raises(BehestConfigError, match=r"which is version 1\.99\.9"):
        client.openai(user_id="u_42")
