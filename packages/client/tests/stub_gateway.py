"""A small gateway on loopback that checks what it is sent: it mints real tokens, verifies them, counts, and can fail.

It speaks HTTP/1.1 over raw asyncio streams, in a thread of its own, so that a test decides when a byte is sent and sees
when a client hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
from behest_protocol.claims import AUDIENCE, ISSUERS, ROLES, ttl_problem, user_id_problem
from behest_protocol.errors import KINDS, envelope
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

API_KEY = "behest_sk_live_0123456789abcdef0123456789abcdef"
PROJECT = "3c6f9a52-5d0e-4b7e-9c38-0d3f8c1f7a11"
TENANT = "9f0a7d1e-92c4-4f0a-8f0b-5a1d2c3b4e5f"
CHAT = "POST /v1/chat/completions"
MINT = "POST /v1/auth/mint"
PATIENCE = 10
"""Seconds after which whatever a test waits for is taken to have failed."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    claims: dict[str, Any] = field(default_factory=dict)
    connection: int = 0


@dataclass(frozen=True)
class Answer:
    """Answer the next request so, instead of serving it."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Read the next request and break the connection, after these bytes."""

    after: bytes = b""


@dataclass(frozen=True)
class Silence:
    """Read the next request and say nothing until the client gives up."""


class StubGateway:
    """Serves on loopback from `start()` to `stop()`."""

    def __init__(self, *keys: RSAPrivateKey) -> None:
        self.keys = list(keys)
        self.kid = "gw_0"
        self.tenant_keys: dict[str, RSAPublicKey] = {}
        self.seen: list[Seen] = []
        self.over_budget: set[str] = set()
        self.threads: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self.calls: dict[str, int] = {}
        self.plan: dict[str, deque[Answer | Cut | Silence]] = {}
        self.reported_ttl: int | None = None
        self.refuse_mints = False
        self.mint_gate: threading.Event | None = None
        self.stream_gate: threading.Event | None = None
        self.stream_ending: list[bytes] = [b"data: [DONE]\n\n"]
        self.hold_after_done = False
        self.mint_arrived = threading.Event()
        self.streaming = threading.Event()
        self.hung_up = threading.Event()
        self.base_url = ""
        self._connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()

    # What tests do to it

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    def stop(self) -> None:
        for gate in (self.mint_gate, self.stream_gate):
            if gate is not None:
                gate.set()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def plan_next(self, route: str, *answers: Answer | Cut | Silence) -> None:
        self.plan.setdefault(route, deque()).extend(answers)

    def change_signing_key(self) -> None:
        """Sign with another key from now on; every token minted before is refused."""
        self.keys.reverse()
        self.kid = f"gw_{uuid.uuid4().hex[:6]}"

    def requests(self, route: str) -> list[Seen]:
        return [seen for seen in self.seen if f"{seen.method} {seen.path}" == route]

    # The server

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            self._connections += 1
            try:
                await self._converse(reader, writer, self._connections)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            seen = await _read_request(reader, connection)
            if seen is None:
                return
            route = f"{seen.method} {seen.path}"
            plan = self.plan.get(route)
            planned = plan.popleft() if plan else None
            if isinstance(planned, Silence):
                self.seen.append(seen)
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                self.hung_up.set()
                return
            if isinstance(planned, Cut):
                self.seen.append(seen)
                writer.write(planned.after)
                await writer.drain()
                return
            if isinstance(planned, Answer):
                self.seen.append(seen)
                await _answer(writer, planned)
                continue
            answer = await self._serve_one(seen)
            if isinstance(answer, Answer):
                await _answer(writer, answer)
            elif not await self._stream(reader, writer, answer):
                return

    async def _serve_one(self, seen: Seen) -> Answer | AsyncIterator[bytes]:
        if seen.path == "/v1/auth/mint":
            self.seen.append(seen)
            return await self._mint(seen)
        claims = self._verify(seen.headers.get("authorization", ""))
        seen = Seen(**{**vars(seen), "claims": claims or {}})
        self.seen.append(seen)
        if claims is None:
            return _refuse("invalid_token", "The token is missing, expired or forged.")
        if seen.path == "/v1/chat/completions":
            return self._chat(seen)
        if seen.path == "/v1/usage":
            return self._usage(seen)
        if seen.path == "/v1/threads" or seen.path.startswith("/v1/threads/"):
            return self._threads(seen)
        return _refuse("not_found", "Nothing here.")

    async def _mint(self, seen: Seen) -> Answer:
        self.mint_arrived.set()
        if self.mint_gate is not None:
            assert await asyncio.to_thread(self.mint_gate.wait, PATIENCE)
        if self.refuse_mints or seen.headers.get("authorization") != f"Bearer {API_KEY}":
            return _refuse("invalid_token", "The API key is unknown.")
        body = seen.body
        if set(body) - {"user_id", "role", "ttl", "tier", "session_id"}:
            return _refuse("validation_error", "Unknown field.")
        problem = user_id_problem(body.get("user_id")) or ttl_problem(body.get("ttl"))
        if problem or body.get("role") not in ROLES or not body.get("session_id"):
            return _refuse("validation_error", problem or "role or session_id is wrong.")
        ttl = self.reported_ttl if self.reported_ttl is not None else body["ttl"]
        now = int(time.time())
        claims = {
            "tid": TENANT,
            "pid": PROJECT,
            "uid": body["user_id"],
            "role": body["role"],
            "iss": ISSUERS[0],
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + body["ttl"],
            "jti": str(uuid.uuid4()),
            "sid": body["session_id"],
        }
        if "tier" in body:
            claims["tier"] = body["tier"]
        token = jwt.encode(claims, self.keys[0], algorithm="RS256", headers={"kid": self.kid})
        return Answer(
            200,
            {
                "jwt": token,
                "access_token": token,
                "token_type": "Bearer",
                "project_id": PROJECT,
                "ttl": ttl,
                "expires_in": ttl,
                "expires_at": now + ttl,
                "session_id": body["session_id"],
            },
        )

    def _verify(self, authorization: str) -> dict[str, Any] | None:
        token = authorization.removeprefix("Bearer ")
        try:
            kid = jwt.get_unverified_header(token)["kid"]
            key = self.keys[0].public_key() if kid == self.kid else self.tenant_keys[kid]
            claims: dict[str, Any] = jwt.decode(
                token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=list(ISSUERS), options={"require": ["exp"]}
            )
        except (jwt.PyJWTError, KeyError):
            return None
        return claims if claims["tid"] == TENANT and claims["pid"] == PROJECT else None

    def _chat(self, seen: Seen) -> Answer | AsyncIterator[bytes]:
        uid = seen.claims["uid"]
        body = seen.body
        foreign = set(body) & {"session_id", "token", "user_id", "tier", "thread_id", "timeout"}
        if foreign or not body.get("messages"):
            return _refuse("validation_error", f"The body is wrong: {sorted(foreign)}")
        if uid in self.over_budget:
            details = {
                "scope": "user",
                "window": "day",
                "limit_usd": 5,
                "spent_usd": 4.99,
                "held_usd": 0.01,
                "resets_at": "2026-11-24T00:00:00Z",
                "budget_id": "b_1",
            }
            return _refuse("quota_exceeded", "The day's budget of 5 USD is used up.", details=details)
        text = f"Hello, {uid}!"
        self.calls[uid] = self.calls.get(uid, 0) + 1
        thread = seen.headers.get("x-thread-id")
        if thread is not None:
            kept = self.threads.setdefault(uid, {}).setdefault(thread, [])
            kept += [body["messages"][-1], {"role": "assistant", "content": text}]
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        same = {"id": "chatcmpl-1", "created": 1, "model": body.get("model") or "gpt-4o-mini"}
        if body.get("stream"):
            return self._chunks(same, text, usage, options=body.get("stream_options") or {})
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return Answer(
            200,
            {**same, "object": "chat.completion", "choices": [choice], "usage": usage, "x_new": {"kept": True}},
            {"X-Behest-Cost-Usd": "0.0015", "X-Trace-Id": "tr_ok"},
        )

    async def _chunks(
        self, same: dict[str, Any], text: str, usage: dict[str, Any], *, options: dict[str, Any]
    ) -> AsyncIterator[bytes]:
        same = {**same, "object": "chat.completion.chunk"}

        def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return b"data: " + json.dumps({**same, "choices": [choice]}).encode() + b"\n\n"

        yield event({"role": "assistant", "content": ""})
        yield b": a comment\n\n"
        words = text.split(" ")
        for number, word in enumerate(words):
            yield event({"content": word if number == 0 else f" {word}"})
            self.streaming.set()
            if self.stream_gate is not None:
                assert await asyncio.to_thread(self.stream_gate.wait, PATIENCE)
        if self.stream_ending[0].startswith(b"data: [DONE]"):
            yield event({}, "stop")
            if options.get("include_usage"):
                last = {**same, "choices": [], "usage": {**usage, "cost_usd": 0.0015}}
                yield b"data: " + json.dumps(last).encode() + b"\n\n"
        for piece in self.stream_ending:
            yield piece

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: AsyncIterator[bytes]
    ) -> bool:
        """Send a stream, in pieces that do not end where events do; say whether the connection lives on."""
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
            b"X-Trace-Id: tr_stream\r\nX-Behest-Budget-Remaining-Usd: 0.25\r\n\r\n"
        )
        gone = asyncio.ensure_future(reader.read(1))
        sending = asyncio.ensure_future(self._send(writer, pieces))
        await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not gone.cancelled():
            # A client that closes with bytes unread resets the connection instead of ending it.
            if gone.exception() is not None or gone.result() == b"":
                self.hung_up.set()
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            return False
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        return sending.result()

    async def _send(self, writer: asyncio.StreamWriter, pieces: AsyncIterator[bytes]) -> bool:
        async for piece in pieces:
            if piece == b"":
                return False
            half = len(piece) // 2
            for part in (piece[:half], piece[half:]):
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n" if part else b"")
                await writer.drain()
        if self.hold_after_done:
            await asyncio.sleep(PATIENCE)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _threads(self, seen: Seen) -> Answer:
        mine = self.threads.get(seen.claims["uid"], {})
        parts = [unquote(part) for part in seen.path.split("/")[3:]]
        if not parts:
            return Answer(200, [{"id": name, "title": kept[0]["content"]} for name, kept in mine.items()])
        name = parts[0]
        if name not in mine:
            return _refuse("not_found", f"No thread {name!r}.")
        if seen.method == "DELETE":
            del mine[name]
            return Answer(204)
        if parts[1:] == ["messages"]:
            return Answer(200, mine[name])
        return Answer(200, {"id": name, "messages_count": len(mine[name])})

    def _usage(self, seen: Seen) -> Answer:
        uid = seen.claims["uid"]
        asked = seen.query.get("user_id", uid)
        if asked != uid and seen.claims["role"] == "user":
            return _refuse("forbidden", "A user sees only their own usage.")
        calls = self.calls.get(asked, 0)
        sums = {"requests": calls, "tokens": 12 * calls, "cost_usd": 0.0015 * calls}
        entry = {"timestamp": "2026-11-23T00:00:00Z", **sums}
        budget = {"id": "b_1", "scope": "user", "window": "day", "limit_usd": 5, "spent_usd": 1, "held_usd": 0}
        return Answer(200, {"totals": sums, "breakdown": [entry], "budgets": [budget]})


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    address = urlsplit(target)
    return Seen(
        method=method,
        path=address.path,
        query=dict(parse_qsl(address.query)),
        headers=headers,
        body=json.loads(raw) if raw else None,
        connection=connection,
    )


async def _answer(writer: asyncio.StreamWriter, answer: Answer) -> None:
    if isinstance(answer.body, bytes):
        raw = answer.body
    else:
        raw = b"" if answer.body is None else json.dumps(answer.body).encode()
    headers = {"Content-Type": "application/json", **answer.headers}
    if answer.status != 204:
        headers["Content-Length"] = str(len(raw))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {answer.status} Said\r\n{lines}\r\n".encode() + raw)
    await writer.drain()


def _refuse(code: str, message: str, *, details: dict[str, Any] | None = None) -> Answer:
    kind = KINDS[code]
    headers = {"X-Trace-Id": "tr_refused", **({"X-Should-Retry": "false"} if kind.status == 402 else {})}
    return Answer(kind.status, envelope(code, message, trace_id="tr_refused", details=details), headers)
