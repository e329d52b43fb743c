"""What apps do with the `openai` SDK. Nothing but its address and its key is changed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

Config = dict[str, Any]

MODEL = "gpt-4o-mini"


def _settings(config: Config) -> dict[str, Any]:
    names = ("base_url", "api_key", "max_retries", "default_headers", "timeout")
    return {"timeout": 20.0, **{name: config[name] for name in names if name in config}}


def _messages(config: Config) -> Any:
    return config.get("messages") or [{"role": "user", "content": config.get("text", "Hello there")}]


def _asked(config: Config) -> dict[str, Any]:
    return {"model": MODEL, "messages": _messages(config), **config.get("fields", {})}


def _told(error: openai.APIError) -> dict[str, Any]:
    """What an app can learn from an error."""
    told: dict[str, Any] = {
        "class": type(error).__name__,
        "message": error.message,
        "code": error.code,
        "type": error.type,
        "param": error.param,
    }
    if isinstance(error, openai.APIStatusError):
        headers = error.response.headers
        told |= {
            "status": error.status_code,
            "request_id": error.request_id,
            "trace_id": headers.get("x-trace-id"),
            "retry_after": headers.get("retry-after"),
            "should_retry": headers.get("x-should-retry"),
            "body": error.body,
        }
    return told


def version(config: Config) -> str:
    """Which SDK this is."""
    return openai.__version__


def whole(config: Config) -> dict[str, Any]:
    """One answer as a whole."""
    with OpenAI(**_settings(config)) as client:
        completion = client.chat.completions.create(**_asked(config))
        return {**completion.model_dump(), "request_id": completion._request_id}


def stream(config: Config) -> list[dict[str, Any]]:
    """One answer, chunk by chunk."""
    with OpenAI(**_settings(config)) as client:
        return [chunk.model_dump() for chunk in client.chat.completions.create(stream=True, **_asked(config))]


async def whole_awaited(config: Config) -> list[str | None]:
    """Several answers at once."""
    async with AsyncOpenAI(**_settings(config)) as client:
        asked = [client.chat.completions.create(**_asked({**config, "text": text})) for text in config["texts"]]
        return [completion.choices[0].message.content for completion in await asyncio.gather(*asked)]


async def stream_awaited(config: Config) -> list[str]:
    """Several streams at once, their texts put together."""
    async with AsyncOpenAI(**_settings(config)) as client:

        async def read(text: str) -> str:
            chunks = await client.chat.completions.create(stream=True, **_asked({**config, "text": text}))
            return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

        return list(await asyncio.gather(*map(read, config["texts"])))


def abort(config: Config) -> str:
    """Read some of a stream, and close it."""
    text = ""
    with OpenAI(**_settings(config)) as client:
        chunks = client.chat.completions.create(stream=True, **_asked(config))
        for chunk in chunks:
            text += chunk.choices[0].delta.content or ""
            if len(text) >= config["enough"]:
                break
        chunks.close()
    return text


async def abort_awaited(config: Config) -> str:
    """Read some of a stream in a task, and cancel the task."""
    text = ""
    enough = asyncio.Event()
    async with AsyncOpenAI(**_settings(config)) as client:

        async def read() -> None:
            nonlocal text
            async with await client.chat.completions.create(stream=True, **_asked(config)) as chunks:
                async for chunk in chunks:
                    text += chunk.choices[0].delta.content or ""
                    if len(text) >= config["enough"]:
                        enough.set()

        task = asyncio.create_task(read())
        await asyncio.wait_for(enough.wait(), 20)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return text


def time_out(config: Config) -> str:
    """Wait less long than the answer takes."""
    with OpenAI(**_settings(config)) as client:
        try:
            client.chat.completions.create(**_asked(config))
        except openai.APITimeoutError as error:
            return type(error).__name__
    return "answered"


def raw(config: Config) -> dict[str, Any]:
    """An answer with its headers, in both of the SDK's ways."""
    with OpenAI(**_settings(config)) as client:
        first = client.chat.completions.with_raw_response.create(**_asked(config))
        with client.chat.completions.with_streaming_response.create(**_asked(config)) as second:
            later = second.parse()
        return {
            "headers": dict(first.headers),
            "text": first.parse().choices[0].message.content,
            "later_headers": dict(second.headers),
            "later_text": later.choices[0].message.content,
        }


def raw_stream(config: Config) -> dict[str, Any]:
    """A stream with its headers."""
    with OpenAI(**_settings(config)) as client:
        answer = client.chat.completions.with_raw_response.create(stream=True, **_asked(config))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer.parse() if chunk.choices)
        return {"headers": dict(answer.headers), "text": text}


def error(config: Config) -> dict[str, Any]:
    """What goes wrong, whole or streaming."""
    with OpenAI(**_settings(config)) as client:
        try:
            answer = client.chat.completions.create(stream=config.get("stream", False), **_asked(config))
            said = [chunk.model_dump() for chunk in answer] if config.get("stream") else answer
        except openai.APIError as problem:
            return _told(problem)
    raise AssertionError(f"nothing went wrong: {said}")


async def error_awaited(config: Config) -> dict[str, Any]:
    """The same with the awaiting client."""
    async with AsyncOpenAI(**_settings(config)) as client:
        try:
            await client.chat.completions.create(**_asked(config))
        except openai.APIError as problem:
            return _told(problem)
    raise AssertionError("nothing went wrong")


def broken_stream(config: Config) -> dict[str, Any]:
    """A stream that fails on its way: what came before, and what was raised."""
    text = ""
    with OpenAI(**_settings(config)) as client:
        try:
            for chunk in client.chat.completions.create(stream=True, **_asked(config)):
                text += chunk.choices[0].delta.content or ""
        except openai.APIError as problem:
            return {"text": text, "error": _told(problem)}
    raise AssertionError("nothing went wrong")


def streamed_tools(config: Config) -> dict[str, str]:
    """Tool calls of a stream, put together: name to arguments."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    with OpenAI(**_settings(config)) as client:
        for chunk in client.chat.completions.create(stream=True, **_asked(config)):
            for choice in chunk.choices:
                for call in choice.delta.tool_calls or ():
                    if call.function is not None:
                        names[call.index] = names.get(call.index, "") + (call.function.name or "")
                        arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    return {names[index]: arguments[index] for index in names}


def helper_stream(config: Config) -> dict[str, Any]:
    """The SDK's own way to follow a stream."""
    kinds: list[str] = []
    with (
        OpenAI(**_settings(config)) as client,
        client.chat.completions.stream(stream_options={"include_usage": True}, **_asked(config)) as events,
    ):
        kinds.extend(event.type for event in events)
        final = events.get_final_completion()
    return {"kinds": sorted(set(kinds)), "final": final.model_dump()}


class Weather(BaseModel):
    """What the model is asked to fill in."""

    city: str
    degrees: float


def parsed(config: Config) -> dict[str, Any]:
    """A structured answer."""
    with OpenAI(**_settings(config)) as client:
        completion = client.chat.completions.parse(response_format=Weather, **_asked(config))
        weather = completion.choices[0].message.parsed
        assert weather is not None
        return weather.model_dump()


def models(config: Config) -> list[dict[str, Any]]:
    """The models there are."""
    with OpenAI(**_settings(config)) as client:
        return [model.model_dump() for model in client.models.list()]


async def models_awaited(config: Config) -> list[str]:
    """The same with the awaiting client."""
    async with AsyncOpenAI(**_settings(config)) as client:
        return [model.id async for model in client.models.list()]


def requests_made(config: Config) -> dict[str, Any]:
    """An error, and how many requests the SDK made of it, retries included."""
    made: list[str] = []

    def note(request: httpx2.Request) -> None:
        made.append(request.headers["x-stainless-retry-count"])

    with (
        openai.DefaultHttpxClient(event_hooks={"request": [note]}) as http,
        OpenAI(**_settings(config), http_client=http) as client,
    ):
        try:
            completion = client.chat.completions.create(**_asked(config))
        except openai.APIStatusError as problem:
            return {"retries": made, "status": problem.status_code}
    return {"retries": made, "status": 200, "text": completion.choices[0].message.content}
