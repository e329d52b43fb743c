"""Reading the chat dialect. Fields that are not ours to understand are kept and sent on unchanged."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from behest_gateway.core.errors import invalid
from behest_gateway.core.exchange import Composed, Identified
from behest_gateway.core.snapshot import ProjectSettings
from behest_gateway.core.threads import Conversation, Kind, Message
from behest_gateway.stages.compose.history import INSTRUCTIONS

MAX_MESSAGES = 10_000
MAX_CHOICES = 128
MAX_OUTPUT_TOKENS = 10_000_000
MAX_MODEL = 200

_ROLES = ("assistant", "developer", "function", "system", "tool", "user")  # a tuple: what is asked of it may be a list
_LIMITS = ("max_completion_tokens", "max_tokens")
_MODEL = re.compile(rf"[!-~]{{1,{MAX_MODEL}}}")
_decoder = msgspec.json.Decoder()


def decode_body(body: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        GatewayError: `validation_error`, with where the text goes wrong.
    """
    try:
        value: object = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise invalid(f"The body is not valid JSON: {error}.") from None
    except UnicodeDecodeError:
        raise invalid("The body is not valid UTF-8.") from None
    except RecursionError:
        raise invalid("The body is nested too deeply.") from None
    if not isinstance(value, dict):
        raise invalid("The body must be a JSON object.")
    return cast("dict[str, Any]", value)


def _integer(body: dict[str, Any], name: str, most: int) -> int | None:
    value = body.pop(name, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise invalid(f"'{name}' must be a whole number of at least 1.", name)
    return min(value, most)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise invalid("'messages' must be a list with at least one message.", "messages")
    items = cast("list[object]", messages)
    if len(items) > MAX_MESSAGES:
        raise invalid(f"'messages' has {len(items)} messages; at most {MAX_MESSAGES} are accepted.", "messages")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise invalid(f"'messages[{index}]' must be an object.", f"messages[{index}]")
        message = cast("dict[str, object]", item)
        if message.get("role") not in _ROLES:
            raise invalid(f"'messages[{index}].role' must be one of {', '.join(_ROLES)}.", f"messages[{index}].role")
        content = message.get("content")
        if isinstance(content, str) or content is None:
            continue
        field = f"messages[{index}].content"
        if not isinstance(content, list):
            raise invalid(f"'{field}' must be text, a list of parts, or null.", field)
        for at, part in enumerate(cast("list[object]", content)):
            if not isinstance(part, dict):
                raise invalid(f"'{field}[{at}]' must be an object.", f"{field}[{at}]")


def choose_model(asked: object, settings: ProjectSettings) -> str:
    """The model to ask: the project's own when the caller names none.

    Raises:
        GatewayError: `validation_error` for a model that the project does not allow.
    """
    if asked is None or asked in ("", "default"):
        return settings.provider_model
    # The name goes into headers and messages, and price tables match by prefix: no spaces, no control characters.
    if not isinstance(asked, str) or _MODEL.fullmatch(asked) is None:
        raise invalid(f"'model' must be a model's name: up to {MAX_MODEL} visible ASCII characters.", "model")
    allowed = settings.allowed_models
    if asked != settings.provider_model and allowed is not None and asked not in allowed:
        names = ", ".join(dict.fromkeys((settings.provider_model, *allowed)))
        raise invalid(f"This project does not allow model {asked!r}; it allows {names}.", "model")
    return asked


def instructions_before(messages: list[Message]) -> int:
    """How many messages of the system, the project's and the caller's, come before the first other one.

    >>> instructions_before([{"role": "system"}, {"role": "developer"}, {"role": "user"}, {"role": "system"}])
    2
    """
    return next((at for at, message in enumerate(messages) if message["role"] not in INSTRUCTIONS), len(messages))


def conversation_of(identified: Identified) -> Conversation | None:
    """Where a call is kept: in the thread that it names, or, where the project wants that, in its session."""
    call, caller, policy = identified.call, identified.caller, identified.policy
    settings = policy.settings
    if not settings.memory_enabled:
        return None
    kind: Kind = "thread"
    name = call.thread_id
    if name is None and settings.session_memory:
        kind, name = "session", call.session_id or caller.session_id
    if name is None:
        return None
    return Conversation(
        project_id=caller.project_id,
        user_id=caller.user_id,
        kind=kind,
        name=name,
        tier=policy.tier,
        window=settings.memory_window,
        with_tools=settings.store_tool_calls,
    )


def compose(identified: Identified, body: dict[str, Any]) -> Composed:
    """Check a decoded body and take out of it what the gateway decides itself.

    Raises:
        GatewayError: `validation_error`, naming the field.
    """
    settings = identified.policy.settings
    _check_messages(body.get("messages"))
    asked = body.pop("model", None)
    model = choose_model(asked, settings)
    stream = body.pop("stream", None)
    if stream is not None and not isinstance(stream, bool):
        raise invalid("'stream' must be true or false.", "stream")
    options: object = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid("'stream_options' must be an object.", "stream_options")
    stream_options = cast("dict[str, object]", options or {})
    limits = {name: value for name in _LIMITS if (value := _integer(body, name, MAX_OUTPUT_TOKENS)) is not None}
    choices = body.get("n")
    if choices is not None and (
        isinstance(choices, bool) or not isinstance(choices, int) or not 1 <= choices <= MAX_CHOICES
    ):
        raise invalid(f"'n' must be a whole number from 1 to {MAX_CHOICES}.", "n")
    if settings.system_prompt:
        prompt = {"role": "system", "content": settings.system_prompt}
        body["messages"] = [prompt, *cast("list[Any]", body["messages"])]
    return Composed(
        identified=identified,
        body=body,
        model=model,
        model_asked=asked if isinstance(asked, str) else "",
        stream=bool(stream),
        wants_usage=bool(stream_options.get("include_usage")),
        max_tokens=min(limits.values()) if limits else None,
        max_tokens_field=next(iter(limits), None),
        choices=choices or 1,
        conversation=conversation_of(identified),
    )
