"""The provider as a raw ASGI application: the OpenAI dialect under `/v1`, its control panel under `/_fake`.

Rules that hold everywhere below:

- A token is on the bill before its bytes are handed to the socket, and none is generated after the close was seen.
- A call is ended on the bill before its last bytes are sent, so whoever has the whole answer sees the final bill.
- Without delays tokens go out in bursts, and between bursts the loop runs, so that a close can be seen.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NotRequired, TypedDict
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw, Struct

from behest_fakes import dialect
from behest_fakes.bill import Bill, Book, Call, CallState, prices_of
from behest_fakes.dialect import Envelope, Reply
from behest_fakes.prices import DEFAULT_MODEL, Price, PriceError, default_prices, price_from_json
from behest_fakes.requests import MAX_BODY_BYTES, ChatRequest, RefusalError, error_body, read_chat_request
from behest_fakes.script import (
    BadUsage,
    ByteChunks,
    Crlf,
    Cut,
    ErrorEvent,
    Fault,
    Garbage,
    Hang,
    HugeEvent,
    IgnoreMaxTokens,
    NoDone,
    NoFinish,
    NotJson,
    NoUsage,
    Redirect,
    Rule,
    Script,
    ScriptError,
    Status,
    is_set,
    read_rule,
)
from behest_fakes.tokens import count_prompt, last_user_text

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BURST = 64
"""Without delays, so many tokens go out at once before the loop runs."""
KEPT_REQUESTS = 256
"""How many of the last chat requests can be looked at."""
MAX_WAIT_SECONDS = 60.0
"""The longest that a request for the bill waits."""

_EDGE_HEADERS = {
    name.lower().encode(): name
    for name in ("X-Tenant-Id", "X-Project-Id", "X-End-User-Id", "X-Role", "X-Tier", "X-Session-Id")
}
_JSON = (b"content-type", b"application/json")
_SSE: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_STRIKES = (Cut, Hang, Garbage, HugeEvent, ErrorEvent)


class ConfigError(ValueError):
    """A setting is unknown or has the wrong type; the message names it."""


class Settings(Struct, frozen=True, kw_only=True):
    """How the provider behaves where no rule says otherwise; delays are in milliseconds."""

    token_delay_ms: float = 0
    first_token_delay_ms: float = 0
    api_key: str | None = None
    """When set, `/v1` asks for it as a Bearer token."""
    fast: bool = False
    """Answer every unscripted call with one fixed reply of 30 tokens."""


class PriceFields(TypedDict):
    """A price in USD per million tokens; the cached one is the input price when it is left out."""

    input_mtok: str
    cached_input_mtok: NotRequired[str | None]
    output_mtok: str


class ConfigFields(TypedDict, total=False):
    """`Settings` and the prices to change, as plain data."""

    token_delay_ms: float
    first_token_delay_ms: float
    api_key: str | None
    fast: bool
    prices: dict[str, PriceFields]


class _Plan(Struct, frozen=True, kw_only=True):
    """What one call is going to be, decided before its first token."""

    reply: Reply
    n: int
    hidden: int
    visible: int
    finish: bytes
    first_delay: float
    delay: float
    fault: Fault | None
    usage_wanted: bool


class ProviderApp:
    """The state of one provider and the ASGI application that answers for it."""

    def __init__(self, settings: Settings, *, record: bool = True) -> None:
        self.settings = settings
        self.prices: dict[str, Price] = default_prices()
        self.script = Script()
        self.book = Book(record=record)
        self._bodies: deque[tuple[str | None, bytes]] = deque(maxlen=KEPT_REQUESTS)
        self._id_prefix = f"chatcmpl-{secrets.token_hex(6)}"
        self._calls = 0
        self._model_json: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        method: str = scope["method"]
        try:
            if path == "/v1/chat/completions":
                _require(method, "POST")
                await self._chat(scope, receive, send)
            elif path.startswith("/_fake/"):
                await self._control(path[7:], method, scope, receive, send)
            elif path == "/v1/models" or path.startswith("/v1/models/"):
                _require(method, "GET")
                self._check_key(_header(scope, b"authorization"))
                await _send_json(send, 200, self._models(path[11:]))
            else:
                raise RefusalError(f"Invalid URL ({method} {path})", status=404, code="unknown_url")
        except RefusalError as refusal:
            await _send_json(send, refusal.status, refusal.body)

    def reset(self) -> None:
        """Forget the calls and the rules; the settings and the prices stay."""
        self.book.reset()
        self.script.clear()
        self._bodies.clear()

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings and prices; all of it, or nothing when a part is malformed.

        Raises:
            ConfigError: A setting is unknown or has the wrong type.
        """
        changes = dict(changes)
        raw_prices = changes.pop("prices", {})
        unknown = sorted(set(changes) - set(Settings.__struct_fields__))
        if unknown:
            raise ConfigError(f"There is no setting {unknown[0]!r}; there are prices, {', '.join(_setting_names())}.")
        if not isinstance(raw_prices, dict):
            raise ConfigError("prices is an object: model name to price.")
        try:
            prices = {str(name): price_from_json(raw) for name, raw in raw_prices.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            settings = msgspec.convert({**msgspec.structs.asdict(self.settings), **changes}, Settings)
        except (PriceError, msgspec.ValidationError) as error:
            raise ConfigError(f"The configuration is malformed: {error}") from None
        if settings.token_delay_ms < 0 or settings.first_token_delay_ms < 0:
            raise ConfigError("A delay is not negative.")
        self.settings = settings
        self.prices.update(prices)

    # The OpenAI dialect

    def _check_key(self, authorization: bytes | None) -> None:
        key = self.settings.api_key
        if key is None:
            return
        if authorization is None or not authorization.lower().startswith(b"bearer "):
            raise RefusalError("You didn't provide an API key.", status=401)
        if not secrets.compare_digest(authorization[7:].strip(), key.encode()):
            raise RefusalError("Incorrect API key provided.", status=401, code="invalid_api_key")

    def _models(self, name: str) -> dict[str, Any]:
        rows = [
            {"id": model, "object": "model", "created": 1_700_000_000, "owned_by": "behest-fakes"}
            for model in self.prices
            if model != DEFAULT_MODEL
        ]
        if not name:
            return {"object": "list", "data": rows}
        for row in rows:
            if row["id"] == name:
                return row
        raise RefusalError(f"The model '{name}' does not exist", status=404, param="model", code="model_not_found")

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _read_body(receive)
        except RefusalError:
            self.book.refuse()
            raise
        if body is None:
            return
        authorization: bytes | None = None
        client_request_id: str | None = None
        edge: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"x-client-request-id":
                client_request_id = value.decode("latin-1")
            elif name in _EDGE_HEADERS:
                edge[_EDGE_HEADERS[name]] = value.decode("latin-1")
        try:
            self._check_key(authorization)
            request = read_chat_request(body)
        except RefusalError:
            self.book.refuse()
            raise

        if self.book.record:
            self._bodies.append((edge.get("X-End-User-Id"), body))
        rule = self.script.decide(request, edge.get("X-End-User-Id"))
        fault = None if rule is None else rule.fault
        works = not isinstance(fault, Status | Redirect | NotJson)
        self._calls += 1
        call_id = f"{self._id_prefix}{self._calls:012x}"
        prompt = 0
        if works:
            prompt = count_prompt(request) if rule is None or rule.prompt_tokens is None else rule.prompt_tokens
        call = Call(
            id=call_id,
            model=request.model,
            price=prices_of(self.prices, request.model, DEFAULT_MODEL),
            stream=bool(request.stream),
            prompt=prompt,
            cached=0 if rule is None or rule.cached_tokens is None else min(rule.cached_tokens, prompt),
            max_tokens=request.output_limit,
            client_request_id=client_request_id,
            headers=edge,
        )
        self.book.open(call)
        plan = self._plan(request, rule, call_id)
        try:
            if fault is None and not plan.first_delay and not plan.delay and plan.visible <= BURST:
                await self._answer_at_once(call, plan, send)
            else:
                caller = _Caller(receive)
                try:
                    answer = _Answer(self, call, plan, caller, scope, send)
                    await answer.run()
                finally:
                    caller.dismiss()
        finally:
            self.book.close(call, "failed")

    def _plan(self, request: ChatRequest, rule: Rule | None, call_id: str) -> _Plan:
        settings = self.settings
        n = request.n or 1
        usage_wanted = not request.stream or bool(request.stream_options and request.stream_options.include_usage)
        if rule is None:
            reply = dialect.FIXED_REPLY if settings.fast else dialect.default_reply(last_user_text(request))
            hidden, fault = 0, None
            first_delay, delay = settings.first_token_delay_ms, settings.token_delay_ms
        else:
            spoken = rule.reply is not None or rule.tool_calls or rule.completion_tokens is not None
            default = dialect.text_reply("") if spoken else dialect.default_reply(last_user_text(request))
            reply = dialect.scripted_reply(rule, default, call_id)
            hidden, fault = rule.reasoning_tokens or 0, rule.fault
            first_delay, delay = _delays(rule, settings)
        visible = len(reply.deltas)
        finish = b'"tool_calls"' if reply.tool_calls else b'"stop"'
        limit = request.output_limit
        if isinstance(fault, IgnoreMaxTokens):
            reply = dialect.counted_reply(fault.tokens)
            hidden, visible, finish = 0, fault.tokens, b'"stop"'
        elif limit is not None and hidden + visible > limit:
            hidden = min(hidden, limit)
            visible, finish = limit - hidden, b'"length"'
        return _Plan(
            reply=reply,
            n=n,
            hidden=hidden,
            visible=visible,
            finish=finish,
            first_delay=first_delay / 1000,
            delay=delay / 1000,
            fault=fault,
            usage_wanted=usage_wanted,
        )

    def model_json(self, model: str) -> bytes:
        encoded = self._model_json.get(model)
        if encoded is None:
            encoded = msgspec.json.encode(model)
            if len(self._model_json) < 1000:
                self._model_json[model] = encoded
        return encoded

    async def _answer_at_once(self, call: Call, plan: _Plan, send: Send) -> None:
        """Answer in one piece, without a wait in between: the way of a call without delays and faults."""
        call.reasoning = plan.hidden * plan.n
        call.generated = (plan.hidden + plan.visible) * plan.n
        if call.stream:
            body = stream_body(call, plan, self.model_json(call.model))
            headers = [*_SSE, (b"x-request-id", b"req_" + call.id[9:].encode())]
        else:
            body = json_body(call, plan, self.model_json(call.model))
            headers = _json_headers(call, body)
        self.book.close(call, "finished")
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    # The control panel

    async def _control(self, what: str, method: str, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await _read_body(receive)
        if raw is None:
            return
        status = 200
        answer: Any
        try:
            if what == "health":
                _require(method, "GET")
                answer = {"status": "ok"}
            elif what == "bill":
                _require(method, "GET")
                answer = await self._bill(parse_qs(scope["query_string"].decode("latin-1")))
            elif what == "requests":
                _require(method, "GET")
                wanted = parse_qs(scope["query_string"].decode("latin-1")).get("user")
                bodies = [Raw(body) for user, body in self._bodies if wanted is None or user == wanted[-1]]
                answer = {"requests": bodies}
            elif what == "reset":
                _require(method, "POST")
                self.reset()
                answer = {"status": "ok"}
            elif what == "script":
                _require(method, "GET", "POST", "DELETE")
                if method == "POST":
                    status, answer = 201, {"id": self.script.add(read_rule(_decode(raw)))}
                else:
                    if method == "DELETE":
                        self.script.clear()
                    answer = {"rules": self.script.list()}
            elif what == "config":
                _require(method, "GET", "POST")
                if method == "POST":
                    changes = _decode(raw)
                    if not isinstance(changes, dict):
                        raise ConfigError("The configuration is an object.")
                    self.configure(changes)  # pyright: ignore[reportUnknownArgumentType]
                answer = self._config()
            else:
                raise RefusalError(f"There is nothing at /_fake/{what}.", status=404, code="unknown_url")
        except (ScriptError, ConfigError) as error:
            raise RefusalError(str(error)) from None
        await _send_json(send, status, answer)

    def _config(self) -> dict[str, Any]:
        settings = msgspec.structs.asdict(self.settings)
        api_key = settings.pop("api_key")
        prices = {name: price.to_usd() for name, price in self.prices.items()}
        return {**settings, "requires_api_key": api_key is not None, "record": self.book.record, "prices": prices}

    async def _bill(self, query: dict[str, list[str]]) -> Bill:
        values = {name: values[-1] for name, values in query.items()}
        unknown = sorted(set(values) - {"since", "client_request_id", "until_running", "until_calls", "timeout"})
        if unknown:
            raise RefusalError(
                f"There is no filter {unknown[0]!r}; there are since, client_request_id, until_running, until_calls "
                "and timeout.",
                param=unknown[0],
            )
        running, count = _whole(values, "until_running"), _whole(values, "until_calls")
        if running is not None or count is not None:
            try:
                timeout = float(values.get("timeout", "5"))
            except ValueError:
                raise RefusalError("timeout is a number of seconds.", param="timeout") from None
            try:
                await self.book.until(running=running, count=count, timeout=min(max(timeout, 0.0), MAX_WAIT_SECONDS))
            except TimeoutError:
                bill = self.book.bill()
                raise RefusalError(
                    f"It did not come to that in time: {bill.running} calls run, {bill.count} were made.",
                    status=408,
                    code="timeout",
                ) from None
        return self.book.bill(since=_whole(values, "since") or 0, client_request_id=values.get("client_request_id"))


class _Caller:
    """The other end of the connection, watched: is it still there?"""

    __slots__ = ("_receive", "_task", "_waiter", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._waiter: asyncio.Future[None] | None = None
        self.gone = False
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._waiter is not None:
            _release(self._waiter)

    async def pause(self, seconds: float | None) -> None:
        """Wait so long (None: without end), or until the caller is gone; let the loop run in any case."""
        if seconds == 0:
            await asyncio.sleep(0)
        elif not self.gone:
            loop = asyncio.get_running_loop()
            waiter = self._waiter = loop.create_future()
            timer = None if seconds is None else loop.call_later(seconds, _release, waiter)
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()

    def dismiss(self) -> None:
        self._task.cancel()


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _Answer:
    """One call that takes time or goes wrong."""

    def __init__(self, app: ProviderApp, call: Call, plan: _Plan, caller: _Caller, scope: Scope, send: Send) -> None:
        self._app = app
        self._call = call
        self._plan = plan
        self._caller = caller
        self._scope = scope
        self._send = send

    async def run(self) -> None:
        fault = self._plan.fault
        if isinstance(fault, Status | Redirect | NotJson):
            await self._caller.pause(self._plan.first_delay)
            await self._fail_before_work(fault)
        elif isinstance(fault, Hang) and fault.after_tokens is None and not (fault.after_usage and self._call.stream):
            await self._fall_silent()
        elif self._call.stream:
            await self._stream()
        else:
            await self._whole()

    async def _fail_before_work(self, fault: Status | Redirect | NotJson) -> None:
        if self._caller.gone:
            self._end("closed_by_client")
            return
        self._end("failed")
        if isinstance(fault, NotJson):
            await _send_whole(self._send, 200, [(b"content-type", fault.content_type.encode())], fault.body.encode())
        elif isinstance(fault, Redirect):
            await _send_whole(self._send, fault.status, [(b"location", fault.location.encode())], b"")
        else:
            headers = [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
            body = fault.body if is_set(fault.body) else _status_body(fault.status)
            content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
            if not any(name == b"content-type" for name, _ in headers):
                headers.append((b"content-type", b"text/plain; charset=utf-8") if isinstance(body, str) else _JSON)
            await _send_whole(self._send, fault.status, headers, content)

    async def _fall_silent(self) -> None:
        await self._caller.pause(None)
        self._end("closed_by_client")

    async def _cut(self, fault: Cut) -> None:
        """Close the connection below the protocol, after what was written is on its way."""
        transport: asyncio.Transport | None = self._scope.get("state", {}).get("transport")
        if transport is None:
            raise RuntimeError("this ASGI server gives no transport to cut; run the provider with its own server")
        self._end("failed")
        if fault.reset:
            while transport.get_write_buffer_size() and not self._caller.gone:
                await self._caller.pause(0)
            reset_on_close(transport)
            transport.abort()
        else:
            transport.close()
        await self._caller.pause(None)

    def _end(self, state: CallState) -> None:
        self._app.book.close(self._call, state)

    # A stream

    async def _stream(self) -> None:
        call, plan, caller, fault = self._call, self._plan, self._caller, self._plan.fault
        if plan.first_delay:
            await caller.pause(plan.first_delay)
            if caller.gone:
                return self._end("closed_by_client")
        headers = [*_SSE, (b"x-request-id", b"req_" + call.id[9:].encode())]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        envelope = _envelope(call, plan, self._app.model_json(call.model))
        choices = range(plan.n)
        await self._write(b"".join(envelope.chunk(index, plan.reply.role_delta) for index in choices))

        for _ in range(plan.hidden):
            await caller.pause(plan.delay)
            if caller.gone:
                return self._end("closed_by_client")
            call.generated += plan.n
            call.reasoning += plan.n

        late = isinstance(fault, Cut | Hang) and fault.after_usage
        strike_at = min(fault.after_tokens or 0, plan.visible) if isinstance(fault, _STRIKES) and not late else None
        deltas = plan.reply.deltas
        token = 0
        while True:
            if token == strike_at:
                strike_at = None
                if await self._strike(envelope):
                    return None
            if token == plan.visible:
                break
            upto = token + 1 if plan.delay else min(token + BURST, plan.visible, strike_at or plan.visible)
            await caller.pause(plan.delay)
            if caller.gone:
                return self._end("closed_by_client")
            call.generated += (upto - token) * plan.n
            if plan.n == 1:
                events = envelope.burst(deltas[token:upto])
            else:
                events = b"".join(envelope.chunk(index, delta) for delta in deltas[token:upto] for index in choices)
            token = upto
            await self._write(events)
        self._end("finished")
        await self._write(stream_end(call, plan, envelope))
        if late:
            await self._strike(envelope)
            return None
        await self._send({"type": "http.response.body", "body": b""})
        return None

    async def _strike(self, envelope: Envelope) -> bool:
        """Let the fault happen here; say whether that was the end."""
        fault = self._plan.fault
        if isinstance(fault, Cut):
            await self._cut(fault)
            return True
        if isinstance(fault, Hang):
            await self._fall_silent()
            return True
        if isinstance(fault, HugeEvent):
            await self._write(envelope.padded(fault.bytes))
            return False
        if isinstance(fault, Garbage):
            if fault.end:
                self._end("finished")
            await self._write(b"data: " + fault.text.encode() + dialect.EVENT_END)
            if fault.end:
                await self._send({"type": "http.response.body", "body": b""})
            return fault.end
        if isinstance(fault, ErrorEvent):
            self._end("failed")
            await self._write(b"data: " + msgspec.json.encode(_error_of(fault)) + dialect.EVENT_END)
            await self._send({"type": "http.response.body", "body": b""})
            return True
        return False

    async def _write(self, data: bytes) -> None:
        fault = self._plan.fault
        if isinstance(fault, Crlf):
            data = data.replace(b"\n", b"\r\n")
        elif isinstance(fault, ByteChunks):
            for at in range(len(data)):
                if self._caller.gone:
                    return
                await self._send({"type": "http.response.body", "body": data[at : at + 1], "more_body": True})
                await asyncio.sleep(0)
            return
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    # A JSON answer

    async def _whole(self) -> None:
        call, plan, caller, fault = self._call, self._plan, self._caller, self._plan.fault
        steps = plan.hidden + plan.visible
        if isinstance(fault, Cut | Hang):
            steps = min(steps, plan.hidden + (fault.after_tokens or 0))
        elif isinstance(fault, ErrorEvent):
            steps = min(steps, plan.hidden + fault.after_tokens)
        call.reasoning = plan.hidden * plan.n
        call.meter = _clock(plan, steps)
        await caller.pause(plan.first_delay + steps * plan.delay)
        if caller.gone:
            return self._end("closed_by_client")
        call.meter = None
        call.generated = steps * plan.n
        body = json_body(call, plan, self._app.model_json(call.model))
        headers = _json_headers(call, body)
        if isinstance(fault, Cut | Hang):
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await (self._cut(fault) if isinstance(fault, Cut) else self._fall_silent())
        elif isinstance(fault, ErrorEvent):
            self._end("failed")
            await _send_json(self._send, 200, _error_of(fault))
        else:
            self._end("finished")
            if isinstance(fault, ByteChunks):
                await self._send({"type": "http.response.start", "status": 200, "headers": [_JSON]})
                await self._write(body)
                await self._send({"type": "http.response.body", "body": b""})
            else:
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                await self._send({"type": "http.response.body", "body": body})
        return None


def _delays(rule: Rule, settings: Settings) -> tuple[float, float]:
    """The wait before the first token and the pace, in milliseconds."""
    first, each = rule.first_token_delay_ms, rule.token_delay_ms
    return (
        settings.first_token_delay_ms if first is None else first,
        settings.token_delay_ms if each is None else each,
    )


def _clock(plan: _Plan, steps: int) -> Callable[[], int]:
    """How many tokens are generated by now, when generation began now."""
    began = time.monotonic() + plan.first_delay

    def generated() -> int:
        elapsed = time.monotonic() - began
        if not plan.delay:
            return steps * plan.n if elapsed >= 0 else 0
        return plan.n * min(steps, max(0, int(elapsed / plan.delay)))

    return generated


def _envelope(call: Call, plan: _Plan, model: bytes) -> Envelope:
    return Envelope(id=call.id, created=int(call.started), model=model, include_usage=plan.usage_wanted)


def _usage(call: Call, plan: _Plan) -> bytes | None:
    if isinstance(plan.fault, NoUsage) or not plan.usage_wanted:
        return None
    if isinstance(plan.fault, BadUsage):
        return msgspec.json.encode(plan.fault.usage)
    return dialect.usage_json(
        prompt=call.prompt, completion=call.generated, cached=call.cached, reasoning=call.reasoning
    )


def stream_body(call: Call, plan: _Plan, model: bytes) -> bytes:
    """A whole stream in one piece."""
    envelope = _envelope(call, plan, model)
    reply = plan.reply
    if plan.n == 1:
        opening = envelope.chunk(0, reply.role_delta)
        return opening + envelope.burst(reply.deltas[: plan.visible]) + stream_end(call, plan, envelope)
    choices = range(plan.n)
    parts = [envelope.chunk(index, reply.role_delta) for index in choices]
    parts.extend(envelope.chunk(index, delta) for delta in reply.deltas[: plan.visible] for index in choices)
    parts.append(stream_end(call, plan, envelope))
    return b"".join(parts)


def stream_end(call: Call, plan: _Plan, envelope: Envelope) -> bytes:
    """The finish reasons, the usage and `[DONE]`."""
    parts: list[bytes] = []
    if not isinstance(plan.fault, NoFinish):
        parts.extend(envelope.chunk(index, b"{}", plan.finish) for index in range(plan.n))
    usage = _usage(call, plan)
    if usage is not None:
        parts.append(envelope.usage(usage))
    fault = plan.fault
    if not isinstance(fault, NoDone) and not (isinstance(fault, Cut | Hang) and fault.after_usage):
        parts.append(dialect.DONE)
    return b"".join(parts)


def json_body(call: Call, plan: _Plan, model: bytes) -> bytes:
    """A whole JSON answer."""
    fault = plan.fault
    if isinstance(fault, Garbage):
        return fault.text.encode()
    return dialect.completion_json(
        id=call.id,
        created=int(call.started),
        model=model,
        message=plan.reply.message(plan.visible),
        finish_reason=b"null" if isinstance(fault, NoFinish) else plan.finish,
        n=plan.n,
        usage=_usage(call, plan),
        padding=fault.bytes if isinstance(fault, HugeEvent) else 0,
    )


def _json_headers(call: Call, body: bytes) -> Headers:
    return [
        _JSON,
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", b"req_" + call.id[9:].encode()),
    ]


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Have the kernel answer the close with a TCP reset."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _error_of(fault: ErrorEvent) -> dict[str, Any]:
    if is_set(fault.error):
        return {"error": fault.error}
    return error_body("The server had an error while processing your request.", type="server_error")


def _status_body(status: int) -> dict[str, Any]:
    if status == 401:
        return error_body("Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key")
    if status == 429:
        return error_body("Rate limit reached for requests.", type="requests", code="rate_limit_exceeded")
    if status >= 500:
        return error_body("The server had an error while processing your request.", type="server_error")
    return error_body("The request was refused, as the script says.", type="invalid_request_error")


def _require(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise RefusalError(f"Not allowed to {method} here; use {' or '.join(allowed)}.", status=405)


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return next((value for name, value in headers if name == wanted), None)


def _setting_names() -> tuple[str, ...]:
    return Settings.__struct_fields__


def _whole(values: dict[str, str], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if not value.isdecimal() or len(value) > 15:
        raise RefusalError(f"{name} is a whole number from 0.", param=name)
    return int(value)


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise RefusalError(f"The body is no JSON: {error}", code="invalid_json") from None


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or None when the caller left before its end.

    Raises:
        RefusalError: It is larger than `MAX_BODY_BYTES`.
    """
    message = await receive()
    if message["type"] != "http.request":
        return None
    body: bytes = message["body"]
    if not message["more_body"]:
        return body
    parts = [body]
    size = len(body)
    while message["more_body"]:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message["body"])
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise RefusalError(f"The body is larger than {MAX_BODY_BYTES} bytes.", status=413)
    return b"".join(parts)


async def _send_json(send: Send, status: int, content: Any) -> None:
    await _send_whole(send, status, [_JSON], msgspec.json.encode(content))


async def _send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    if status in (204, 304):
        body = b""
    elif not any(name == b"content-length" for name, _ in headers):
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    if status == 413:
        headers = [*headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
