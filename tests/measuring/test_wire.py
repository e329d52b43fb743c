"""An answer is only counted when it is the whole one."""

from __future__ import annotations

import pytest

from benchmarks import wire


def stream(events: tuple[bytes, ...] = wire.EVENTS, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(events) + end


def test_the_mocks_own_answers_are_right() -> None:
    head, _, body = wire.ANSWER.partition(b"\r\n\r\n")
    wire.check_json(body)
    chunks = wire.STREAM_AT_ONCE.partition(b"\r\n\r\n")[2]
    wire.check_stream(wire.undo_chunks(chunks))

    assert wire.looks_whole(chunks)
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"".join(wire.STREAM_PARTS) == wire.STREAM_AT_ONCE
    assert len(wire.EVENTS) == 33


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(stream(wire.EVENTS[:5] + wire.EVENTS[6:]), id="a word is missing"),
        pytest.param(stream((*wire.EVENTS[:5], wire.EVENTS[6], wire.EVENTS[5], *wire.EVENTS[7:])), id="out of order"),
        pytest.param(stream((*wire.EVENTS[:5], wire.EVENTS[4], *wire.EVENTS[5:])), id="a word is there twice"),
        pytest.param(stream(wire.EVENTS[:-1]), id="no usage"),
        pytest.param(stream(end=b""), id="no end"),
        pytest.param(b'data: {"error":{"message":"no"}}\n\ndata: [DONE]\n\n', id="an error"),
        pytest.param(b'data: {"choices":\n\ndata: [DONE]\n\n', id="not JSON"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_stream_that_is_not_the_one_sent_is_wrong(body: bytes) -> None:
    with pytest.raises(wire.WrongAnswerError):
        wire.check_stream(body)


@pytest.mark.parametrize(
    "body", [b"{}", b"", b'{"choices":[{"message":{"content":"hello"}}],"usage":{"total_tokens":440}}']
)
def test_a_json_answer_that_is_not_the_one_sent_is_wrong(body: bytes) -> None:
    with pytest.raises(wire.WrongAnswerError):
        wire.check_json(body)


def test_a_stream_that_is_cut_is_never_taken_for_whole_at_a_glance() -> None:
    chunks = wire.STREAM_AT_ONCE.partition(b"\r\n\r\n")[2]

    assert not any(wire.looks_whole(chunks[:at]) for at in range(0, chunks.rindex(b"data: [DONE]") + 11))
