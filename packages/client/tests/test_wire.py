"""What goes over the wire, as values."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from behest import (
    BehestBadRequestError,
    BehestError,
    BehestQuotaError,
    BehestServerError,
    Record,
    decode_token,
    resolve_config,
)
from behest._minting import MintOptions, read_minted, session_id_problem, session_of, token_request
from behest._wire import ChunkReader, chat_ask, threads_ask, usage_ask
from hypothesis import given
from hypothesis import strategies as st

EVENTS = (
    b": hello\n\nevent: x\n"
    b'data: {"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9f"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,\r\ndata: "delta":{"content":" Gott"},"finish_reason":"stop"}]}\r\n\r\n'
    b"data: [DONE]\n\ndata: never read\n\n"
)


def _read(*pieces: bytes) -> list[str]:
    reader = ChunkReader("tr_1")
    texts = [chunk.text for piece in pieces for chunk in reader.feed(piece)]
    return texts + [chunk.text for chunk in reader.finish()]


@given(st.lists(st.integers(0, len(EVENTS)), max_size=8))
def test_a_stream_reads_the_same_however_it_is_cut(places: list[int]) -> None:
    edges = [0, *sorted(places), len(EVENTS)]

    assert _read(*(EVENTS[a:b] for a, b in itertools.pairwise(edges))) == ["Grüß", " Gott"]


def test_an_answer_that_is_finished_needs_no_done() -> None:
    assert _read(b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n') == ["Hi"]


def test_a_last_event_without_its_blank_line_is_read() -> None:
    assert _read(b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}') == ["Hi"]


@pytest.mark.parametrize("got", [b"", b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'])
def test_a_stream_that_breaks_off_is_not_taken_for_an_answer(got: bytes) -> None:
    with pytest.raises(BehestServerError) as caught:
        _read(got)

    assert (caught.value.code, caught.value.trace_id) == ("stream_incomplete", "tr_1")


def test_what_came_before_an_error_in_the_stream_is_delivered_first() -> None:
    reader = ChunkReader("tr_1")
    error = {"error": {"code": "quota_exceeded", "message": "Used up.", "type": "insufficient_quota"}, "choices": []}
    chunks = reader.feed(
        b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: '
        + json.dumps(error).encode()
        + b"\n\ndata: [DONE]\n\n"
    )

    assert next(chunks).text == "Hi"
    with pytest.raises(BehestQuotaError, match="Used up") as caught:
        next(chunks)
    assert (caught.value.status, caught.value.code, caught.value.trace_id) == (402, "quota_exceeded", "tr_1")


@pytest.mark.parametrize("error", ["boom", {"message": "boom"}, {"code": "new_code", "message": "boom"}, {"code": 7}])
def test_an_error_in_the_stream_of_any_shape_is_raised(error: object) -> None:
    with pytest.raises(BehestServerError):
        _read(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")


@pytest.mark.parametrize("event", [b"{not json", b"[1]", b"7", b"x" * 1_100_000])
def test_a_stream_that_cannot_be_read_says_so(event: bytes) -> None:
    with pytest.raises(BehestError) as caught:
        _read(b"data: " + event + b"\n\n")

    assert caught.value.code == "stream_parse_error"
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("choices", [None, 7, ["x"], [None], [{}]])
def test_a_chunk_of_an_odd_shape_is_passed_on(choices: object) -> None:
    reader = ChunkReader()

    assert list(reader.feed(b"data: " + json.dumps({"choices": choices}).encode() + b"\n\n")) == [{"choices": choices}]


def test_what_is_none_is_left_out_of_a_chat_body() -> None:
    ask = chat_ask({"model": None, "messages": [{"content": None}], "stream": None}, thread_id=None, timeout=None)

    assert json.loads(ask.body or b"") == {"messages": [{"content": None}]}
    assert ask.headers == {"Accept": "application/json"}
    assert ask.repeatable is False


def test_text_travels_as_it_is_and_half_a_surrogate_as_an_escape() -> None:
    assert b"Gr\xc3\xbc\xc3\x9f" in (chat_ask({"x": "Grüß"}, thread_id=None, timeout=None).body or b"")
    assert b"\\ud83d" in (chat_ask({"x": "\ud83d"}, thread_id=None, timeout=None).body or b"")


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_what_json_cannot_say_is_a_bad_request(value: object) -> None:
    with pytest.raises(BehestBadRequestError, match="JSON"):
        chat_ask({"x": value}, thread_id=None, timeout=None)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ("2026-11-01", "2026-11-01"),
        (date(2026, 11, 1), "2026-11-01"),
        (datetime(2026, 11, 1, 12), "2026-11-01T12:00:00"),
        (datetime(2026, 11, 1, 12, tzinfo=UTC), "2026-11-01T12:00:00Z"),
        (datetime(2026, 11, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2026-11-01T10:00:00Z"),
    ],
)
def test_times_are_sent_in_utc(given: datetime | date | str | None, sent: str | None) -> None:
    ask = usage_ask(from_=given, to=None, user_id=None, granularity="day", timeout=None)

    assert ask.query.get("from") == sent


@pytest.mark.parametrize(
    ("thread_id", "path"),
    [("t_1", "/v1/threads/t_1"), ("a b/c?d#e", "/v1/threads/a%20b%2Fc%3Fd%23e"), ("..x", "/v1/threads/..x")],
)
def test_a_thread_id_is_one_step_of_a_path(thread_id: str, path: str) -> None:
    assert threads_ask(thread_id=thread_id).path == path


@pytest.mark.parametrize("thread_id", ["", " ", ".", "..", "a\nb", "x" * 256, "é"])
def test_a_thread_id_that_would_go_elsewhere_is_refused(thread_id: str) -> None:
    with pytest.raises(BehestBadRequestError):
        threads_ask("DELETE", thread_id)


@pytest.mark.parametrize("session_id", [None, 7, "", " ", "a\r\nX-Role: admin", "x" * 256, "é"])
def test_a_session_id_that_a_header_cannot_carry_has_a_problem(session_id: object) -> None:
    assert session_id_problem(session_id)


CONFIG = resolve_config(key="behest_sk_live_x", base_url="http://localhost:8080")


@pytest.mark.parametrize(
    "options",
    [
        {"user_id": ""},
        {"user_id": "  "},
        {"user_id": "Admin"},
        {"user_id": "a\nb"},
        {"user_id": "x" * 256},
        {"user_id": 42},
        {"ttl": 59},
        {"ttl": 86_401},
        {"ttl": True},
        {"ttl": "900"},
        {"tier": True},
        {"tier": ""},
        {"tier": 1.5},
        {"role": ""},
        {"session_id": ""},
    ],
)
def test_what_the_mint_would_refuse_is_refused_before_it_is_sent(options: dict[str, object]) -> None:
    with pytest.raises(BehestBadRequestError) as caught:
        token_request(MintOptions(**options), CONFIG)  # type: ignore[arg-type]

    assert (caught.value.status, caught.value.code) == (400, "validation_error")


@pytest.mark.parametrize("user_id", ["default", "anonymous", "u_42", "auth0|ada", "日本"])
def test_any_other_user_id_may_be_used(user_id: str) -> None:
    assert token_request(MintOptions(user_id=user_id), CONFIG).user_id == user_id


ASKED = token_request(MintOptions(user_id="u_42", ttl=900), CONFIG)


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"jwt": "a.b.c", "ttl": 60, "session_id": "s_2"}, ("a.b.c", 60, "s_2")),
        ({"access_token": "a.b.c"}, ("a.b.c", 900, "s_1")),
        ({"jwt": "", "access_token": "a.b.c", "ttl": "60", "session_id": 7}, ("a.b.c", 900, "s_1")),
        ({"jwt": "a.b.c", "ttl": True, "session_id": "\n"}, ("a.b.c", 900, "s_1")),
    ],
)
def test_a_mint_answer_is_read_with_what_it_leaves_out(answer: object, read: tuple[str, int, str]) -> None:
    minted = read_minted(answer, ASKED, "s_1", now=1_000)

    assert (minted.token, minted.ttl, minted.session_id) == read
    assert minted.expires_at == 1_000 + minted.ttl


@pytest.mark.parametrize("answer", [None, [], {}, {"jwt": 7}, {"jwt": "a\r\nb"}, {"token": "a.b.c"}])
def test_a_mint_answer_without_a_token_is_the_gateways_fault(answer: object) -> None:
    with pytest.raises(BehestServerError) as caught:
        read_minted(answer, ASKED, "s_1", now=0)

    assert "a.b.c" not in repr(vars(caught.value))


def test_claims_are_read_without_being_trusted() -> None:
    claims = decode_token("e30.eyJ1aWQiOiJ1XzQyIiwidGllciI6Mn0.sig")

    assert isinstance(claims, Record)
    assert (claims.uid, claims["tier"]) == ("u_42", 2)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "a.!!!.c", "a.e30=.c.d", "a.W10.c", "a.bm90.c", "a.é.c"])
def test_what_is_no_jwt_is_a_value_error(token: str) -> None:
    with pytest.raises(ValueError, match="not a JWT"):
        decode_token(token)


@pytest.mark.parametrize(
    ("token", "session"), [("e30.eyJzaWQiOiJzXzEifQ.x", "s_1"), ("e30.e30.x", None), ("opaque", None)]
)
def test_a_token_names_its_session(token: str, session: str | None) -> None:
    assert session_of(token) == session
