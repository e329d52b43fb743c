"""Drives the chat page of any template through its `data-role` and `data-status` markup, as a person would.

The markup is described in `templates/_shared/README.md`. Every wait is bounded by the page's own time-out.
"""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, expect

REPLIED = re.compile(r"^(done|stopped|error|blocked)$")
"""The `data-status` of a reply that is over, one way or another."""


class ChatPage:
    """One user's browser tab.

    Args:
        page: A fresh page; its default time-out bounds every wait.
        url: The app's address, without a slash at its end.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def part(self, role: str, within: Locator | None = None) -> Locator:
        """The element with this `data-role`."""
        return (within or self.page).locator(f'[data-role="{role}"]')

    async def sign_in(self, user: str) -> None:
        """Open the app, sign in as one of the seeded users, and wait until the chat knows who it is."""
        await self.page.goto(f"{self.url}/")
        await expect(self.part("sign-in")).to_be_visible()
        await self.page.locator(f'[data-role="sign-in-user"][data-user="{user}"]').click()
        await expect(self.part("user")).to_have_attribute("data-user", user)

    async def sign_out(self) -> None:
        """Sign out, and wait for the sign-in page."""
        await self.part("user").locator("summary").click()
        await self.part("sign-out").click()
        await expect(self.part("sign-in")).to_be_visible()

    async def send(self, text: str) -> Locator:
        """Write a message, send it with Enter, and return the reply's element as soon as it is there."""
        replies = self.part("messages").locator('[data-role="message"][data-from="assistant"]')
        before = await replies.count()
        await self.part("composer").fill(text)
        await self.part("composer").press("Enter")
        reply = replies.nth(before)
        await expect(reply).to_be_visible()
        return reply

    async def finished(self, reply: Locator) -> str:
        """Wait until the reply is over; return how: `done`, `stopped`, `error` or `blocked`."""
        await expect(reply).to_have_attribute("data-status", REPLIED)
        return await reply.get_attribute("data-status") or ""

    async def ask(self, text: str) -> Locator:
        """Send a message and wait until its reply is over."""
        reply = await self.send(text)
        await self.finished(reply)
        return reply

    async def has_begun(self, reply: Locator) -> None:
        """Wait until the first words of a reply are on the page."""
        await expect(self.part("message-text", reply)).not_to_be_empty()

    async def stop(self) -> None:
        """Press Stop."""
        await self.part("stop").click()

    async def text(self, reply: Locator) -> str:
        """The words of a reply."""
        return (await self.part("message-text", reply).inner_text()).strip()

    async def cost(self, reply: Locator) -> float:
        """What a reply cost in USD, as the page was told."""
        await expect(self.part("cost", reply)).to_be_visible()
        return float(await self.part("cost", reply).get_attribute("data-usd") or "nan")

    async def notice(self, reply: Locator) -> str:
        """The sentence beneath a reply that was refused or failed."""
        await expect(self.part("notice", reply)).to_be_visible()
        return (await self.part("notice-text", reply).inner_text()).strip()

    async def budget(self) -> tuple[float, float]:
        """What is spent of the budget on the page, and its limit, in USD."""
        region = self.part("budget")
        await expect(region).to_be_visible()
        spent = await region.get_attribute("data-spent-usd")
        limit = await region.get_attribute("data-limit-usd")
        return float(spent or "nan"), float(limit or "nan")
