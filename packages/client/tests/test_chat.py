"""Chat: what is sent, what comes back, and what stays here."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from behest import (
    BehestBadRequestError,
    BehestConfigError,
    BehestError,
    BehestQuotaError,
    BehestServerError,
    ChatCompletion,
    decode_token,
)

from .both import done
from .stub_gateway import CHAT, MINT, Answer, StubGateway

HELLO = [{"role": "user", "content": "Hello"}]


async def test_an_answer_is_read_by_attributes_and_as_a_dict(client: Any) -> None:
    answer = await done(client.chat.completions.create(messages=HELLO, user_id="u_42"))

    assert isinstance(answer, ChatCompletion)
    assert answer.choices[0].message.content == "Hello, u_42!"
    assert answer["choices"][0]["message"]["content"] == "Hello, u_42!"
    assert answer.usage is not None
    assert (answer.usage.total_tokens, answer.usage.cost_usd) == (12, 0.0015)
    assert answer.x_new.kept is True


async def test_only_what_belongs_to_the_model_is_in_the_body(client: Any, gateway: StubGateway) -> None:
    await done(
        client.chat.completions.create(
            messages=HELLO,
            model="gpt-4o-mini",
            temperature=0,
            tools=[],
            user_id="u_42",
            session_id="s_1",
            thread_id="t_1",
            tier=2,
            timeout=30,
        )
    )

    mint, chat = gateway.seen
    assert chat.body == {"model": "gpt-4o-mini", "messages": HELLO, "temperature": 0, "tools": []}
    assert (chat.headers["x-session-id"], chat.headers["x-thread-id"]) == ("s_1", "t_1")
    assert chat.headers["accept"] == "application/json"
    assert (chat.claims["uid"], chat.claims["tier"]) == ("u_42", 2)
    assert mint.body["session_id"] == "s_1"


@pytest.mark.parametrize(
    ("given", "sent"),
    [(0.05, "0.05"), ("0.10", "0.10"), (1e-6, "0.000001"), (Decimal("2"), "2"), (0, "0"), (0.01 / 3, "0.003333333")],
)
async def test_the_most_that_a_call_may_cost_is_sent_in_plain_decimals(
    client: Any, gateway: StubGateway, given: Any, sent: str
) -> None:
    await done(client.chat.completions.create(messages=HELLO, user_id="u_42", max_cost_usd=given))

    (chat,) = gateway.requests(CHAT)
    assert chat.headers["x-behest-max-cost-usd"] == sent
    assert chat.body == {"messages": HELLO}


async def test_a_clients_cap_is_sent_with_every_call_that_has_none_of_its_own(
    make: Callable[..., Any], gateway: StubGateway
) -> None:
    behest = make(max_cost_usd="0.10")

    await done(behest.chat.completions.create(messages=HELLO))
    await done(behest.for_user("u_42").chat.completions.create(messages=HELLO))
    await done(behest.chat.completions.create(messages=HELLO, max_cost_usd=2))

    assert [chat.headers["x-behest-max-cost-usd"] for chat in gateway.requests(CHAT)] == ["0.10", "0.10", "2"]


async def test_without_a_cap_none_is_sent(client: Any, gateway: StubGateway) -> None:
    await done(client.chat.completions.create(messages=HELLO, user_id="u_42"))

    (chat,) = gateway.requests(CHAT)
    assert "x-behest-max-cost-usd" not in chat.headers


@pytest.mark.parametrize("amount", [-1, "free", "nan", True, 1e9])
async def test_a_cap_that_is_no_amount_is_refused_before_anything_is_sent(
    client: Any, gateway: StubGateway, amount: Any
) -> None:
    with pytest.raises(BehestBadRequestError, match="max_cost_usd"):
        await done(client.chat.completions.create(messages=HELLO, user_id="u_42", max_cost_usd=amount))

    assert gateway.seen == []


async def test_an_empty_model_is_sent_and_a_missing_one_is_not(client: Any, gateway: StubGateway) -> None:
    await done(client.chat.completions.create(messages=HELLO, model=""))
    await done(client.chat.completions.create(messages=HELLO))

    assert [seen.body.get("model") for seen in gateway.requests(CHAT)] == ["", None]


async def test_the_conversation_goes_on_with_the_answers_message(client: Any, gateway: StubGateway) -> None:
    messages: list[Any] = [*HELLO]
    messages.append((await done(client.chat.completions.create(messages=messages))).choices[0].message)
    await done(client.chat.completions.create(messages=(message for message in messages)))

    assert gateway.seen[-1].body["messages"] == [*HELLO, {"role": "assistant", "content": "Hello, default!"}]


async def test_the_session_is_the_tokens_unless_the_call_names_one(client: Any, gateway: StubGateway) -> None:
    await done(client.chat.completions.create(messages=HELLO))
    kept = client.auth.last_session_id
    await done(client.chat.completions.create(messages=HELLO))
    await done(client.chat.completions.create(messages=HELLO, session_id="s_1"))

    sent = [(seen.headers["x-session-id"], seen.claims["sid"]) for seen in gateway.requests(CHAT)]
    assert sent == [(kept, kept), (kept, kept), ("s_1", "s_1")]
    assert client.auth.last_session_id == "s_1"


async def test_a_given_token_is_used_with_its_own_session(client: Any, gateway: StubGateway) -> None:
    ada = await done(client.auth.mint(user_id="ada"))
    await done(client.auth.mint(user_id="grace"))

    await done(client.chat.completions.create(messages=HELLO, token=ada.token))

    (seen,) = gateway.requests(CHAT)
    assert (seen.claims["uid"], seen.headers["x-session-id"]) == ("ada", ada.session_id)
    assert len(gateway.requests(MINT)) == 2


async def test_a_given_token_without_a_session_goes_with_the_last_minted_one(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(200, {"choices": []}), Answer(200, {"choices": []}))
    await done(client.chat.completions.create(messages=HELLO, token="opaque"))
    minted = await done(client.auth.mint())
    await done(client.chat.completions.create(messages=HELLO, token="opaque"))

    first, second = gateway.requests(CHAT)
    assert "x-session-id" not in first.headers
    assert second.headers["x-session-id"] == minted.session_id
    assert second.headers["authorization"] == "Bearer opaque"


@pytest.mark.parametrize("token", ["", "a\r\nX-Role: admin", "é"])
async def test_a_token_that_is_none_is_refused_rather_than_replaced(
    token: str, client: Any, gateway: StubGateway
) -> None:
    with pytest.raises(BehestBadRequestError, match="token"):
        await done(client.chat.completions.create(messages=HELLO, token=token))
    assert gateway.seen == []


async def test_a_session_that_a_header_cannot_carry_is_refused(client: Any, gateway: StubGateway) -> None:
    for token in (None, "opaque"):
        with pytest.raises(BehestBadRequestError, match="session"):
            await done(client.chat.completions.create(messages=HELLO, session_id="a\nb", token=token))
    assert gateway.seen == []


async def test_a_used_up_budget_says_what_people_need_and_is_not_retried(client: Any, gateway: StubGateway) -> None:
    gateway.over_budget.add("u_42")

    with pytest.raises(BehestQuotaError, match="5 USD is used up") as caught:
        await done(client.chat.completions.create(messages=HELLO, user_id="u_42"))

    assert (caught.value.status, caught.value.code, caught.value.trace_id) == (402, "quota_exceeded", "tr_refused")
    assert caught.value.details["limit_usd"] == 5
    assert caught.value.details["resets_at"] == "2026-11-24T00:00:00Z"
    assert len(gateway.requests(CHAT)) == 1


async def test_a_guardrails_refusal_is_told_by_its_code(client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(451, {"error": {"code": "pii_blocked", "message": "Personal data."}}))

    with pytest.raises(BehestError, match="Personal data") as caught:
        await done(client.chat.completions.create(messages=HELLO))

    assert (type(caught.value), caught.value.status, caught.value.code) == (BehestError, 451, "pii_blocked")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{"])
async def test_an_answer_of_another_shape_is_the_gateways_fault(body: bytes, client: Any, gateway: StubGateway) -> None:
    gateway.plan_next(CHAT, Answer(200, body))

    with pytest.raises(BehestServerError) as caught:
        await done(client.chat.completions.create(messages=HELLO))

    assert caught.value.code == "invalid_response"


async def test_a_cost_header_that_is_no_number_is_passed_over(client: Any, gateway: StubGateway) -> None:
    answer = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    gateway.plan_next(CHAT, Answer(200, answer, {"X-Behest-Cost-Usd": "unknown"}))

    assert (await done(client.chat.completions.create(messages=HELLO))).usage.cost_usd is None


async def test_connections_are_used_again(client: Any, gateway: StubGateway) -> None:
    for _ in range(3):
        await done(client.chat.completions.create(messages=HELLO))

    assert {seen.connection for seen in gateway.seen} == {1}


async def test_the_callers_http_client_is_used_and_left_open(make: Callable[..., Any], gateway: StubGateway) -> None:
    asked: list[str] = []
    kind = httpx.Client if type(make()).__name__ == "Behest" else httpx.AsyncClient

    def saw(request: httpx.Request) -> None:
        asked.append(request.url.path)

    async def saw_too(request: httpx.Request) -> None:
        asked.append(request.url.path)

    hook = saw if kind is httpx.Client else saw_too
    own = kind(event_hooks={"request": [hook]}, auth=("ada", "secret"), headers={"X-Team": "blue"}, trust_env=False)
    client = make(http_client=own)

    await done(client.chat.completions.create(messages=HELLO, user_id="u_42"))
    await done(client.close())

    assert asked == ["/v1/auth/mint", "/v1/chat/completions"]
    assert {seen.headers["x-team"] for seen in gateway.seen} == {"blue"}
    assert decode_token(gateway.seen[-1].headers["authorization"].removeprefix("Bearer ")).uid == "u_42"
    assert not own.is_closed
    if isinstance(own, httpx.AsyncClient):
        await own.aclose()
    else:
        own.close()


async def test_an_http_client_of_the_other_kind_is_refused(make: Callable[..., Any]) -> None:
    with httpx.Client() as waiting:
        async with httpx.AsyncClient() as awaiting:
            wrong = awaiting if type(make()).__name__ == "Behest" else waiting
            with pytest.raises(BehestConfigError, match="http_client") as caught:
                make(http_client=wrong)

    assert caught.value.code == "invalid_option"


async def test_a_closed_client_says_so(client: Any) -> None:
    await done(client.close())
    await done(client.close())

    with pytest.raises(BehestError, match="closed") as caught:
        await done(client.chat.completions.create(messages=HELLO))

    assert caught.value.code == "client_closed"


async def test_a_proxy_of_the_environment_is_not_asked_for_a_gateway_on_this_machine(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = make()

    assert (await done(client.chat.completions.create(messages=HELLO))).text == "Hello, default!"
    assert (await done(client.openai().chat.completions.create(model="default", messages=HELLO))).choices


async def test_a_name_under_localhost_is_found_on_this_machine(make: Callable[..., Any], gateway: StubGateway) -> None:
    client = make(base_url=gateway.base_url.replace("127.0.0.1", "amber-fox-042.localhost"))

    assert (await done(client.chat.completions.create(messages=HELLO))).text == "Hello, default!"
    assert (await done(client.openai().chat.completions.create(model="default", messages=HELLO))).choices
    port = gateway.base_url.rpartition(":")[2]
    assert {seen.headers["host"] for seen in gateway.seen} == {f"amber-fox-042.localhost:{port}"}
