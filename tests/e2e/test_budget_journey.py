"""The journey that the product is for: two users, two budgets, and a hard stop for one of them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.async_api import expect

from .conftest import OpenTab
from .product import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMIT = 0.001
"""USD a day for each user: about 1,600 tokens written by gpt-4o-mini."""


async def test_one_user_runs_out_of_budget_while_another_goes_on(
    open_shop: Callable[..., Shop], open_tab: OpenTab
) -> None:
    shop = open_shop()
    stack = shop.stack
    shop.set_budget(str(LIMIT))
    stack.script(when={"contains": "weather"}, reply="Sunny, with a light wind from the **west**.")
    stack.script(when={"contains": "a long story"}, completion_tokens=3000, token_delay_ms=20)
    stack.script(when={"contains": "everything"}, completion_tokens=3000, token_delay_ms=0)
    before = len(stack.bill()["calls"])
    alice = await open_tab(shop.url)
    bob = await open_tab(shop.url)
    await alice.sign_in("alice")
    await bob.sign_in("bob")
    assert await alice.budget() == (0, LIMIT)

    # Both stream at once, each with a token of their own.
    replies = [await user.send("How is the weather?") for user in (alice, bob)]
    for user, reply in zip((alice, bob), replies, strict=True):
        assert await user.finished(reply) == "done"
        assert await user.text(reply) == "Sunny, with a light wind from the west."
        assert 0 < await user.cost(reply) < LIMIT
        await expect(user.part("budget")).to_have_attribute("data-spent-usd", re.compile(r"^[1-9]|0*\.0*[1-9]"))
    calls = stack.bill(before)["calls"]
    assert [call["state"] for call in calls] == ["finished", "finished"]
    assert [call["cost_nano_usd"] / 1e9 for call in calls] == [
        await user.cost(reply) for user, reply in zip((alice, bob), replies, strict=True)
    ]

    # Alice stops a reply: what she read stays, and the provider sees the call end.
    story = await alice.send("Tell me a long story")
    await alice.has_begun(story)
    await alice.stop()
    assert await alice.finished(story) == "stopped"
    assert await alice.text(story)
    await expect(alice.part("message-note", story)).to_have_text("Stopped")
    [stopped] = stack.bill(before + 2)["calls"]
    assert stopped["state"] == "closed_by_client"
    assert 0 < stopped["completion_tokens"] < 1000

    # She asks for more than is left: the reply ends where her budget does, and the next one isn't begun.
    last = await alice.ask("Tell me everything")
    assert await alice.finished(last) == "done"
    await expect(alice.part("message-note", last)).to_have_text("Cut short: your budget had room for no more")
    refused = await alice.ask("How is the weather?")
    assert await alice.finished(refused) == "blocked"
    sentence = await alice.notice(refused)
    assert re.fullmatch(r"Your budget for today is used up\. It starts again (at|tomorrow at) .+\.", sentence), sentence
    await expect(alice.part("notice", refused)).to_have_attribute("data-code", "quota_exceeded")
    await expect(alice.part("notice-id", refused)).to_have_text(re.compile(r"^Request \S+$"))
    await expect(alice.part("retry", refused)).to_be_hidden()
    await expect(alice.part("chat")).to_have_attribute("data-status", "blocked")
    await expect(alice.part("budget")).to_have_attribute("data-state", "empty")
    spent, limit = await alice.budget()
    assert spent <= limit == LIMIT

    # Bob's budget is his own.
    again = await bob.ask("How is the weather?")
    assert await bob.finished(again) == "done"
    spent, limit = await bob.budget()
    assert 0 < spent < limit / 2

    bill = stack.bill(before)["calls"]
    assert len(bill) == 5, "the refused message was never sent to the provider"
    alices = [call["cost_nano_usd"] for call in bill if call["headers"]["X-End-User-Id"] == "alice"]
    assert len(alices) == 3
    assert sum(alices) <= LIMIT * 1e9
