"""What a chat completion request may look like, and how the provider refuses one that does not."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A larger body is 413, before it fills the memory."""

_MISSING = re.compile(r"Object missing required field `(.*)`")
_NO_MAX_TOKENS = ("o1", "o3", "o4", "gpt-5")


class Message(Struct):
    """What of a message counts as tokens."""

    role: str
    content: str | list[Raw] | None = None
    tool_calls: Raw = Raw()


class StreamOptions(Struct):
    """Whether a stream ends with its usage."""

    include_usage: bool | None = None


class ChatRequest(Struct):
    """The part of a request that the fake looks at; every other field is accepted and ignored."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    tools: Raw = Raw()
    functions: Raw = Raw()
    response_format: Raw = Raw()

    @property
    def output_limit(self) -> int | None:
        """The tokens that one choice may have: the smaller limit when both are given."""
        if self.max_tokens is None:
            return self.max_completion_tokens
        if self.max_completion_tokens is None:
            return self.max_tokens
        return min(self.max_tokens, self.max_completion_tokens)


class RefusalError(Exception):
    """The provider answers an error object instead of a completion."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, type=type, param=param, code=code)


def error_body(message: str, *, type: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The error object of the OpenAI dialect."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


_DECODER = msgspec.json.Decoder(ChatRequest)


def read_chat_request(body: bytes) -> ChatRequest:
    """Decode and check a body as OpenAI does.

    Raises:
        RefusalError: The body is no JSON, or a field is missing, of the wrong type or out of range.
    """
    try:
        request = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        path = where.strip(".`")
        missing = _MISSING.fullmatch(what)
        if missing is not None:
            path = f"{path}.{missing[1]}".strip(".")
            raise RefusalError(
                f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter"
            ) from None
        raise RefusalError(
            f"Invalid request: {what}{f' in {path!r}' if path else ''}.", param=path or None, code="invalid_type"
        ) from None
    except msgspec.DecodeError:
        raise RefusalError("We could not parse the JSON body of your request.", code="invalid_json") from None
    if not request.model:
        raise RefusalError("you must provide a model parameter", param="model")
    if not request.messages:
        raise RefusalError("'messages' must not be empty.", param="messages", code="empty_array")
    if request.n is not None and not 1 <= request.n <= 128:
        raise RefusalError("'n' must be between 1 and 128.", param="n", code="integer_out_of_range")
    for name, value in (
        ("max_tokens", request.max_tokens),
        ("max_completion_tokens", request.max_completion_tokens),
    ):
        if value is not None and value < 1:
            raise RefusalError(f"'{name}' must be at least 1.", param=name, code="integer_below_min_value")
    if request.max_tokens is not None and request.model.startswith(_NO_MAX_TOKENS):
        raise RefusalError(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    if request.stream_options is not None and not request.stream:
        raise RefusalError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    return request
