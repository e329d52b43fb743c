"""What a person meets on the chat page, besides a reply: refusals, failures, odd replies, small screens, keyboards."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from ..templates.rendering import ROOT
from .conftest import PHONE, OpenTab
from .product import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = """\
# Look <img src=x onerror="document.title='taken'">

<script>document.title = 'taken'</script>
[click me](javascript:document.title='taken') and [that](data:text/html,<script>1</script>), **<b onclick=1>bold</b>**

| <i>a</i> | b |
| --- | --- |
| `<style>*{display:none}</style>` | [ok](https://example.com/a_(b)?c=1) |

```html
<iframe src="https://example.com"></iframe>
"""


async def test_a_reply_that_holds_markup_is_shown_as_text(shop: Shop, open_tab: OpenTab) -> None:
    shop.stack.script(when={"contains": "hostile"}, reply=HOSTILE)
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    reply = await chat.ask("hostile, please")
    text = await chat.text(reply)
    for shown in ("<img src=x", "<script>document.title", "<b onclick=1>bold</b>", "<style>*", "<iframe"):
        assert shown in text
    inside = chat.part("message-text", reply)
    tags = await inside.evaluate("node => [...new Set([...node.querySelectorAll('*')].map(e => e.localName))].sort()")
    assert set(tags) <= {"a", "code", "div", "h4", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr"}
    links = await inside.locator("a").evaluate_all("all => all.map(a => [a.getAttribute('href'), a.rel])")
    assert links == [["https://example.com/a_(b)?c=1", "noopener noreferrer"]]
    assert await chat.page.title() == "My chat"


async def test_markdown_becomes_what_it_means(shop: Shop, open_tab: OpenTab) -> None:
    source = (
        "## Two *ways*\n\nOne\nline, **bold _both_**, `a * b`, 2 * 3 * 4, snake_case_name.\n\n"
        "1. first\n   - inner\n   - `code`\n2. second\n\n> quoted\n> more\n\n---\n\n"
        "```py\nif a:\n\n    b = '# no'\n```\nend"
    )
    shop.stack.script(when={"contains": "format"}, reply=source)
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    reply = await chat.ask("format this")
    assert await chat.part("message-text", reply).inner_html() == (
        "<h5>Two <em>ways</em></h5>"
        "<p>One\nline, <strong>bold <em>both</em></strong>, <code>a * b</code>, 2 * 3 * 4, snake_case_name.</p>"
        "<ol><li>first<ul><li>inner</li><li><code>code</code></li></ul></li><li>second</li></ol>"
        "<blockquote><p>quoted\nmore</p></blockquote><hr>"
        "<pre data-language=\"py\"><code>if a:\n\n    b = '# no'</code></pre><p>end</p>"
    )


async def test_the_conversation_so_far_goes_along_until_a_new_chat(shop: Shop, open_tab: OpenTab) -> None:
    shop.stack.script(when={"contains": "remember"}, reply="one two three four five six seven eight nine ten")
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    before = len(shop.stack.bill()["calls"])
    await chat.ask("remember this")
    await chat.ask("remember this")
    await chat.part("new-chat").click()
    await expect(chat.part("messages")).to_be_empty()
    await expect(chat.part("empty")).to_be_visible()
    await chat.ask("remember this")
    first, second, third = (call["prompt_tokens"] for call in shop.stack.bill(before)["calls"])
    assert first == third < second


async def test_a_429_waits_as_long_as_it_says_and_then_answers(shop: Shop, open_tab: OpenTab) -> None:
    fault = {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}, "body": {"error": {"message": "slow"}}}
    shop.stack.script(when={"contains": "busy"}, fault=fault, times=1)
    shop.stack.script(when={"contains": "busy"}, reply="Here I am.")
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    reply = await chat.send("are you busy?")
    await expect(chat.part("notice-text", reply)).to_have_text(
        re.compile(r"^Too many messages at once\. Trying again in [12]\ss\.$")
    )
    await expect(reply).to_have_attribute("data-status", "done")
    assert await chat.text(reply) == "Here I am."
    await expect(chat.part("notice", reply)).to_be_hidden()


async def test_waiting_after_a_429_can_be_given_up(open_shop: Callable[..., Shop], open_tab: OpenTab) -> None:
    shop = open_shop(user_rpm_limit=1)
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    assert await chat.finished(await chat.ask("first")) == "done"
    reply = await chat.send("second")
    assert await chat.finished(reply) == "error"
    await expect(chat.part("notice", reply)).to_have_attribute("data-code", "rate_limited")
    await chat.part("give-up", reply).click()
    await expect(chat.part("notice-text", reply)).to_have_text("Too many messages at once.")
    await expect(chat.part("retry", reply)).to_be_visible()


async def test_a_provider_that_fails_can_be_asked_again(shop: Shop, open_tab: OpenTab) -> None:
    shop.stack.script(when={"contains": "fail"}, fault={"kind": "status", "status": 503, "body": "no"})
    shop.stack.script(when={"contains": "break off"}, fault={"kind": "cut", "after_tokens": 5}, times=1)
    shop.stack.script(when={"contains": "break off"}, reply="All of it.")
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")

    failed = await chat.ask("fail")
    assert await chat.finished(failed) == "error"
    assert await chat.notice(failed) == "The model could not answer. Nothing is wrong with your message; try again."
    await expect(chat.part("notice-id", failed)).to_have_text(re.compile(r"^Request \S+$"))

    broken = await chat.ask("break off")
    assert await chat.finished(broken) == "error"
    assert await chat.text(broken)
    await chat.part("retry", broken).click()
    await expect(broken).to_have_attribute("data-status", "done")
    assert await chat.text(broken) == "All of it."
    await expect(chat.part("notice", broken)).to_be_hidden()


async def test_a_gateway_out_of_reach_is_said_and_tried_again(shop: Shop, open_tab: OpenTab) -> None:
    shop.stack.script(when={"contains": "hello"}, reply="Hello.")
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    await chat.page.context.set_offline(True)
    reply = await chat.ask("hello")
    assert await chat.finished(reply) == "error"
    assert await chat.notice(reply) == (f"No answer from {shop.stack.base_url}. Check your connection, then try again.")
    await chat.page.context.set_offline(False)
    await chat.part("retry", reply).click()
    await expect(reply).to_have_attribute("data-status", "done")


async def test_a_page_that_the_project_does_not_allow_gets_nothing(
    open_shop: Callable[..., Shop], open_tab: OpenTab
) -> None:
    shop = open_shop(origin="https://another.example")
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    reply = await chat.ask("hello")
    assert await chat.finished(reply) == "error"
    assert (await chat.notice(reply)).startswith("No answer from ")


async def test_a_session_that_ended_elsewhere_asks_to_sign_in_again(shop: Shop, open_tab: OpenTab) -> None:
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    await chat.page.context.clear_cookies()

    async def token_is_over(route: Route) -> None:
        headers = {"Access-Control-Allow-Origin": shop.url}
        await route.fulfill(status=401, json={"error": {"code": "invalid_token", "message": "x"}}, headers=headers)

    await chat.page.route("**/v1/chat/completions", token_is_over)
    reply = await chat.ask("hello")
    assert await chat.notice(reply) == "You are signed out. Sign in again to go on."
    await chat.part("retry", reply).click()
    await expect(chat.part("sign-in")).to_be_visible()


async def test_a_token_that_ended_is_renewed_without_a_word(shop: Shop, open_tab: OpenTab) -> None:
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    tokens: list[str] = []

    async def refuse_the_first(route: Route) -> None:
        tokens.append(route.request.headers["authorization"])
        if len(tokens) == 1:
            headers = {"Access-Control-Allow-Origin": shop.url}
            await route.fulfill(status=401, json={"error": {"code": "invalid_token", "message": "x"}}, headers=headers)
        else:
            await route.continue_()

    await chat.page.route("**/v1/chat/completions", refuse_the_first)
    assert await chat.finished(await chat.ask("hello")) == "done"
    first, second = tokens
    assert first != second


async def test_signing_out_leaves_nothing_behind(shop: Shop, open_tab: OpenTab) -> None:
    chat = await open_tab(shop.url)
    await chat.sign_in("carol")
    await expect(chat.part("user-plan")).to_have_text("Max")
    await chat.sign_out()
    assert await chat.page.context.cookies() == []
    await chat.page.goto(shop.url)
    await expect(chat.part("sign-in")).to_be_visible()


async def test_the_keyboard_alone_is_enough(shop: Shop, open_tab: OpenTab) -> None:
    shop.stack.script(when={"contains": "line two"}, completion_tokens=2000, token_delay_ms=20)
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    composer = chat.part("composer")
    await expect(composer).to_be_focused()
    await expect(chat.part("send")).to_be_disabled()
    await composer.press_sequentially("line one")
    await composer.press("Shift+Enter")
    await composer.press_sequentially("line two")
    await expect(composer).to_have_value("line one\nline two")
    await composer.press("Enter")
    await expect(composer).to_have_value("")
    await expect(composer).to_be_focused()
    reply = chat.part("messages").locator('[data-from="assistant"]')
    await chat.has_begun(reply)
    await expect(chat.part("send")).to_be_hidden()
    await composer.press("Escape")
    assert await chat.finished(reply) == "stopped"
    await expect(chat.part("stop")).to_be_hidden()
    assert shop.stack.bill()["calls"][-1]["state"] == "closed_by_client"


async def test_the_page_stays_at_the_end_unless_the_reader_goes_up(shop: Shop, open_tab: OpenTab) -> None:
    lines = "\n\n".join(f"Paragraph {number} of a reply that is much longer than the window." for number in range(60))
    shop.stack.script(when={"contains": "scroll"}, reply=lines, token_delay_ms=4)
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    scroll, latest = chat.part("scroll"), chat.part("latest")
    from_end = "node => node.scrollHeight - node.scrollTop - node.clientHeight"
    assert await chat.finished(await chat.ask("scroll")) == "done"
    assert await scroll.evaluate(from_end) < 2
    await expect(latest).to_be_hidden()

    reply = await chat.send("scroll again")
    await chat.has_begun(reply)
    await scroll.hover()
    await chat.page.mouse.wheel(0, -400)
    await expect(latest).to_be_visible()
    top = await scroll.evaluate("node => node.scrollTop")
    assert await chat.finished(reply) == "done"
    assert await scroll.evaluate("node => node.scrollTop") == top
    await latest.click()
    await expect(latest).to_be_hidden()
    assert await scroll.evaluate(from_end) < 2


@pytest.mark.parametrize("options", [PHONE, {"viewport": {"width": 320, "height": 480}}, {"color_scheme": "dark"}])
async def test_it_fits_small_screens_and_dark_rooms(
    open_shop: Callable[..., Shop], open_tab: OpenTab, options: dict[str, Any]
) -> None:
    shop = open_shop()
    shop.set_budget("0.5", window="month")
    wide = "```\n" + "x" * 300 + "\n```\n\n" + "y" * 300 + "\n\n| " + "cell | " * 30 + "\n|" + "---|" * 30
    shop.stack.script(when={"contains": "wide"}, reply=wide)
    chat = await open_tab(shop.url, **options)
    await chat.sign_in("alice")
    await expect(chat.part("budget-spent")).to_have_text("$0 of $0.50 spent this month")
    await chat.part("suggestion").first.click()
    await expect(chat.part("message").last).to_have_attribute("data-status", "done")
    await chat.part("composer").fill("wide\n" * 30)
    await chat.part("send").click()
    await expect(chat.part("message").last).to_have_attribute("data-status", "done")
    width, page_width = await chat.page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert page_width <= width
    await expect(chat.part("composer")).to_be_in_viewport(ratio=1)
    await expect(chat.part("user")).to_be_in_viewport(ratio=1)
    channels = await chat.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    is_dark = sum(channels) < 3 * 64
    assert is_dark == (options.get("color_scheme") == "dark")


async def test_every_control_has_a_name_and_replies_are_announced_whole(shop: Shop, open_tab: OpenTab) -> None:
    shop.stack.script(when={"contains": "say it"}, reply="It **is** said.")
    chat = await open_tab(shop.url)
    await chat.sign_in("alice")
    await chat.ask("say it")
    await expect(chat.part("announcer")).to_have_text("It is said.")
    snapshot = await chat.page.locator("body").aria_snapshot()
    controls = re.findall(r"^\s*- (button|textbox|link)(.*)$", snapshot, re.MULTILINE)
    assert len(controls) >= 3
    assert [kind for kind, name in controls if '"' not in name] == []


async def test_a_sign_in_that_is_switched_off_says_why(shop: Shop, open_tab: OpenTab) -> None:
    chat = await open_tab(shop.url)

    async def switched_off(route: Route) -> None:
        await route.fulfill(status=403, body="The development sign-in is switched off, because …")

    await chat.page.route("**/api/people", switched_off)
    await chat.page.goto(shop.url)
    await expect(chat.part("notice-text")).to_have_text(re.compile("^The development sign-in is switched off"))
    await expect(chat.part("sign-in")).to_have_attribute("data-status", "blocked")


SENTENCES: list[tuple[dict[str, Any], str]] = [
    (
        {"scope": "each_user", "window": "day", "limit_usd": 1, "spent_usd": 1, "resets_at": "2026-11-24T00:00:00Z"},
        "Your budget for today is used up. It starts again tomorrow at 01:00.",
    ),
    (
        {"scope": "user", "window": "month", "limit_usd": 1, "spent_usd": 0.99, "resets_at": "2026-12-01T00:00:00Z"},
        "Your budget for this month is used up. It starts again on 1 December.",
    ),
    (
        {"scope": "project", "window": "day", "limit_usd": 1, "spent_usd": 1, "resets_at": "2026-11-23T23:00:00Z"},
        "The budget that everybody here shares for today is used up. It starts again at midnight.",
    ),
    (
        {"scope": "user", "window": "day", "limit_usd": 1, "spent_usd": 0.6, "resets_at": "2026-11-23T17:05:00Z"},
        "Your budget for today has $0.40 left, which is too little for this message. "
        "A shorter one or a new chat may fit. The budget starts again at 18:05.",
    ),
    (
        {
            **{"scope": "user", "window": "day", "limit_usd": 1, "spent_usd": 0.2, "held_usd": 0.8},
            "resets_at": "2026-11-23T17:05:00Z",
        },
        "Your budget for today is taken up by replies that are still being written. Try again when they are done. "
        "The budget starts again at 18:05.",
    ),
    ({}, "Your budget is used up."),
]


Evaluate = Callable[[str, Any], Awaitable[Any]]


@pytest_asyncio.fixture(loop_scope="session")
async def evaluate(browser: Browser) -> AsyncGenerator[Evaluate]:
    """The page's modules alone, in a browser in Berlin: `await evaluate("words.dollars(argument)", 1)`.

    An expression may use `words` (words.js), `sse` (sse.js), `argument` and `now`, noon on 23 November 2026 in UTC.
    """
    context = await browser.new_context(locale="en-GB", timezone_id="Europe/Berlin")
    page = await context.new_page()
    static = ROOT / "templates/fastapi/static"
    sources = [(static / name).read_text(encoding="utf-8") for name in ("words.js", "sse.js")]

    async def evaluate_one(expression: str, argument: Any) -> Any:
        return await page.evaluate(
            "async ([sources, argument]) => {"
            "  const load = (source) => import('data:text/javascript,' + encodeURIComponent(source));"
            "  const [words, sse] = await Promise.all(sources.map(load));"
            "  const now = new Date('2026-11-23T12:00:00Z');"
            f"  return await ({expression});"
            "}",
            [sources, argument],
        )

    yield evaluate_one
    await context.close()


async def test_a_402_says_which_budget_is_used_up_and_until_when(evaluate: Evaluate) -> None:
    for details, sentence in SENTENCES:
        error = {"status": 402, "code": "quota_exceeded", "message": "x", "details": details}
        said = await evaluate("words.explain(argument, now)", error)
        assert (said["status"], said["action"], said["text"]) == ("blocked", None, sentence)


async def test_a_402_of_another_unit_or_window_is_told_too(evaluate: Evaluate) -> None:
    wallet = {"scope": "user", "window": "lifetime", "limit_usd": 5, "spent_usd": 5, "held_usd": 0, "resets_at": None}
    rolling = {**wallet, "window": "rolling", "hours": 5, "resets_at": "2026-11-23T13:00:00Z"}
    tokens = {"scope": "each_user", "window": "day", "limit_tokens": 5, "spent_tokens": 5, "resets_at": "x"}
    for details, sentence in (
        (wallet, "Your budget is used up. It needs a top-up."),
        (rolling, "Your budget for any 5 h is used up. It comes back in part at 14:00."),
        (tokens, "In the gateway's words."),
    ):
        error = {"status": 402, "code": "quota_exceeded", "message": "In the gateway's words.", "details": details}
        assert (await evaluate("words.explain(argument, now)", error))["text"] == sentence


async def test_the_bar_shows_an_enforced_budget_in_dollars(evaluate: Evaluate) -> None:
    day = {"scope": "each_user", "window": "day", "limit_usd": 4, "spent_usd": 1, "mode": "enforce", "resets_at": None}
    rolling = {**day, "window": "rolling", "hours": 5, "spent_usd": 2}
    wallet = {**day, "window": "lifetime"}
    shadow = {**day, "spent_usd": 4, "mode": "shadow"}
    tokens = {"scope": "each_user", "window": "day", "limit_tokens": 5, "spent_tokens": 5, "mode": "enforce"}

    assert await evaluate("words.tightest(argument)", [day, tokens, rolling, shadow]) == rolling
    assert await evaluate("words.tightest(argument)", [tokens, shadow]) is None
    for budget, spent in ((rolling, "$2.00 of $4.00 spent in 5 h"), (wallet, "$1.00 of $4.00 spent")):
        assert (await evaluate("words.budgetWords(argument, now)", budget))["spent"] == spent
    assert (await evaluate("words.budgetWords(argument, now)", wallet))["resets"] == "Prepaid"


async def test_money_is_short_and_never_rounds_a_cost_to_nothing(evaluate: Evaluate) -> None:
    amounts = [0, 0.00000012, 0.000042, 0.004, 0.0123, 0.099, 0.1, 0.5, 1, 12.345]
    assert [await evaluate("words.dollars(argument)", amount) for amount in amounts] == [
        *("$0", "$0.00000012", "$0.000042", "$0.004", "$0.012", "$0.099", "$0.10", "$0.50", "$1.00", "$12.35"),
    ]


async def test_every_refusal_has_a_sentence_without_jargon(evaluate: Evaluate) -> None:
    for status in (400, 401, 402, 403, 408, 413, 422, 429, 451, 500, 502, 503, 504):
        said = await evaluate(
            "words.explain(argument, now)", {"status": status, "code": "x", "message": "m", "details": {}}
        )
        assert re.fullmatch(r"[A-Z][^{}_<>]+[.m]", said["text"]), said
        assert said["status"] in ("blocked", "error")


async def test_events_are_read_however_the_network_cuts_them(evaluate: Evaluate) -> None:
    stream = ': hi\r\ndata: {"a":"ä€😀"}\r\n\r\nevent: x\nid: 1\ndata:one\ndata: two\n\n\n\rdata: [DONE]\r\rdata: rest'
    read_in_two = """(async () => {
        const bytes = new TextEncoder().encode(argument);
        const seen = new Set();
        for (let cut = 0; cut <= bytes.length; cut++) {
            const body = new ReadableStream({ start(to) {
                to.enqueue(bytes.slice(0, cut)); to.enqueue(bytes.slice(cut)); to.close(); } });
            const events = [];
            for await (const event of sse.readEvents(body)) events.push(event);
            seen.add(JSON.stringify(events));
        }
        return [...seen];
    })()"""
    assert await evaluate(read_in_two, stream) == ['["{\\"a\\":\\"ä€😀\\"}","one\\ntwo","[DONE]","rest"]']
