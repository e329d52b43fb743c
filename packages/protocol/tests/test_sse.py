"""Framing: however a stream is cut and whichever line ends it uses, the same events come out."""

from __future__ import annotations

import itertools

import pytest
from behest_protocol.sse import EventTooLargeError, SSEDecoder, frame
from hypothesis import given
from hypothesis import strategies as st

EVENTS = st.lists(st.binary(min_size=1, max_size=30).filter(lambda b: not set(b) & {10, 13}), max_size=6)


def _cut(data: bytes, points: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(p % (len(data) + 1) for p in points)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(EVENTS, st.lists(st.integers(0, 500), max_size=8), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_come_out_whole_however_the_bytes_are_cut(events: list[bytes], points: list[int], end: bytes) -> None:
    stream = b"".join(b": a comment" + end + b"data: " + event + end + end for event in events)
    decoder = SSEDecoder()

    found = [event for chunk in _cut(stream, points) for event in decoder.feed(chunk)] + decoder.close()

    assert events == found


def test_the_lines_of_one_event_are_joined() -> None:
    assert SSEDecoder().feed(b"data: a\ndata:b\nid: 7\n\n") == [b"a\nb"]


def test_a_last_event_without_its_blank_line_is_not_lost() -> None:
    decoder = SSEDecoder()

    assert decoder.feed(b"data: last") == []
    assert decoder.close() == [b"last"]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" * 9])
def test_an_event_that_never_ends_is_refused(stream: bytes) -> None:
    with pytest.raises(EventTooLargeError):
        SSEDecoder(limit=100).feed(stream)


def test_a_frame_is_read_back() -> None:
    assert SSEDecoder().feed(frame(b'{"a":1}')) == [b'{"a":1}']
