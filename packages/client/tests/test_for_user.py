"""A client bound to one user speaks for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from behest import BehestBadRequestError

from .both import done, listed
from .stub_gateway import CHAT, MINT, StubGateway

HELLO = [{"role": "user", "content": "Hello"}]


async def test_its_calls_are_for_its_user(client: Any, gateway: StubGateway) -> None:
    ada = client.for_user("ada", tier=2, session_id="s_1", ttl=900)

    answer = await done(ada.chat.completions.create(messages=HELLO, thread_id="t_1"))
    chunks = await listed(await done(ada.chat.completions.create(messages=HELLO, stream=True)))
    report = await done(ada.usage.get())
    threads = await done(ada.threads.list())

    assert answer.text == "".join(chunk.text for chunk in chunks) == "Hello, ada!"
    assert report.totals.requests == 2
    assert [thread.id for thread in threads] == ["t_1"]
    (mint,) = gateway.requests(MINT)
    assert mint.body == {"user_id": "ada", "role": "user", "ttl": 900, "tier": 2, "session_id": "s_1"}
    assert {seen.headers["x-session-id"] for seen in gateway.seen[1:]} == {"s_1"}
    assert {seen.claims["uid"] for seen in gateway.seen[1:]} == {"ada"}


async def test_it_mints_for_its_user(client: Any, gateway: StubGateway) -> None:
    ada = client.for_user("ada", tier=2)

    await done(ada.auth.mint(session_id="s_9"))

    assert gateway.seen[-1].body["user_id"] == "ada"
    assert gateway.seen[-1].body["tier"] == 2
    assert ada.auth.last_session_id == "s_9"
    assert client.auth.last_session_id is None


async def test_a_client_per_request_costs_no_mint_per_request(client: Any, gateway: StubGateway) -> None:
    for _ in range(3):
        await done(client.for_user("ada").chat.completions.create(messages=HELLO))
    await done(client.chat.completions.create(messages=HELLO, user_id="ada"))

    assert len(gateway.requests(MINT)) == 1


async def test_a_call_may_name_another_session_but_no_other_user(client: Any, gateway: StubGateway) -> None:
    ada = client.for_user("ada", session_id="s_1")

    await done(ada.chat.completions.create(messages=HELLO, session_id="s_2"))
    await done(ada.chat.completions.create(messages=HELLO, user_id="ada"))
    calls: list[Callable[[], Any]] = [
        lambda: ada.chat.completions.create(messages=HELLO, user_id="grace"),
        lambda: ada.auth.mint(user_id="grace"),
        lambda: ada.threads.list(user_id="grace"),
        lambda: ada.usage.get(user_id="grace"),
    ]
    for call in calls:
        with pytest.raises(BehestBadRequestError, match="speaks for user 'ada' only"):
            await done(call())

    assert [seen.headers["x-session-id"] for seen in gateway.requests(CHAT)] == ["s_2", "s_1"]
    assert {seen.claims.get("uid", "ada") for seen in gateway.seen} == {"ada"}


@pytest.mark.parametrize("options", [{"user_id": ""}, {"user_id": None}, {"user_id": "a", "ttl": 1}])
async def test_what_cannot_work_is_refused_when_it_is_made(options: dict[str, Any], client: Any) -> None:
    with pytest.raises(BehestBadRequestError):
        client.for_user(**options)


async def test_it_tells_whom_it_is_for(client: Any) -> None:
    ada = client.for_user("ada")

    assert ada.user_id == "ada"
    assert repr(ada) in ("BehestUser('ada')", "AsyncBehestUser('ada')")
