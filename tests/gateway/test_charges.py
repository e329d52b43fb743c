"""What is charged when: each line of docs/reference/charges.md happens to a real gateway, and three books are compared.

The lines come from the document, so a line that nobody makes happen fails, and so does an ending that no line speaks
of. What a line says is compared with the gateway's ledger, and that with the bill that the fake provider keeps for the
same attempt: never below it, equal to it when the provider said what it used, and within the hold unless the provider
broke its promise. Only a hold that outlives the longest answer is made in this process: that takes a clock to move.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.core.exchange import Entry, Hold
from behest_gateway.core.ids import new_id
from behest_gateway.core.prices import Band, PriceVector, Rates
from behest_gateway.stages.admit.ports import Ask
from msgspec import Struct

from ..docs.blocks import table_rows
from ..support.gateway import Gateway, Tenant, start_gateway
from ..support.ledger import Ledger, LedgerRow
from ..support.provider import Billed, Provider
from ..support.world import CHAT, World, messages

DOCUMENT = "docs/reference/charges.md"
WAIT_SECONDS = 10.0
LIMIT = 2000
"""Tokens that a call may have: many more than any answer here, so that an estimate is not the hold."""
NO_END_MS = 60_000


class Line(Struct, frozen=True, kw_only=True):
    """A line of the document, for one kind of answer."""

    what: str
    kind: str
    state: str
    status: int
    code: str | None
    charged: str


def lines() -> list[Line]:
    """Every line of the table, twice where it is about any answer."""
    found: list[Line] = []
    for what, answer, state, status, code, charged in table_rows(DOCUMENT, "What happened"):
        found += [
            Line(
                what=what,
                kind=kind,
                state=state.strip("`"),
                status=int(status),
                code=code.strip("`") or None,
                charged=charged,
            )
            for kind in (("JSON", "stream") if answer == "any" else (answer,))
        ]
    return found


class Seen(Struct, frozen=True, kw_only=True):
    """What the books say afterwards. `log` is what the gateway logged meanwhile."""

    rows: list[LedgerRow]
    bill: list[Billed]
    held: int
    counted: int
    log: str = ""
    answer: httpx.Response | None = None


class Stage:
    """Where an ending takes place: makes worlds, and looks at what is left of them."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path, kind: str) -> None:
        self._request = request
        self.folder = folder
        self.stream = kind == "stream"
        self.provider: Provider = request.getfixturevalue("provider")
        self._tenants: dict[str, Tenant] = request.getfixturevalue("tenants")
        self._budget = ""
        self._logged = 0

    def world(self, via: str | Gateway = "gateway", *, limit_usd: str = "1", **settings: Any) -> World:
        """A world with a budget, at a shared gateway or at one's own."""
        gateway: Gateway = self._request.getfixturevalue(via) if isinstance(via, str) else via
        tenant = self._tenants.get(gateway.base_url) or gateway.new_tenant()
        self._tenants[gateway.base_url] = tenant
        world = World(gateway, self.provider, tenant, settings)
        self._budget = world.budget(limit_usd)
        self._logged = gateway.server.log_end
        return world

    def ask(self, world: World, **fields: Any) -> httpx.Response:
        """One call, followed to its end."""
        body: dict[str, Any] = {"max_tokens": LIMIT, "stream": self.stream, **fields}
        answer = world.chat(**body)
        _ = answer.content
        return answer

    def seen(self, world: World, answer: httpx.Response | None = None, *, rows: int = 1) -> Seen:
        """The books, once the provider is at rest and so many rows are written."""
        bill = world.bill()
        until(lambda: len(world.rows()) >= rows and not world.holds(), "the attempt is not settled")
        return Seen(
            rows=world.rows(),
            bill=bill,
            held=sum(world.holds().values()),
            counted=world.gateway.ledger.counted(self._budget),
            log=world.gateway.server.logged(self._logged),
            answer=answer,
        )


Ending = Callable[[Stage], Seen]
ENDINGS: dict[str, Ending] = {}


def line(what: str) -> Callable[[Ending], Ending]:
    """Say which line of the document an ending is."""

    def note(ending: Ending) -> Ending:
        assert what not in ENDINGS
        ENDINGS[what] = ending
        return ending

    return note


def until(is_so: Callable[[], bool], complaint: str) -> None:
    """Wait until something outside is so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)


def until_asked(world: World) -> None:
    """Wait until the provider has the call."""
    until(lambda: bool(world.provider.calls(world.project_id)), "the provider was not asked")


@contextmanager
def hanging_up(world: World, **fields: Any) -> Generator[None]:
    """A caller who sends a call and hangs up when the block ends, whatever was answered by then."""
    body = json.dumps({"messages": messages(), "max_tokens": LIMIT, **fields}).encode()
    place = urlsplit(world.gateway.base_url)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: {world.bearer()['Authorization']}\r\n"
    with socket.create_connection((place.hostname, place.port), WAIT_SECONDS) as connection:
        connection.sendall(
            f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        yield


def with_fault(kind: str, *, via: str = "gateway", **fault: Any) -> Ending:
    """An ending that the provider alone brings about, in the middle of 8 tokens if it has a middle."""

    def ending(stage: Stage) -> Seen:
        world = stage.world(via)
        world.script({"fault": {"kind": kind, **fault}, "completion_tokens": 8, "token_delay_ms": 5})
        return stage.seen(world, stage.ask(world))

    return ending


def with_statuses(*statuses: int, **fault: Any) -> Ending:
    """An ending that the provider brings about by any of some statuses; each of them is tried, and the last shown."""

    def ending(stage: Stage) -> Seen:
        shown: list[Seen] = []
        for status in statuses:
            world = stage.world()
            world.script({"fault": {"kind": "status", "status": status, **fault}})
            shown.append(stage.seen(world, stage.ask(world)))
        facts = {(row.state, row.status, row.error_code, row.cost_nano) for seen in shown for row in seen.rows}
        assert len(facts) == 1, facts
        return shown[-1]

    return ending


# -- the provider answers


@line("the provider answered, and said what it used")
def answered(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"completion_tokens": 30, "prompt_tokens": 20, "cached_tokens": 10, "reasoning_tokens": 5})
    return stage.seen(world, stage.ask(world))


@line("it answered, and said that it used nothing")
def answered_zero(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"completion_tokens": 0, "prompt_tokens": 0})
    return stage.seen(world, stage.ask(world))


line("it answered, and did not say what it used")(with_fault("no_usage"))
line("it answered, and what it said of its usage is not credible")(
    with_fault("bad_usage", usage={"prompt_tokens": 9, "completion_tokens": -1})
)


@line("it used more than the hold, and said so")
def more_than_the_hold(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"fault": {"kind": "ignore_max_tokens", "tokens": 500}})
    return stage.seen(world, stage.ask(world, max_tokens=20))


@line("it went past the limit of output, so the gateway cut it")
def past_the_limit(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"fault": {"kind": "ignore_max_tokens", "tokens": 500}, "token_delay_ms": 2})
    answer = stage.ask(world, max_tokens=20)
    assert b'"finish_reason":"length"' in answer.content
    return stage.seen(world, answer)


# -- the provider refuses, or is not there


@line("it could not be reached")
def unreached(stage: Stage) -> Seen:
    world = stage.world("nowhere")
    return stage.seen(world, stage.ask(world))


line("it refused the request: 400, 404, 409, 413, 415 or 422")(with_statuses(400, 404, 409, 413, 415, 422))
line("it refused the gateway's own credential: 401, 402 or 403")(with_statuses(401, 402, 403))
line("it limits requests: 429")(with_statuses(429))
line("the operator's account there is out of credit: 429")(
    with_statuses(429, body={"error": {"message": "no credit", "code": "insufficient_quota"}})
)
line("it failed before any work: 500, 502 or 503")(with_statuses(500, 502, 503))
line("it gave up in time before any work: 408 or 504")(with_statuses(408, 504))
line("it sent the gateway elsewhere: 3xx")(with_fault("redirect", location="/v1/chat/completions"))
line("it answered another success than 200")(with_statuses(201, 202))

# -- the provider fails

line("it took the call and stayed silent")(with_fault("hang", via="hasty"))
line("it fell silent in the middle")(with_fault("hang", via="hasty", after_tokens=3))
line("it broke off in the middle")(with_fault("cut", after_tokens=3))
line("it broke off before its first word")(with_fault("cut"))
line("it broke off after it had said what it used")(with_fault("cut", after_usage=True))
line("it fell silent after it had said what it used")(with_fault("hang", via="hasty", after_usage=True))
line("it reported an error with status 200")(with_fault("error_event", after_tokens=3))
line("it spoke nonsense")(with_fault("garbage", after_tokens=3))


# -- the caller leaves


@line("the caller hung up in the middle")
def hung_up_in_the_middle(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})
    with world.stream(max_tokens=LIMIT) as response:
        pieces = response.iter_raw()
        while b'"content":"and' not in next(pieces):
            pass
    return stage.seen(world)


@line("the caller hung up before the first word")
def hung_up_before_the_first_word(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"first_token_delay_ms": NO_END_MS})
    with hanging_up(world, stream=True):
        until_asked(world)
    return stage.seen(world)


@line("the caller of a model that hides output hung up")
def hung_up_on_a_thinker(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"completion_tokens": 1000, "reasoning_tokens": 50, "token_delay_ms": 10})
    with hanging_up(world, stream=True, model="gpt-5-mini"):
        until_asked(world)
    return stage.seen(world)


@line("the caller hung up while the answer was made")
def hung_up_on_an_answer(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})
    with hanging_up(world):
        until_asked(world)
    return stage.seen(world)


@line("the caller hung up after the provider had said what it used")
def hung_up_at_the_end(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"completion_tokens": 8, "token_delay_ms": 5, "fault": {"kind": "hang", "after_usage": True}})
    with world.stream(max_tokens=LIMIT) as response:
        pieces = response.iter_raw()
        while b'"finish_reason":"stop"' not in next(pieces):
            pass
    return stage.seen(world)


# -- the gateway ends it


@line("a kill switch ended it in the middle")
def killed_in_the_middle(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})
    with world.stream(max_tokens=LIMIT) as response:
        pieces = response.iter_raw()
        next(pieces)
        world.gateway.manage("PUT", f"/v1/admin/kill-switches/project/{world.project_id}")
        assert b'"forbidden"' in b"".join(pieces)
    return stage.seen(world)


@line("a kill switch ended it while the answer was made")
def killed_before_the_answer(stage: Stage) -> Seen:
    world = stage.world()
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})
    with hanging_up(world):
        until_asked(world)
        world.gateway.manage("PUT", f"/v1/admin/kill-switches/project/{world.project_id}")
        return stage.seen(world)


def own_gateway(stage: Stage, **env: str) -> Gateway:
    """A gateway of one's own, which a test may end."""
    return start_gateway(stage.folder / "data", stage.provider.openai_base_url, env=env)


def started_again(stage: Stage, world: World) -> Seen:
    """The books, read through a gateway that is started again on the same directory."""
    world.gateway.client.close()
    again = start_gateway(stage.folder / "data", stage.provider.openai_base_url, admin_token=world.gateway.admin_token)
    world.gateway, world.client = again, again.client
    try:
        return stage.seen(world)
    finally:
        again.stop()


@line("the gateway was stopped in the middle")
def stopped_in_the_middle(stage: Stage) -> Seen:
    world = stage.world(own_gateway(stage, BEHEST_GATEWAY_SHUTDOWN_SECONDS="0"))
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})
    with hanging_up(world, stream=True):
        until_asked(world)
        assert world.gateway.server.stop() == 0
    return started_again(stage, world)


@line("the gateway died; written at its next start")
def died(stage: Stage) -> Seen:
    world = stage.world(own_gateway(stage))
    world.script({"completion_tokens": 1000, "token_delay_ms": 10})
    with hanging_up(world, stream=stage.stream):
        until_asked(world)
        world.gateway.server.kill()
    return started_again(stage, world)


class Time:
    """A clock that a test moves."""

    us = 1_795_000_000_000_000

    def now_us(self) -> int:
        return self.us


async def outlive(ledger: SqlLedger, clock: Time, entry: Entry, ask: Ask) -> None:
    """Take a hold and never settle it."""
    assert isinstance(await ledger.reserve(entry, ask, ()), Hold)
    clock.us += (ask.seconds + 59) * 1_000_000
    assert ledger.expire() == 0
    clock.us += 1_000_000
    assert ledger.expire() == 1
    ledger.close()


@line("a hold outlived the longest answer by a minute")
def outlived(stage: Stage) -> Seen:
    clock, longest, nano = Time(), 600, 40
    rates = Rates(input=1, output=1, cached_read=1, cache_write=1, audio_input=1, audio_output=1)
    price = PriceVector(provider="openai", model="m", bands=(Band(above=0, rates=rates),), version="v", hash="h")
    ask = Ask(
        fixed_femto=nano * 1_000_000, token_femto=0, input_tokens=nano, choices=1, max_tokens=1, min_tokens=1,
        seconds=longest, price=price,
    )  # fmt: skip
    texts: dict[str, Any] = dict.fromkeys(("provider", "model_asked", "model", "price_version", "price_hash"), "m")
    unknown: dict[str, Any] = dict.fromkeys(("api_key_id", "session_id", "thread_id", "tier"))
    entry = Entry(
        attempt_id=new_id(), request_id="r", attempt=1, operation="chat", started_at=clock.us, tenant_id="t",
        project_id="p", user_id="u", stream=stage.stream, **texts, **unknown,
    )  # fmt: skip
    database = Database(stage.folder)
    try:
        database.connection.execute("insert into tenants values ('t', 'T', 'free', 0)")
        database.connection.execute(
            "insert into projects values ('p', 't', 'P', 'p', 'active', 'READY', '{}', null, 0)"
        )
        asyncio.run(outlive(SqlLedger(database, clock), clock, entry, ask))
    finally:
        database.close()
    book = Ledger(stage.folder)
    return Seen(rows=book.rows("p"), bill=[], held=sum(book.holds("p").values()), counted=nano)


# -- it is refused before any attempt


@line("the gateway refused the request: its form, its model, its price")
def refused(stage: Stage) -> Seen:
    world = stage.world()
    return stage.seen(world, stage.ask(world, model="a-model-without-a-price"))


@line("a project's budget could not pay for it")
def beyond_the_projects_budget(stage: Stage) -> Seen:
    world = stage.world(limit_usd="0.000001")
    return stage.seen(world, stage.ask(world))


@line("a user's budget could not pay for it")
def beyond_the_users_budget(stage: Stage) -> Seen:
    world = stage.world()
    world.budget("0.000001", scope="each_user")
    return stage.seen(world, stage.ask(world))


@line("the caller's own `X-Behest-Max-Cost-Usd` could not pay for it")
def beyond_the_callers_cap(stage: Stage) -> Seen:
    world = stage.world()
    body = {"messages": messages(), "stream": stage.stream}
    headers = {**world.bearer(), "X-Behest-Max-Cost-Usd": "0.000001"}
    return stage.seen(world, world.client.post(CHAT, json=body, headers=headers))


@line("it was above a rate of requests")
def above_a_rate(stage: Stage) -> Seen:
    world = stage.world(user_rpm_limit=1)
    world.client.get("/v1/models", headers=world.bearer())
    first = stage.ask(world, model="a-model-without-a-price")
    assert first.status_code == 400
    before = stage.seen(world)
    after = stage.seen(world, stage.ask(world))
    assert after.rows == before.rows
    return Seen(rows=[], bill=after.bill, held=after.held, counted=after.counted, answer=after.answer)


@line("a kill switch stopped it before it was sent")
def stopped_before(stage: Stage) -> Seen:
    world = stage.world()
    world.gateway.manage("PUT", f"/v1/admin/kill-switches/project/{world.project_id}")
    return stage.seen(world, stage.ask(world), rows=0)


# -- the comparison


def test_every_line_of_the_table_can_be_made_to_happen_and_nothing_else_is_tried() -> None:
    assert list(ENDINGS) == list(dict.fromkeys(line.what for line in lines()))


def check_charge(charged: str, row: LedgerRow, bill: list[Billed], log: str) -> None:
    """Compare what a line says is charged with the ledger and with the provider's bill."""
    billed = sum(call.cost_nano for call in bill)
    within = row.cost_nano <= row.hold_nano
    broke_its_promise = any(call.max_tokens is not None and call.completion_tokens > call.max_tokens for call in bill)
    match charged:
        case "nothing":
            assert (row.cost_nano, billed) == (0, 0)
        case "the hold":
            assert row.cost_nano == row.hold_nano > 0
        case "what the provider said":
            assert row.cost_nano == billed
            assert within
        case "what the provider said, above the hold; an error is logged":
            assert broke_its_promise
            assert row.cost_nano == billed > row.hold_nano
            assert "more than its hold" in log
            return
        case "an estimate, at most the hold":
            assert billed <= row.cost_nano < row.hold_nano
        case _:
            pytest.fail(f"the table has a word of its own for what is charged: {charged}")
    assert "more than its hold" not in log
    assert row.cost_nano >= billed or broke_its_promise


@pytest.mark.parametrize("line", [pytest.param(line, id=f"{line.what}, {line.kind}") for line in lines()])
def test_the_ledger_says_what_the_table_says_and_is_never_below_the_providers_bill(
    line: Line, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seen = ENDINGS[line.what](Stage(request, tmp_path, line.kind))

    assert seen.held == 0
    if line.state == "no row":
        assert (seen.rows, seen.bill, seen.counted) == ([], [], 0)
        assert seen.answer is not None
        assert (seen.answer.status_code, seen.answer.json()["code"]) == (line.status, line.code)
        return
    [row] = seen.rows
    assert (row.state, row.status, row.error_code) == (line.state, line.status, line.code)
    assert seen.counted == row.cost_nano
    assert row.attempt == (0 if line.state == "refused" else 1)
    was_sent = row.attempt and line.what not in ("it could not be reached",) and row.error_code != "hold_expired"
    assert [call.attempt_id for call in seen.bill] == ([row.attempt_id] if was_sent else [])
    check_charge(line.charged, row, seen.bill, seen.log)
