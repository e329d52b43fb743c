"""What a row of the table of bad input says, and how the gateway is held to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import msgspec
from behest_fakes.script import RuleFields
from behest_protocol.errors import KINDS
from behest_protocol.money import usd_from_nano

from ..support.ledger import LedgerRow
from ..support.provider import Billed
from ..support.world import CHAT, World, events_of, messages

Cost = Literal["nothing", "the bill", "the hold"] | int
"""What a row of the ledger says; a number is nano-dollars, whatever the provider billed."""

Via = Literal["gateway", "impatient", "rough", "nowhere"]

VALID: dict[str, Any] = {"messages": messages()}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The projects of a row: the one that is called, another of the same tenant, and one of another tenant."""

    world: World
    sibling: World
    stranger: World


Credential = Callable[[Scene], str | None]


def own_token(scene: Scene) -> str:
    """A good token of the world's user."""
    return scene.world.token()


# What comes back ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An error before anything was streamed.

    Attributes:
        param: The field that is named; `...` when the row does not say.
        details: Facts that must be among the details.
        says: Words of the message.
        flat: The envelope is that of the management plane.
    """

    status: int
    code: str
    param: Any = ...
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    retry_after: str | None = None
    retryable: bool | None = None
    says: str = ""
    flat: bool = False

    def check(self, response: httpx.Response) -> None:
        """Hold an answer to it, to the last field of the envelope."""
        trace_id = response.headers["x-trace-id"]
        body = response.json()
        kind = KINDS[self.code]
        retryable = kind.retryable if self.retryable is None else self.retryable
        assert (response.status_code, kind.status) == (self.status, self.status), response.text
        assert response.headers["content-type"] == "application/json"
        assert response.headers.get("retry-after") == self.retry_after
        if not self.flat and (self.status in (402, 429) or not retryable):
            assert response.headers["x-should-retry"] == ("true" if retryable else "false")
        if self.status == 401:
            assert response.headers["www-authenticate"] == "Bearer"
        message = body["message"]
        assert isinstance(message, str)
        assert message
        assert self.says in message
        if self.flat:
            assert body == {
                "error": message,
                "message": message,
                "code": self.code.upper(),
                "retryable": retryable,
                "trace_id": trace_id,
            }
            return
        error = body["error"]
        assert body == {
            "error": {
                "code": self.code,
                "message": message,
                "type": kind.type,
                "param": error["param"] if self.param is ... else self.param,
                "details": error["details"],
            },
            "code": self.code,
            "message": message,
            "retryable": retryable,
            "trace_id": trace_id,
        }
        assert error["details"].items() >= self.details.items()


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A whole answer.

    Attributes:
        headers: Headers that must be among the answer's; `...` for any value, None for one that must not be there.
    """

    headers: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def check(self, response: httpx.Response) -> None:
        """Hold an answer to it."""
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        for name, value in self.headers.items():
            assert name in response.headers if value is ... else response.headers.get(name) == value
        assert response.json()["choices"][0]["message"]["role"] == "assistant"


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """A stream that ends well: every event is a chunk, and `[DONE]` is the last.

    Attributes:
        reason: The finish reason, or None when the provider gave none.
    """

    reason: str | None = "stop"

    def check(self, response: httpx.Response) -> None:
        """Hold an answer to it."""
        chunks = _chunks(response)
        assert all("error" not in chunk for chunk in chunks)
        reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
        assert [reason for reason in reasons if reason is not None] == ([self.reason] if self.reason else [])


@dataclass(frozen=True, kw_only=True)
class BrokenOff:
    """A stream that begins well and ends with an error of this code, and `[DONE]`."""

    code: str
    says: str = ""

    def check(self, response: httpx.Response) -> None:
        """Hold an answer to it."""
        *good, last = _chunks(response)
        assert good
        assert all("error" not in chunk for chunk in good)
        message = last["error"]["message"]
        assert last == {
            "error": {"code": self.code, "message": message, "type": KINDS[self.code].type},
            "choices": [],
        }
        assert self.says in message


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A stream that fails early: as an error with its status, or in mid-stream when its first chunks were faster."""

    code: str
    says: str = ""

    def check(self, response: httpx.Response) -> None:
        """Hold an answer to it."""
        if response.status_code == 200:
            BrokenOff(code=self.code, says=self.says).check(response)
        else:
            Refused(status=KINDS[self.code].status, code=self.code, says=self.says).check(response)


Outcome = Refused | Answered | Streamed | BrokenOff | Failed


def _chunks(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *data, done = events_of(response.content)
    assert done == b"[DONE]"
    return [msgspec.json.decode(event) for event in data]


# What is written down ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the ledger, as the table says it."""

    state: str
    status: int
    code: str | None = None
    cost: Cost = "nothing"


def refused(status: int, code: str) -> tuple[Line, ...]:
    """It never became an attempt."""
    return (Line(state="refused", status=status, code=code),)


def released(status: int, code: str) -> tuple[Line, ...]:
    """It was sent, or tried to be, and certainly cost nothing."""
    return (Line(state="released", status=status, code=code),)


def unconfirmed(status: int = 200, code: str | None = None) -> tuple[Line, ...]:
    """Nobody knows what it cost, so it cost the most that it could."""
    return (Line(state="unconfirmed", status=status, code=code, cost="the hold"),)


SETTLED = (Line(state="settled", status=200, cost="the bill"),)
NOTHING: tuple[Line, ...] = ()


def _line(row: LedgerRow, billed: Billed | None, expected: Line) -> Line:
    bill = billed.cost_nano if billed is not None else 0
    cost: Cost
    if isinstance(expected.cost, int):
        cost = row.cost_nano
    elif row.cost_nano == 0:
        cost = "nothing"
        assert bill == 0
    elif row.cost_nano == row.hold_nano:
        cost = "the hold"
        assert bill <= row.cost_nano
    else:
        cost = "the bill"
        assert row.cost_nano == bill
    assert (row.attempt == 0) == (row.state == "refused")
    assert row.hold_nano > 0 or row.attempt == 0
    return Line(state=row.state, status=row.status, code=row.error_code, cost=cost)


def check_that_nothing_is_lost(world: World, expected: tuple[Line, ...]) -> None:
    """Hold the ledger to the provider's bill, and the budgets to the ledger."""
    calls = world.bill()
    billed = {call.attempt_id: call for call in calls}
    assert len(calls) == len(billed), "an attempt was sent twice"
    rows = world.rows()
    assert len(rows) == len(expected), rows
    lines = [_line(row, billed.get(row.attempt_id), line) for row, line in zip(rows, expected, strict=True)]
    assert lines == list(expected)
    attempts = [row.attempt_id for row in rows if row.attempt]
    assert set(billed) <= set(attempts)
    assert len(attempts) == len(set(attempts))

    assert world.holds() == {}
    for budget in world.budgets():
        spent = sum(row.cost_nano for row in rows if budget["user_id"] in (None, row.user_id))
        assert world.gateway.ledger.counted(budget["id"]) == spent
        if budget["scope"] != "each_user":
            assert (budget["held_usd"], budget["spent_usd"]) == (0, usd_from_nano(spent))


# A row -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is wrong.
        credential: What is sent as Bearer; None for no header at all.
        body: Sent as JSON, unless it is bytes.
        content: Makes the bytes to send in place of `body`, as a whole or in pieces.
        headers: More headers, made of the scene.
        settings: Settings of the project.
        budgets: Budgets of the project; a dollar a day when the row does not say.
        before: Happens before the request.
        provider: What the fake provider does.
        via: Which gateway is asked: one whose provider answers, one that waits only half a second for it, one whose
            provider breaks the protocol, and one whose provider is not there.
    """

    name: str
    outcome: Outcome
    ledger: tuple[Line, ...] = NOTHING
    method: str = "POST"
    path: str = CHAT
    credential: Credential = own_token
    scheme: str = "Bearer"
    body: Any = ...
    content: Callable[[], bytes | Iterable[bytes]] | None = None
    headers: Callable[[Scene], Mapping[str, str]] = lambda scene: {}
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    budgets: tuple[Mapping[str, Any], ...] = ({"limit_usd": 1},)
    before: Callable[[Scene], object] | None = None
    provider: RuleFields | None = None
    via: Via = "gateway"

    def prepare(self, world: World) -> None:
        """Give the project its budgets and its provider's rule."""
        for budget in self.budgets:
            world.budget(**budget)
        if self.provider is not None:
            world.script(self.provider)

    def send(self, scene: Scene) -> httpx.Response:
        """Ask what the row asks."""
        headers = {"content-type": "application/json", **self.headers(scene)}
        credential = self.credential(scene)
        if credential is not None:
            headers["authorization"] = f"{self.scheme} {credential}".rstrip()
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return scene.world.client.request(self.method, self.path, content=self._content(), headers=encoded)

    def _content(self) -> bytes | Iterable[bytes] | None:
        if self.content is not None:
            return self.content()
        if self.method == "GET" and self.body is ...:
            return None
        body = VALID if self.body is ... else self.body
        return body if isinstance(body, bytes) else msgspec.json.encode(body)
