"""The pipeline as a conversation: what is asked of the world, in which order, until the request is over.

The world here is a sender that plays a script and a ledger that keeps a diary; everything between is the real thing.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from behest_gateway.adapters.memory import MemoryDirectory
from behest_gateway.adapters.prices import PriceTable
from behest_gateway.adapters.rates import MemoryRates
from behest_gateway.core.bounds import FRAMING_TOKENS
from behest_gateway.core.budgets import Amounts, Budget, BudgetSet, BudgetState
from behest_gateway.core.clock import SystemClock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Call, Entry, Hold, Outcome, Provider
from behest_gateway.core.snapshot import ProjectSettings, ProjectSnapshot, VerificationKey
from behest_gateway.core.switches import Running, Switch
from behest_gateway.core.threads import Conversation, Remembered
from behest_gateway.pipeline import Exchange, Stages
from behest_gateway.stages.admit.ports import Ask, Exhausted
from behest_gateway.stages.admit.rules import amounts_of
from behest_gateway.stages.admit.stage import Admit
from behest_gateway.stages.authenticate.stage import Authenticate
from behest_gateway.stages.compose.stage import Recall
from behest_gateway.stages.door.ports import Rate
from behest_gateway.stages.door.stage import Door
from behest_gateway.stages.record.stage import Record
from behest_gateway.stages.route.stage import Route
from behest_gateway.stages.upstream.ports import SendError
from behest_gateway.stages.upstream.stage import Upstream
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import json

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
BUDGET = Budget(id="b", project_id="p", scope="project", window="day", limit=10**9)


def _token() -> str:
    import jwt

    now = int(time.time())
    claims = {"tid": "t", "pid": "p", "uid": "u", "iss": "behest", "aud": "behest", "iat": now, "exp": now + 600}
    return jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": "k"})


class World:
    """What happens, as lines, in order."""

    def __init__(self, *chunks: bytes | SendError, status: int = 200, stream: bool = True) -> None:
        self.diary: list[str] = []
        self.chunks = list(chunks)
        self.status = status
        self.headers: Mapping[str, str] = {"content-type": "text/event-stream" if stream else "application/json"}
        self.sent: dict[str, Any] = {}
        self.outcome: Outcome | None = None
        self.exhausted = False
        self.more = asyncio.Event()
        self.directory = MemoryDirectory()
        self.running = Running()
        self.directory.on_kill(self.running.stop)
        self.held_up: asyncio.Event | None = None
        self.rates = MemoryRates()
        self.settings = ProjectSettings(max_output_tokens=50)

    # the sender and its reply

    async def send(self, url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> World:
        self.diary.append(">> send")
        self.sent = json.decode(body)
        return self

    async def chunk(self) -> bytes:
        if not self.chunks:
            return b""
        chunk = self.chunks.pop(0)
        if isinstance(chunk, SendError):
            raise chunk
        if chunk == b"wait":
            self.diary.append("   waiting")
            await self.more.wait()
            return await self.chunk()
        self.diary.append("<< chunk")
        return chunk

    async def read(self, limit: int) -> bytes:
        return await self.chunk()

    def release(self) -> None:
        self.diary.append(">> release")

    def close(self) -> None:
        self.diary.append(">> close")

    # the conversations

    async def recall(self, conversation: Conversation, last: int | None) -> Remembered | None:
        self.diary.append(f"   recall {conversation.kind} {conversation.name}")
        if self.held_up is not None:
            await self.held_up.wait()
        return None

    # the ledger

    async def reserve(self, entry: Entry, ask: Ask, budgets: tuple[Budget, ...]) -> Hold | Exhausted:
        if self.exhausted:
            self.diary.append("   refused a hold")
            state = BudgetState(budget=BUDGET, spent=10**9, held=0, resets_at=0)
            return Exhausted(state=state, needed=Amounts(1, 1, 1))
        self.diary.append("   hold")
        if self.held_up is not None:
            await self.held_up.wait()
        return Hold(
            attempt_id=entry.attempt_id,
            amounts=amounts_of(ask, ask.max_tokens),
            input=amounts_of(ask, 0),
            max_tokens=ask.max_tokens,
            slots=(),
            expires_at=0,
        )

    def left(self, entry: Entry, hold: Hold) -> Amounts:
        raise AssertionError("nothing is held in a budget here")

    async def settle(self, entry: Entry, hold: Hold, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        self.diary.append(f"   settle {outcome.state}")
        assert self.outcome is None, "settled twice"
        self.outcome = outcome

    def refuse(self, entry: Entry, outcome: Outcome) -> None:
        self.diary.append(f"   note {outcome.error_code}")

    # the gateway over it

    def exchange(self, **body: Any) -> Exchange:
        directory = self.directory
        public = KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        directory.publish_verification_key(VerificationKey(kid="k", tenant_id="t", public_pem=public.decode()))
        directory.publish_project(
            ProjectSnapshot(
                id="p", tenant_id="t", name="P", slug="p", budgets=BudgetSet((BUDGET,)), settings=self.settings
            )
        )
        clock = SystemClock()
        provider = Provider(name="openai", base_url="http://provider/v1", api_key="sk", official=False)
        stages = Stages(
            door=Door(directory, self.rates, "localhost"),
            authenticate=Authenticate(directory, clock, frozenset({"behest"})),
            recall=Recall(self),
            route=Route(directory, PriceTable(clock, {}), provider),
            admit=Admit(self, 60),
            upstream=Upstream(self),
            record=Record(self),
            running=self.running,
        )
        asked = {"messages": [{"role": "user", "content": "hi"}], **body}
        call = Call(
            operation="chat",
            request_id="r",
            started_at=clock.now_us(),
            clock=time.perf_counter(),
            host="localhost",
            token=_token(),
            body=json.encode(asked),
        )
        return Exchange(stages, call)


def _event(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]
    return b"data: " + json.encode({"id": "c", "choices": choices, **more}) + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


async def _told(world: World, exchange: Exchange) -> list[bytes]:
    """Follow a stream to its end; each piece that the caller gets is a line of the diary."""
    told: list[bytes] = []
    async with exchange:
        answer = await exchange.answer()
        assert answer.stream is not None
        while (frames := await answer.stream.next()) is not None:
            world.diary.append("=> frames")
            told.append(frames)
    return told


async def test_money_is_held_before_anything_is_sent_and_settled_before_the_last_frame() -> None:
    world = World(_event("he"), _event("llo", "stop"), USAGE + DONE)

    told = await _told(world, world.exchange(stream=True))

    assert world.diary == [
        "   hold",
        ">> send",
        "<< chunk",
        "=> frames",
        "<< chunk",
        "=> frames",
        "<< chunk",
        ">> release",
        "   settle settled",
        "=> frames",
    ]
    assert b"".join(told) == _event("he") + _event("llo", "stop") + DONE
    assert world.sent["max_tokens"] == 50
    assert world.sent["stream_options"] == {"include_usage": True}
    assert world.outcome is not None
    assert (world.outcome.charged.nano, world.outcome.finish_reason) == (5 * 150 + 2 * 600, "stop")


async def test_a_caller_who_asked_for_usage_gets_it_with_its_cost() -> None:
    world = World(_event("hi", "stop"), USAGE + DONE)

    told = await _told(world, world.exchange(stream=True, stream_options={"include_usage": True}))

    usage = json.decode(told[-1].removesuffix(DONE).removeprefix(b"data: "))["usage"]
    assert usage == {"prompt_tokens": 5, "completion_tokens": 2, "cost_usd": 0.00000195}


async def test_a_caller_who_leaves_in_mid_stream_stops_the_provider_and_is_settled() -> None:
    world = World(_event("he"), b"wait")
    following = asyncio.create_task(_told(world, world.exchange(stream=True)))
    async with asyncio.timeout(5):
        while "   waiting" not in world.diary:
            await asyncio.sleep(0)

    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following

    assert world.diary[-2:] == [">> close", "   settle estimated"]
    assert world.outcome is not None
    assert world.outcome.status == 499


async def test_an_answer_whose_stream_nobody_follows_is_settled_all_the_same() -> None:
    world = World(_event("he"), b"wait")

    async with world.exchange(stream=True) as exchange:
        await exchange.answer()

    assert world.diary[-2:] == [">> close", "   settle estimated"]


async def test_a_provider_that_goes_past_its_limit_is_cut_and_the_caller_told_why() -> None:
    world = World(*[_event("x") for _ in range(60)])

    told = b"".join(await _told(world, world.exchange(stream=True, max_tokens=3)))

    assert told.count(b'"content":"x"') == 3
    assert told.endswith(b'"finish_reason":"length"}]}\n\n' + DONE)
    assert world.diary[-3:] == [">> close", "   settle unconfirmed", "=> frames"]


async def test_a_stream_that_breaks_off_ends_in_an_error_frame() -> None:
    world = World(_event("he"), SendError("broken", "reset"))

    told = await _told(world, world.exchange(stream=True))

    error = json.decode(told[-1].removesuffix(DONE).removeprefix(b"data: "))
    assert (error["error"]["code"], error["choices"]) == ("upstream_error", [])
    assert world.diary[-3:] == [">> close", "   settle unconfirmed", "=> frames"]


async def test_a_stream_that_fails_before_its_first_event_is_answered_as_an_error() -> None:
    world = World(SendError("timed_out", "silence"))

    with pytest.raises(GatewayError) as caught:
        await _told(world, world.exchange(stream=True))

    assert caught.value.code == "upstream_timeout"
    assert world.diary == ["   hold", ">> send", ">> close", "   settle unconfirmed"]


async def test_a_whole_answer_is_settled_before_it_is_given_out() -> None:
    completion = {"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    world = World(json.encode(completion), stream=False)

    async with world.exchange() as exchange:
        answer = await exchange.answer()
        world.diary.append("=> answer")

    assert world.diary == ["   hold", ">> send", "<< chunk", ">> close", "   settle settled", "=> answer"]
    assert (answer.cost_nano, json.decode(answer.body)) == (5 * 150 + 2 * 600, completion)


async def test_a_refused_hold_sends_nothing_and_is_noted() -> None:
    world = World()
    world.exhausted = True

    with pytest.raises(GatewayError) as caught:
        async with world.exchange() as exchange:
            await exchange.answer()

    assert caught.value.code == "budget_exceeded"
    assert world.diary == ["   refused a hold", "   note budget_exceeded"]


async def test_a_field_that_was_named_twice_reaches_the_provider_once() -> None:
    completion = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    world = World(json.encode(completion), stream=False)
    exchange = world.exchange()
    body = b'{"max_tokens": 1, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "n": 1, "n": 2}'
    exchange.call = msgspec.structs.replace(exchange.call, body=body)

    async with exchange:
        await exchange.answer()

    assert (world.sent["max_tokens"], world.sent["n"]) == (9, 2)


@pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {"url": "http://x"}}, {"type": "file"}, 7])
async def test_a_part_whose_cost_cannot_be_bounded_is_refused_under_a_budget(part: Any) -> None:
    world = World()
    messages = [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]

    with pytest.raises(GatewayError) as caught:
        async with world.exchange(messages=messages) as exchange:
            await exchange.answer()

    assert (caught.value.code, caught.value.param) == ("validation_error", "messages[0].content[1]")
    assert ">> send" not in world.diary


# -- kill switches

SWITCHES = [
    Switch(scope="global"),
    Switch(scope="tenant", target="t"),
    Switch(scope="project", target="p"),
    Switch(scope="user", target="p/u"),
    Switch(scope="model", target="gpt-4o-mini"),
]
OTHERS = [
    Switch(scope="tenant", target="p"),
    Switch(scope="project", target="t"),
    Switch(scope="user", target="p/v"),
    Switch(scope="user", target="q/u"),
    Switch(scope="model", target="gpt-4o"),
]


async def _until(world: World, line: str) -> None:
    async with asyncio.timeout(5):
        while line not in world.diary:
            await asyncio.sleep(0)


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda s: s.scope)
async def test_a_kill_switch_refuses_a_new_call_which_is_not_even_noted(switch: Switch) -> None:
    world = World()
    exchange = world.exchange(stream=True)
    world.directory.publish_switch(switch)

    with pytest.raises(GatewayError) as caught:
        async with exchange:
            await exchange.answer()

    target = {"target": switch.target} if switch.target else {}
    assert (caught.value.code, caught.value.retryable) == ("forbidden", False)
    assert caught.value.details == {"reason": "killed", "scope": switch.scope, **target}
    assert (world.diary, len(world.running)) == ([], 0)


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda s: s.scope)
async def test_a_kill_switch_thrown_in_mid_stream_stops_the_provider_and_tells_the_caller(switch: Switch) -> None:
    world = World(_event("he"), b"wait")
    following = asyncio.create_task(_told(world, world.exchange(stream=True)))
    await _until(world, "   waiting")

    world.directory.publish_switch(switch)
    told = await following

    assert world.diary[-5:] == ["=> frames", "   waiting", ">> close", "   settle estimated", "=> frames"]
    assert told[-1].endswith(DONE)
    error = json.decode(told[-1].removesuffix(DONE).removeprefix(b"data: "))
    assert (error["error"]["code"], error["error"]["type"], error["choices"]) == ("forbidden", "permission_error", [])
    assert world.outcome is not None
    assert (world.outcome.status, world.outcome.error_code) == (403, "forbidden")
    assert (following.cancelling(), len(world.running)) == (0, 0)


@pytest.mark.parametrize("switch", OTHERS, ids=lambda s: f"{s.scope} {s.target}")
async def test_a_kill_switch_leaves_everybody_else_alone(switch: Switch) -> None:
    world = World(_event("he"), b"wait", _event("llo", "stop"), USAGE + DONE)
    following = asyncio.create_task(_told(world, world.exchange(stream=True)))
    await _until(world, "   waiting")

    world.directory.publish_switch(switch)
    world.more.set()
    told = await following

    assert b"".join(told) == _event("he") + _event("llo", "stop") + DONE
    assert world.outcome is not None
    assert world.outcome.state == "settled"


async def test_a_kill_switch_ends_a_call_whose_answer_is_whole_with_403() -> None:
    world = World(b"wait", stream=False)
    exchange = world.exchange()

    async def ask() -> None:
        async with exchange:
            await exchange.answer()

    asking = asyncio.create_task(ask())
    await _until(world, "   waiting")
    world.directory.publish_switch(SWITCHES[0])
    with pytest.raises(GatewayError) as caught:
        await asking

    assert caught.value.status == 403
    assert world.diary == ["   hold", ">> send", "   waiting", ">> close", "   settle unconfirmed"]
    assert world.outcome is not None
    assert (world.outcome.status, world.outcome.error_code) == (403, "forbidden")


async def test_a_kill_switch_before_the_first_frame_is_answered_as_an_error() -> None:
    world = World(b"wait")
    following = asyncio.create_task(_told(world, world.exchange(stream=True)))
    await _until(world, "   waiting")

    world.directory.publish_switch(SWITCHES[2])
    with pytest.raises(GatewayError) as caught:
        await following

    assert caught.value.status == 403
    assert world.diary == ["   hold", ">> send", "   waiting", ">> close", "   settle estimated"]


async def test_a_kill_switch_while_money_is_being_held_sends_nothing() -> None:
    world = World()
    world.held_up = asyncio.Event()
    following = asyncio.create_task(_told(world, world.exchange(stream=True)))
    await _until(world, "   hold")

    world.directory.publish_switch(SWITCHES[3])
    with pytest.raises(GatewayError) as caught:
        await following

    assert caught.value.status == 403
    assert world.diary == ["   hold"]


def _in_a_thread(exchange: Exchange) -> Exchange:
    exchange.call = msgspec.structs.replace(exchange.call, thread_id="t")
    return exchange


async def test_a_thread_is_read_before_money_is_held_and_its_turn_settled_with_it() -> None:
    world = World(_event("he"), _event("llo", "stop"), USAGE + DONE)

    await _told(world, _in_a_thread(world.exchange(stream=True)))

    assert world.diary[:3] == ["   recall thread t", "   hold", ">> send"]
    assert world.outcome is not None
    assert world.outcome.turn is not None
    assert world.outcome.turn.messages == (
        (b'{"role":"user","content":"hi"}', None),
        (b'{"role":"assistant","content":"hello"}', "stop"),
    )


async def test_a_turn_has_what_went_to_the_caller_and_not_what_was_cut() -> None:
    chunks = [_event("word") for _ in range(60)]
    world = World(b"".join(chunks), USAGE + DONE)

    told = await _told(world, _in_a_thread(world.exchange(stream=True)))

    assert world.outcome is not None
    assert world.outcome.turn is not None
    message, reason = world.outcome.turn.messages[-1]
    assert reason == "length"
    assert json.decode(message)["content"] == "word" * b"".join(told).count(b'"word"')


async def test_a_kill_switch_while_a_thread_is_read_holds_nothing() -> None:
    world = World()
    world.held_up = asyncio.Event()
    following = asyncio.create_task(_told(world, _in_a_thread(world.exchange(stream=True))))
    await _until(world, "   recall thread t")

    world.directory.publish_switch(SWITCHES[0])
    world.held_up.set()
    with pytest.raises(GatewayError) as caught:
        await following

    assert caught.value.status == 403
    assert world.diary == ["   recall thread t"]


async def test_a_caller_who_leaves_while_a_thread_is_read_leaves_nothing_open() -> None:
    world = World()
    world.held_up = asyncio.Event()
    following = asyncio.create_task(_told(world, _in_a_thread(world.exchange(stream=True))))
    await _until(world, "   recall thread t")

    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following

    assert world.diary == ["   recall thread t"]


async def test_an_answer_that_is_being_settled_is_given_out_whole() -> None:
    completion = {"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    world = World(json.encode(completion), stream=False)
    settle = world.settle

    async def kill_and_settle(entry: Entry, hold: Hold, outcome: Outcome) -> None:
        world.directory.publish_switch(SWITCHES[0])
        await settle(entry, hold, outcome)

    world.settle = kill_and_settle  # type: ignore[method-assign]
    async with world.exchange() as exchange:
        answer = await exchange.answer()

    assert json.decode(answer.body) == completion
    assert world.outcome is not None
    assert world.outcome.state == "settled"


async def test_a_caller_who_leaves_as_the_switch_is_thrown_is_settled_once() -> None:
    world = World(_event("he"), b"wait")
    following = asyncio.create_task(_told(world, world.exchange(stream=True)))
    await _until(world, "   waiting")

    world.directory.publish_switch(SWITCHES[0])
    world.directory.publish_switch(SWITCHES[1])
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following

    assert world.diary.count("   settle estimated") == 1
    assert len(world.running) == 0


async def test_a_switch_that_is_off_again_stops_nothing() -> None:
    world = World(_event("hi", "stop"), USAGE + DONE)
    world.directory.publish_switch(SWITCHES[0])
    world.directory.withdraw_switch(SWITCHES[0])

    assert b"".join(await _told(world, world.exchange(stream=True))) == _event("hi", "stop") + DONE


# -- rates

TPM = 10_000
TOKENS = Rate("project", "tokens", ("project tokens", "p"), TPM)
CALLS = Rate("project", "concurrency", ("project calls", "p"), 5)
REQUESTS = Rate("user", "requests", ("user", "p", "u"), 6)
ANSWER = json.encode({"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
NO_USAGE = json.encode({"choices": [{"finish_reason": "stop"}]})
ALL = -1


def _limited(*chunks: bytes | SendError, status: int = 200, stream: bool = True, **limits: int) -> World:
    """A world with rates, in which no time passes for them."""
    world = World(*chunks, status=status, stream=stream)
    world.rates = MemoryRates(lambda: 0.0)
    rates: dict[str, Any] = {"tpm_limit": TPM, "max_concurrent": 5, "user_rpm_limit": 6, **limits}
    world.settings = dataclasses.replace(world.settings, **rates)
    return world


def _left(world: World) -> tuple[int, int, int]:
    """Tokens, places and requests that are left."""
    tokens, places, requests = (world.rates.standing(rate).remaining for rate in (TOKENS, CALLS, REQUESTS))
    return tokens, places, requests


def _most(world: World) -> int:
    """The tokens that an attempt may use: the bytes of what was sent, without its limit of output, and that limit."""
    payload = json.encode({name: value for name, value in world.sent.items() if name != "max_tokens"})
    return len(payload) + FRAMING_TOKENS + 50


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("chunks", "status", "until", "then", "kept"),
    [
        ((_event("hi", "stop"), USAGE + DONE), 200, None, None, 7),
        ((_event("hi", "stop"), DONE), 200, None, None, ALL),
        ((_event("hi"), SendError("broken", "reset")), 200, None, None, ALL),
        ((SendError("timed_out", "silence"),), 200, None, None, ALL),
        ((b"{}",), 400, None, None, 0),
        ((_event("hi"), b"wait"), 200, "   waiting", "leave", ALL),
        ((_event("hi"), b"wait"), 200, "   waiting", "kill", ALL),
        ((b"wait",), 200, "   hold", "leave", 0),
        ((b"wait",), 200, "   hold", "kill", 0),
        ((b"wait",), 200, "   refused a hold", None, 0),
    ],
)
async def test_every_ending_gives_its_place_back_and_the_tokens_that_it_surely_did_not_use(
    chunks: tuple[bytes | SendError, ...], status: int, until: str | None, then: str | None, kept: int, stream: bool
) -> None:
    if not stream and status == 200:
        chunks = tuple(
            {7: ANSWER, ALL: NO_USAGE}[kept] if isinstance(chunk, bytes) and chunk != b"wait" else chunk
            for chunk in chunks[-1:]
        )
    world = _limited(*chunks, status=status, stream=stream)
    world.held_up = asyncio.Event() if until == "   hold" else None
    world.exhausted = until == "   refused a hold"
    exchange = world.exchange(stream=stream)

    async def ask() -> None:
        with contextlib.suppress(GatewayError):
            if stream:
                await _told(world, exchange)
            else:
                async with exchange:
                    await exchange.answer()

    asking = asyncio.create_task(ask())
    if until is not None:
        await _until(world, until)
    if then is not None:
        assert _left(world)[1:] == (4, 5)
        assert _left(world)[0] < TPM - 50
        if then == "kill":
            world.directory.publish_switch(SWITCHES[0])
        else:
            asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking

    assert _left(world) == (TPM - (_most(world) if kept == ALL else kept), 5, 5)


async def test_a_stream_that_is_left_keeps_the_tokens_that_it_is_charged_for() -> None:
    world = _limited(_event("hi"), b"wait")
    following = asyncio.create_task(_told(world, world.exchange(stream=True, max_tokens=5000)))
    await _until(world, "   waiting")

    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following

    bytes_that_came, may_be_in_flight = 2, 64
    assert _left(world)[0] == TPM - (_most(world) - 50 + bytes_that_came + may_be_in_flight)


async def test_a_call_that_is_larger_than_a_whole_minute_takes_nothing_and_holds_no_money() -> None:
    world = _limited(ANSWER, ANSWER, stream=False, tpm_limit=200)
    async with world.exchange() as exchange:
        await exchange.answer()
    before = _left(world)

    with pytest.raises(GatewayError) as caught:
        async with world.exchange(max_tokens=130) as exchange:
            await exchange.answer()

    assert (caught.value.code, caught.value.retryable, caught.value.retry_after) == ("rate_limited", False, None)
    assert (caught.value.details or {})["scope"] == "project"
    assert _left(world) == (before[0], 5, 5)
    assert world.diary.count("   hold") == 1


async def test_a_call_without_rates_of_tokens_or_places_keeps_no_count_of_them() -> None:
    world = World(ANSWER, stream=False)

    async with world.exchange() as exchange:
        await exchange.answer()
        assert [standing.rate.measure for standing in exchange.visit.standings()] == ["requests", "requests"]
        assert len(world.rates) == 2
