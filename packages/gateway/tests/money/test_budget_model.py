"""Budgets against a model of a few lines: whatever is admitted, settled, repeated, expired, killed, topped up or moved
through time, in whatever order, the ledger on a real file and a list of attempts agree.

The model keeps no counters. It adds up the attempts again for every question, by calendar arithmetic of its own, and
finds the limit of output by trying one after the other.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

import pytest
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.adapters.sql.verify import verify
from behest_gateway.core.budgets import Amounts, Budget, BudgetSet
from behest_gateway.core.exchange import Entry, Hold, Outcome
from behest_gateway.core.ids import new_id
from behest_gateway.core.prices import Band, PriceVector, Rates, vector_hash
from behest_gateway.stages.admit.ports import Ask, Exhausted
from behest_protocol.usage import Usage
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

START = 1_798_758_000_000_000
"""2026-12-31 23:00 UTC: a day, a month and a year end within the hour."""

MINUTE = 60_000_000
STEPS = 10_000
RATES = Rates(input=700, output=3_000_000, cached_read=0, cache_write=0, audio_input=0, audio_output=0)
BANDS = (Band(above=0, rates=RATES),)
PRICE = PriceVector(provider="p", model="m", bands=BANDS, version="v", hash=vector_hash("p", "m", BANDS))

USERS, SESSIONS, THREADS, KEYS, MODELS = (
    ("ada", "bob"),
    (None, "s1", "s2"),
    (None, "t1"),
    (None, "k1", "k2"),
    ("m", "n"),
)
T = TypeVar("T")


@dataclass(kw_only=True)
class Attempt:
    """What the model remembers of a call."""

    entry: Entry
    hold: Hold
    budgets: tuple[str, ...]
    held: dict[str, int] | None
    charged: dict[str, int]


@lru_cache(maxsize=100_000)
def _day(us: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(us / 1e6, UTC).astimezone(ZoneInfo(zone)):%Y-%m-%d}"


def _in_window(budget: Budget, then: int, now: int) -> bool:
    match budget.window:
        case "day":
            return _day(then, budget.timezone) == _day(now, budget.timezone)
        case "month":
            return _day(then, budget.timezone)[:7] == _day(now, budget.timezone)[:7]
        case "rolling":
            return then // (budget.hours * MINUTE) >= now // (budget.hours * MINUTE) - 60
        case _:
            return True


def _subject(budget: Budget, entry: Entry) -> Any:
    match budget.scope:
        case "each_user":
            return entry.user_id
        case "each_session":
            return entry.user_id, entry.session_id
        case "each_thread":
            return entry.user_id, entry.thread_id
        case "each_key":
            return entry.api_key_id
        case _:
            return None


def _concerns(budget: Budget, entry: Entry) -> bool:
    named = {"user": entry.user_id, "key": entry.api_key_id, "model": entry.model}
    return budget.scope not in named or named[budget.scope] == budget.subject


class BudgetMachine(RuleBasedStateMachine):
    """The ledger and the model, side by side."""

    steps: ClassVar[int] = 0
    seen: ClassVar[set[str]] = set()

    @initialize(
        usd=st.integers(1_000, 20_000),
        tokens=st.integers(150, 3_000),
        requests=st.integers(6, 60),
        shadow=st.booleans(),
    )
    def open(self, usd: int, tokens: int, requests: int, shadow: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.us = START
        self.database = Database(Path(self.folder.name))
        connection = self.database.connection
        connection.execute("insert into tenants values ('t', 'T', 'free', 0)")
        connection.execute("insert into projects values ('p', 't', 'P', 'p', 'active', 'READY', '{}', null, 0)")
        self.ledger = SqlLedger(self.database, self)
        self.attempts: list[Attempt] = []
        self.budgets: dict[str, Budget] = {}
        base: dict[str, Any] = {"tenant_id": "t", "project_id": "p", "created_at": START - 1}
        for budget in (
            Budget(id="tenant", **{**base, "project_id": None}, scope="tenant", window="month", limit=3 * usd),
            Budget(id="project", **base, scope="project", window="lifetime", limit=2 * usd),
            Budget(id="each user", **base, scope="each_user", window="rolling", hours=2, limit=usd),
            Budget(id="session", **base, scope="each_session", window="lifetime", unit="tokens", limit=tokens),
            Budget(id="thread", **base, scope="each_thread", window="day", unit="requests", limit=requests),
            Budget(
                id="shadow",
                **base,
                scope="each_key",
                window="day",
                unit="tokens",
                limit=tokens // 2,
                mode="shadow" if shadow else "enforce",
            ),
        ):
            self._make(budget, None)

    def now_us(self) -> int:
        """The ledger's clock."""
        return self.us

    def _run(self, step: Coroutine[Any, Any, T]) -> T:
        """Take a step to its end, and let what it asked to be written be written."""

        async def whole() -> T:
            done = await step
            await asyncio.sleep(0)
            return done

        return self.runner.run(whole())

    def _make(self, budget: Budget, user_ref: int | None) -> None:
        columns = (
            budget.id, budget.tenant_id, budget.project_id, budget.scope, user_ref,
            None if budget.scope == "user" else budget.subject, budget.unit, budget.window, budget.hours,
            budget.timezone, budget.limit, budget.mode, "", budget.created_at, None,
        )  # fmt: skip
        self.database.connection.execute(f"insert into budgets values ({','.join('?' * len(columns))})", columns)
        self.ledger.opened(budget)
        self.budgets[budget.id] = budget

    # -- the model

    def _sums(self, budget: Budget, subject: Any, now: int) -> tuple[int, int]:
        spent = held = 0
        for attempt in self.attempts:
            if budget.id not in attempt.budgets or _subject(budget, attempt.entry) != subject:
                continue
            inside = _in_window(budget, attempt.entry.started_at, now)
            if attempt.held is None:
                spent += attempt.charged[budget.unit] if inside else 0
            elif inside or budget.window == "rolling":
                held += attempt.held[budget.unit]
        return spent, held

    def _left(self, budget: Budget, entry: Entry) -> int:
        spent, held = self._sums(budget, _subject(budget, entry), entry.started_at)
        return budget.limit - spent - held

    @staticmethod
    def _most(ask: Ask, tokens: int) -> dict[str, int]:
        femto = Fraction(ask.fixed_femto + tokens * ask.token_femto, 1_000_000)
        return {"usd": ceil(femto), "tokens": ask.input_tokens + tokens * ask.choices, "requests": 1}

    # -- what may happen

    @rule(
        user=st.sampled_from(USERS),
        session=st.sampled_from(SESSIONS),
        thread=st.sampled_from(THREADS),
        key=st.sampled_from(KEYS),
        model=st.sampled_from(MODELS),
        input_tokens=st.integers(1, 40),
        max_tokens=st.integers(1, 30),
        min_tokens=st.integers(1, 30),
        choices=st.integers(1, 3),
        free=st.integers(0, 5).map(lambda n: n == 0),
        cap=st.one_of(st.none(), st.none(), st.integers(0, 90_000)),
    )
    def admit(
        self,
        user: str,
        session: str | None,
        thread: str | None,
        key: str | None,
        model: str,
        input_tokens: int,
        max_tokens: int,
        min_tokens: int,
        choices: int,
        free: bool,
        cap: int | None,
    ) -> None:
        entry = Entry(
            attempt_id=new_id(), request_id=new_id(), attempt=1, operation="chat", started_at=self.us, tenant_id="t",
            project_id="p", user_id=user, api_key_id=key, session_id=session, thread_id=thread, tier=None, provider="p",
            model_asked="", model=model, stream=False, price_version="v", price_hash=PRICE.hash,
        )  # fmt: skip
        ask = Ask(
            fixed_femto=0 if free else input_tokens * RATES.input,
            token_femto=0 if free else RATES.output * choices,
            input_tokens=input_tokens,
            choices=choices,
            max_tokens=max_tokens,
            min_tokens=min(min_tokens, max_tokens),
            most_nano=cap,
            seconds=600,
            price=PRICE,
        )
        mine = [budget for budget in self.budgets.values() if _concerns(budget, entry)]
        assert {b.id for b in mine} == {b.id for b in BudgetSet(tuple(self.budgets.values())).of(entry, model)}
        left = {budget.id: self._left(budget, entry) for budget in mine}

        def fits(tokens: int) -> bool:
            most = self._most(ask, tokens)
            within = all(most[b.unit] <= max(0, left[b.id]) for b in mine if b.mode == "enforce")
            return within and (cap is None or most["usd"] <= cap)

        wanted = next((n for n in range(ask.max_tokens, ask.min_tokens - 1, -1) if fits(n)), None)
        got = self._run(self.ledger.reserve(entry, ask, tuple(mine)))

        if wanted is None:
            assert isinstance(got, Exhausted)
            least = self._most(ask, ask.min_tokens)
            assert got.needed == tuple(least.values())
            if got.state is None:
                assert cap is not None
                assert least["usd"] > cap
            else:
                assert least[got.state.budget.unit] > max(0, left[got.state.budget.id])
            self.seen.add("refused")
            return
        assert isinstance(got, Hold)
        assert got.max_tokens == wanted
        most = self._most(ask, wanted)
        assert got.amounts == tuple(most.values())
        least = self._most(ask, ask.min_tokens)
        shadows = {b.id for b in mine if b.mode == "shadow" and least[b.unit] > max(0, left[b.id])}
        assert set(got.would_refuse) == shadows
        self.seen.add("clamped" if wanted < ask.max_tokens else "granted")
        self.seen.update({"shadow"} if shadows else ())
        ids = tuple(budget.id for budget in mine)
        self.attempts.append(Attempt(entry=entry, hold=got, budgets=ids, held=most, charged={}))

    @rule(
        which=st.integers(0, 50), share=st.fractions(0, 1), state=st.sampled_from(["settled", "released", "estimated"])
    )
    def settle(self, which: int, share: Fraction, state: str) -> None:
        running = [attempt for attempt in self.attempts if attempt.held is not None]
        if running:
            attempt = running[which % len(running)]
            held = attempt.held or {}
            nano, tokens = (int(held[unit] * share) for unit in ("usd", "tokens"))
            charged = Amounts(0, 0, 0) if state == "released" else Amounts(nano, tokens, 1)
            self._settle(attempt, state, charged)
            attempt.held, attempt.charged = None, dict(zip(("usd", "tokens", "requests"), charged, strict=True))
            self.seen.add(state)

    def _settle(self, attempt: Attempt, state: str, charged: Amounts) -> None:
        outcome = Outcome(
            state=state, charged=charged, usage=Usage(), status=200, error_code=None, finish_reason=None, latency_us=1,
            first_byte_us=None,
        )  # fmt: skip
        self._run(self.ledger.settle(attempt.entry, attempt.hold, outcome))

    @rule(what=st.sampled_from(["settle again", "expire", "kill", "top up"]), which=st.integers(0, 50))
    def what_is_rare(self, what: str, which: int) -> None:
        """One rule for several, so that calls are made in most steps."""
        match what:
            case "settle again":
                self.settle_again(which)
            case "expire":
                self.expire()
            case "kill":
                self.kill()
            case _:
                self.top_up("project" if which % 2 else "session", 600 * (which + 1))

    def settle_again(self, which: int) -> None:
        ended = [attempt for attempt in self.attempts if attempt.held is None]
        if ended:
            self._settle(ended[which % len(ended)], "settled", Amounts(10**9, 10**6, 1))
            self.seen.add("duplicate")

    @rule(
        minutes=st.one_of(
            st.integers(0, 3),
            st.integers(1, 200),
            st.integers(1_000, 60_000),
            st.sampled_from([119, 120, 121, 180, 181]),
        )
    )
    def time_passes(self, minutes: int) -> None:
        self.us += minutes * MINUTE + 17

    def expire(self) -> None:
        late = [a for a in self.attempts if a.held is not None and a.hold.expires_at <= self.us]
        assert self._run(self._expire()) == len(late)
        for attempt in late:
            attempt.charged, attempt.held = attempt.held or {}, None
            self.seen.add("expired")

    async def _make_soon(self, budget: Budget) -> None:
        self._make(budget, self.ledger.ref("p", "ada") if budget.scope == "user" else None)

    async def _expire(self) -> int:
        return self.ledger.expire()

    def kill(self) -> None:
        """The process dies with whatever is under way; the next one finds the holds in the file."""
        running = [attempt for attempt in self.attempts if attempt.held is not None]
        self.ledger = SqlLedger(self.database, self)
        assert self.ledger.recovered == len(running)
        for attempt in running:
            attempt.charged, attempt.held = attempt.held or {}, None
            self.seen.add("killed")

    def top_up(self, which: str, amount: int) -> None:
        budget = self.budgets[which]
        more = amount if budget.unit == "usd" else amount // 300
        self.budgets[which] = replace(budget, limit=budget.limit + more)
        self.seen.add("topped up")

    @rule(
        number=st.integers(0, 3),
        kind=st.sampled_from(["user", "model", "key", "each_user", "each_session"]),
        unit=st.sampled_from(["usd", "tokens", "requests"]),
        window=st.sampled_from(["day", "month", "rolling", "lifetime"]),
        zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/St_Johns"]),
    )
    def make_a_budget(self, number: int, kind: Any, unit: Any, window: Any, zone: str) -> None:
        """A budget takes over what was settled in its window, and leaves room above it."""
        name = f"made {number}"
        if name in self.budgets:
            return
        budget = Budget(
            id=name,
            tenant_id="t",
            project_id="p",
            scope=kind,
            subject={"user": "ada", "model": "m", "key": "k1"}.get(kind),
            unit=unit,
            window=window,
            hours=3 if window == "rolling" else 0,
            timezone=zone if window != "rolling" else "UTC",
            limit=0,
            created_at=self.us,
        )
        for attempt in self.attempts:
            inside = window != "lifetime" and _in_window(budget, attempt.entry.started_at, self.us)
            if attempt.held is None and inside and _concerns(budget, attempt.entry):
                attempt.budgets += (name,)
        subjects = {_subject(budget, attempt.entry) for attempt in self.attempts}
        most = max((self._sums(budget, subject, self.us)[0] for subject in subjects), default=0)
        budget = replace(budget, limit=most + {"usd": 40_000, "tokens": 60, "requests": 2}[unit])
        self.us += 1
        self._run(self._make_soon(budget))
        self.seen.add(f"made {window}")

    # -- what must hold

    @invariant()
    def they_agree_and_nothing_is_exceeded(self) -> None:
        type(self).steps += 1
        for budget in self.budgets.values():
            single = budget.scope not in ("each_user", "each_session", "each_thread")
            for user in (None,) if single else USERS:
                for session in SESSIONS if budget.scope == "each_session" else (None,):
                    for thread in THREADS if budget.scope == "each_thread" else (None,):
                        if budget.scope == "each_key":
                            continue
                        subject = {
                            "each_user": user, "each_session": (user, session), "each_thread": (user, thread),
                        }.get(budget.scope)  # fmt: skip
                        state = self.ledger.state(budget, user, session, thread)
                        assert (state.spent, state.held) == self._sums(budget, subject, self.us), budget
                        if budget.mode == "enforce":
                            assert state.spent + state.held <= budget.limit, budget

    def teardown(self) -> None:
        """The books of the whole run are right."""
        if not hasattr(self, "database"):
            return
        try:
            self.kill()
            differences = [each for each in verify(Path(self.folder.name)).differences if each.what == "counter"]
            assert differences == []
        finally:
            self.database.close()
            self.runner.close()
            self.folder.cleanup()


@pytest.mark.timeout(600)
def test_the_ledger_agrees_with_the_model_over_ten_thousand_steps() -> None:
    BudgetMachine.steps = 0
    run_state_machine_as_test(
        BudgetMachine,
        settings=settings(
            max_examples=220,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )

    assert BudgetMachine.steps >= STEPS
    assert BudgetMachine.seen >= {
        "granted", "clamped", "refused", "shadow", "settled", "released", "estimated", "duplicate", "expired", "killed",
        "topped up", "made day", "made month", "made rolling", "made lifetime",
    }  # fmt: skip
