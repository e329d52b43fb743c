"""What goes over the wire: the requests, without credentials, and the reading of answers. No I/O."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx
from behest_protocol import headers as names
from behest_protocol.errors import KINDS
from behest_protocol.sse import EventTooLargeError, SSEDecoder

from ._config import Dollars, dollars_text
from ._errors import BehestBadRequestError, BehestError, BehestServerError, classify_http_error
from ._minting import session_id_problem
from ._results import ChatCompletion, ChatCompletionChunk, ChunkChoice, Record

R = TypeVar("R", bound=Record)

CONNECT_SECONDS = 10.0
MINT_SECONDS = 30.0
READ_SECONDS = 60.0
CHAT_SECONDS = 600.0
"""Seconds of silence to bear: a reasoning model may think for minutes before its first word."""

MAX_ERROR_TEXT = 2_000
"""Characters of an answer that is not JSON which are kept in an error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A request before it has a credential.

    Attributes:
        silence: Seconds without a byte after which it is given up.
        repeatable: Whether sending it twice does no harm.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    silence: float = READ_SECONDS
    repeatable: bool = True
    timeout: float | httpx.Timeout | None = None


def chat_ask(
    body: Mapping[str, Any],
    *,
    thread_id: str | None,
    timeout: float | httpx.Timeout | None,
    max_cost_usd: Dollars | None = None,
) -> Ask:
    """A chat completion. What is None is left out of the body, so that the gateway's own choice holds.

    Raises:
        BehestBadRequestError: The body cannot be written, or the thread's id or the cap on the cost cannot be used.
    """
    streaming = body.get("stream") is True
    headers = {"Accept": "text/event-stream" if streaming else "application/json"}
    if thread_id is not None:
        headers[names.THREAD_ID] = _header_id(thread_id)
    if max_cost_usd is not None:
        text = dollars_text(max_cost_usd)
        if text is None:
            raise BehestBadRequestError(f"max_cost_usd is an amount of dollars such as 0.05, not {max_cost_usd!r}.")
        headers[names.MAX_COST_USD] = text
    return Ask(
        method="POST",
        path="/v1/chat/completions",
        body=_json({name: value for name, value in body.items() if value is not None}),
        headers=headers,
        silence=CHAT_SECONDS,
        repeatable=False,
        timeout=timeout,
    )


def mint_ask(body: Mapping[str, Any]) -> Ask:
    """An exchange of an API key for a token."""
    return Ask(
        method="POST",
        path="/v1/auth/mint",
        body=_json(body),
        headers={"Accept": "application/json"},
        silence=MINT_SECONDS,
    )


def threads_ask(
    method: str = "GET",
    thread_id: str | None = None,
    *,
    messages: bool = False,
    timeout: float | httpx.Timeout | None = None,
) -> Ask:
    """A look at stored conversations, or the deletion of one."""
    path = "/v1/threads"
    if thread_id is not None:
        path += f"/{_path_id(thread_id)}"
    if messages:
        path += "/messages"
    return Ask(method=method, path=path, headers={"Accept": "application/json"}, timeout=timeout)


def usage_ask(
    *,
    from_: datetime | date | str | None,
    to: datetime | date | str | None,
    user_id: str | None,
    granularity: str,
    timeout: float | httpx.Timeout | None,
) -> Ask:
    """A question about what was used."""
    query = {"from": _time(from_), "to": _time(to), "user_id": user_id, "granularity": granularity}
    return Ask(
        method="GET",
        path="/v1/usage",
        query={name: value for name, value in query.items() if value is not None},
        headers={"Accept": "application/json"},
        timeout=timeout,
    )


def read_json(response: httpx.Response) -> Any:
    """The decoded body of an accepted request.

    Raises:
        BehestServerError: It is not JSON, as when another program listens at the address.
    """
    try:
        return json.loads(response.content)
    except ValueError:
        kind = response.headers.get("content-type", "no content type")
        raise BehestServerError(
            f"{response.request.method} {response.request.url.path} answered {kind} instead of JSON; "
            "is BEHEST_BASE_URL the address of a gateway?",
            code="invalid_response",
            trace_id=response.headers.get(names.TRACE_ID),
            raw=response.text[:MAX_ERROR_TEXT],
        ) from None


def read_object(response: httpx.Response) -> dict[str, Any]:
    """The body, which must be a JSON object."""
    value: object = read_json(response)
    if not isinstance(value, dict):
        raise _unexpected(response, "object", value)
    return cast("dict[str, Any]", value)


def read_objects(response: httpx.Response, kind: type[R]) -> list[R]:
    """The body, which must be a bare JSON array of objects."""
    value: object = read_json(response)
    if not isinstance(value, list):
        raise _unexpected(response, "array", value)
    return [kind.of(cast("dict[str, Any]", item)) for item in cast("list[object]", value) if isinstance(item, dict)]


def read_completion(response: httpx.Response) -> ChatCompletion:
    """A finished answer, with its cost in `usage.cost_usd` as in the last chunk of a stream."""
    completion = ChatCompletion.of(read_object(response))
    cost = response.headers.get(names.COST_USD)
    if completion.usage is not None and completion.usage.cost_usd is None and cost:
        # Should a proxy have written something of its own there, the answer is good without it.
        with contextlib.suppress(ValueError):
            completion.usage.cost_usd = float(cost)
    return completion


def read_refusal(response: httpx.Response) -> BehestError:
    """The error that an answer outside 2xx means."""
    try:
        body: Any = json.loads(response.content)
    except ValueError:
        body = response.text[:MAX_ERROR_TEXT] or None
    return classify_http_error(response.status_code, headers=response.headers, body=body)


def unreachable(base_url: str, problem: Exception) -> BehestServerError:
    """The error for a gateway that did not answer, or broke off."""
    if isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout)):
        said = f"Could not reach the gateway at {base_url}. Is it running?"
    elif isinstance(problem, httpx.PoolTimeout):
        said = "Every connection to the gateway is in use; close the streams that are no longer read."
    elif isinstance(problem, httpx.TimeoutException):
        said = f"The gateway at {base_url} did not answer in time."
    else:
        said = f"The connection to the gateway at {base_url} broke off."
    return BehestServerError(f"{said} ({type(problem).__name__})", code="network_error")


class ChunkReader:
    """Turns the bytes of a stream into chunks.

    Attributes:
        done: Whether `[DONE]` was seen, after which nothing more is read.

    >>> reader = ChunkReader()
    >>> [chunk.text for chunk in reader.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\\n\\n')]
    ['Hi']
    """

    __slots__ = ("_complete", "_decoder", "_trace_id", "done")

    def __init__(self, trace_id: str | None = None) -> None:
        self.done = False
        self._complete = False
        self._decoder = SSEDecoder()
        self._trace_id = trace_id

    def feed(self, data: bytes) -> Iterator[ChatCompletionChunk]:
        """Yield the chunks that these bytes complete.

        Raises:
            BehestError: The gateway reports an error in the stream, or an event is not JSON (`stream_parse_error`).
        """
        try:
            events = self._decoder.feed(data)
        except EventTooLargeError:
            raise self._unreadable("an event is too large") from None
        yield from self._chunks(events)

    def finish(self) -> Iterator[ChatCompletionChunk]:
        """Yield what is left when the stream has ended.

        Raises:
            BehestServerError: The answer was not complete (`stream_incomplete`).
        """
        yield from self._chunks(self._decoder.close())
        if not (self.done or self._complete):
            raise BehestServerError(
                "The stream ended before the answer was complete.", code="stream_incomplete", trace_id=self._trace_id
            )

    def _chunks(self, events: list[bytes]) -> Iterator[ChatCompletionChunk]:
        for event in events:
            if self.done:
                return
            if event.strip() == b"[DONE]":
                self.done = True
                return
            yield self._chunk(event)

    def _chunk(self, event: bytes) -> ChatCompletionChunk:
        try:
            value: object = json.loads(event)
        except ValueError:
            raise self._unreadable("an event is not JSON") from None
        if not isinstance(value, dict):
            raise self._unreadable("an event is not an object")
        fields = cast("dict[str, Any]", value)
        if fields.get("error"):
            raise self._reported(fields)
        chunk = ChatCompletionChunk.of(fields)
        self._complete = self._complete or _is_finished(chunk)
        return chunk

    def _reported(self, fields: dict[str, Any]) -> BehestError:
        error: object = fields["error"]
        code: object = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
        status = KINDS[code].status if isinstance(code, str) and code in KINDS else 500
        headers = {names.TRACE_ID: self._trace_id} if self._trace_id else {}
        return classify_http_error(status, headers=headers, body=fields)

    def _unreadable(self, why: str) -> BehestError:
        return BehestError(f"The stream cannot be read: {why}.", code="stream_parse_error", trace_id=self._trace_id)


def _is_finished(chunk: ChatCompletionChunk) -> bool:
    choices: object = chunk.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, ChunkChoice) and choice.finish_reason for choice in cast("list[object]", choices)
    )


def _unexpected(response: httpx.Response, wanted: str, got: object) -> BehestServerError:
    return BehestServerError(
        f"{response.request.method} {response.request.url.path} answered something other than a JSON {wanted}.",
        code="invalid_response",
        trace_id=response.headers.get(names.TRACE_ID),
        raw=got,
    )


def _json(body: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as problem:
        raise BehestBadRequestError(f"The request cannot be written as JSON: {problem}.") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()  # Half a surrogate pair travels only as an escape.


def _time(value: datetime | date | str | None) -> str | None:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat()
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _header_id(thread_id: str) -> str:
    problem = session_id_problem(thread_id)
    if problem:
        raise BehestBadRequestError(f"{problem}.")
    return thread_id


def _path_id(thread_id: str) -> str:
    if _header_id(thread_id) in (".", ".."):
        raise BehestBadRequestError("a thread id must not be a dot or two.")
    return quote(thread_id, safe="")
