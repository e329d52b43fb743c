"""Server-sent events as the clients expect them: LF only, an event ends at a blank line, `[DONE]` ends the stream."""

from __future__ import annotations

DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 1_048_576
"""An event above this is not a chat chunk; it is refused before it fills the memory."""


def frame(data: bytes) -> bytes:
    """Frame one event.

    >>> frame(b'{"a":1}')
    b'data: {"a":1}\\n\\n'
    """
    return b"data: " + data + b"\n\n"


def comment(data: bytes) -> bytes:
    """Write a comment, which clients skip unless they look for it. `data` is one line.

    >>> comment(b'{"cost_usd":0.01}')
    b': behest {"cost_usd":0.01}\\n\\n'
    """
    return b": behest " + data + b"\n\n"


class EventTooLargeError(ValueError):
    """An event grew past `MAX_EVENT_BYTES` without ending."""


class SSEDecoder:
    """Turn chunks of bytes into the `data` of events, however the chunks are cut.

    LF, CRLF and CR line ends are understood, since providers differ; comments and other fields are passed over.

    >>> decoder = SSEDecoder()
    >>> decoder.feed(b'data: {"a"')
    []
    >>> decoder.feed(b':1}\\n\\ndata: [DONE]\\n\\n')
    [b'{"a":1}', b'[DONE]']
    """

    __slots__ = ("_buffer", "_data", "_limit", "_size")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._size = 0
        self._limit = limit

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; return the `data` of every event that they complete.

        Raises:
            EventTooLargeError: An event is larger than the limit.
        """
        text = self._buffer + chunk if self._buffer else chunk
        if b"\r" in text:
            # A lone CR at the very end may be the first half of a CRLF.
            held = b"\r" if text.endswith(b"\r") else b""
            text = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            held = b""
        lines = text.split(b"\n")
        rest = lines.pop()
        self._buffer = rest + held
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line:
                if line.startswith(b"data:"):
                    value = line[6:] if line[5:6] == b" " else line[5:]
                    self._size += len(value)
                    if self._size > self._limit:
                        raise EventTooLargeError
                    data.append(value)
            elif data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
                self._size = 0
        if len(self._buffer) > self._limit:
            raise EventTooLargeError
        return events

    def close(self) -> list[bytes]:
        """Say that no more bytes come; return the last event when it lacked its blank line."""
        return self.feed(b"\n\n") if self._buffer or self._data else []
