"""The whole product, and a headless Chromium to use it with."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from .chat_page import ChatPage
from .product import Shop, Stack, running_shop, running_stack

PATIENCE_MS = 15_000
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}

OpenTab = Callable[..., Awaitable[ChatPage]]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """One gateway and one fake provider for all tests. A test knows its calls by what their messages say."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def open_shop(stack: Stack, tmp_path: Path) -> Generator[Callable[..., Shop]]:
    """Scaffolds and starts an app: `open_shop(user_rpm_limit=2)`; arguments are those of `running_shop`."""
    with ExitStack() as open_shops:

        def open_one(**settings: Any) -> Shop:
            return open_shops.enter_context(running_shop(stack, tmp_path, **settings))

        yield open_one


@pytest.fixture(scope="session")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Generator[Shop]:
    """A scaffolded app that runs; its project has no budget and wide rates, so tests can share it."""
    with running_shop(stack, tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """A headless Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("BEHEST_CHROMIUM") or next((p for name in names if (p := shutil.which(name))), None)
    assert path, "No Chromium on PATH; install one, or say where it is in BEHEST_CHROMIUM."
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser) -> AsyncGenerator[OpenTab]:
    """Opens a browser of one's own (cookies and all) at an app: `await open_tab(shop.url, color_scheme="dark")`.

    A script error, or anything that the page's security policy had to stop, fails the test.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    async def open_one(url: str, **options: Any) -> ChatPage:
        settled: dict[str, Any] = {"locale": "en-GB", "timezone_id": "Europe/Berlin", **options}
        context = await browser.new_context(**settled)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if "Security Policy" in line.text else None)
        return ChatPage(page, url)

    yield open_one
    for context in contexts:
        await context.close()
    assert problems == []
