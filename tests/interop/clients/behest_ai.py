"""What apps do with `behest-ai` 1.5.0b1. It is synchronous and returns plain dicts."""

from __future__ import annotations

import base64
import importlib.metadata
import os
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import behest
import openai
from behest import Behest

Config = dict[str, Any]

BEFORE: Any = behest
"""The same module, for what only the published one has: this repository's own SDK dropped its oldest clients."""

NAMES = (
    "key", "base_url", "tenant_id", "project_id", "kid", "default_user_id", "tier", "ttl", "issuer", "audience",
)  # fmt: skip


def _client(config: Config) -> Any:
    return Behest(**{name: config[name] for name in NAMES if name in config})


def _asked(config: Config) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": config.get("text", "Hello there")}], **config.get("fields", {})}


def _told(error: Any) -> dict[str, Any]:
    """What an app can learn from an error."""
    told = {
        "class": type(error).__name__,
        "message": str(error),
        "status": error.status,
        "code": error.code,
        "trace_id": error.trace_id,
        "raw": error.raw,
    }
    if isinstance(error, behest.BehestRateLimitError):
        told["retry_after"] = error.retry_after
    return told


def _caught(step: Callable[[], object]) -> dict[str, Any]:
    try:
        value = step()
    except behest.BehestError as error:
        return _told(error)
    raise AssertionError(f"nothing went wrong: {value!r}")


def version(config: Config) -> dict[str, str]:
    """Which SDK this is, and where it lies."""
    return {
        "version": behest.__version__,
        "distribution": importlib.metadata.version("behest-ai"),
        "file": behest.__file__ or "",
    }


def mode(config: Config) -> str:
    """How the SDK reads the key."""
    found: str = _client(config).mode
    return found


def mint(config: Config) -> dict[str, Any]:
    """Mint a token, and say what is in it."""
    client = _client(config)
    minted = client.auth.mint(**config.get("mint", {}))
    return {
        "token": minted.token,
        "session_id": minted.session_id,
        "last_session_id": client.auth.last_session_id,
        "ttl": minted.ttl,
        "expires_at": minted.expires_at,
        "claims": behest.decode_token(minted.token),
    }


def mint_old(config: Config) -> dict[str, Any]:
    """The deprecated way to mint."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        minted: dict[str, Any] = _client(config).mint_token(userId=config["user_id"], sessionId="s-old")
    return minted


def whole(config: Config) -> dict[str, Any]:
    """One answer as a whole."""
    completion: dict[str, Any] = _client(config).chat.completions.create(**_asked(config))
    return completion


def stream(config: Config) -> list[dict[str, Any]]:
    """One answer, chunk by chunk."""
    return list(_client(config).chat.completions.create(stream=True, **_asked(config)))


def abort(config: Config) -> str:
    """Read some of a stream, and let go of it."""
    text = ""
    chunks = _client(config).chat.completions.create(stream=True, **_asked(config))
    for chunk in chunks:
        text += chunk["choices"][0]["delta"].get("content") or ""
        if len(text) >= config["enough"]:
            break
    chunks.close()
    return text


def conversation(config: Config) -> list[str]:
    """One token for several calls, as a backend does that mints once."""
    client = _client(config)
    minted = client.auth.mint(**config["mint"])
    said = []
    for text in config["texts"]:
        asked = _asked({**config, "text": text})
        completion = client.chat.completions.create(token=minted.token, session_id=minted.session_id, **asked)
        said.append(completion["choices"][0]["message"]["content"])
    return said


def threads(config: Config) -> dict[str, Any]:
    """Look at a thread in every way, and delete it."""
    client = _client(config)
    name = config["thread"]
    listed = client.threads.list()
    found = client.threads.get(name)
    messages = client.threads.messages(name)
    deleted = client.threads.delete(name)
    return {"listed": listed, "found": found, "messages": messages, "deleted": deleted, "left": client.threads.list()}


def thread_error(config: Config) -> dict[str, Any]:
    """What goes wrong in looking at a thread."""
    return _caught(lambda: _client(config).threads.messages(config["thread"]))


def usage(config: Config) -> dict[str, Any]:
    """What was used; times are given with a time zone, as Python code does."""
    asked = dict(config.get("usage", {}))
    for name in ("from_", "to"):
        if name in asked:
            asked[name] = datetime.fromisoformat(asked[name])
    found: dict[str, Any] = _client(config).usage.get(**asked)
    return found


def usage_error(config: Config) -> dict[str, Any]:
    """What goes wrong in asking for usage."""
    return _caught(lambda: _client(config).usage.get(**config.get("usage", {})))


def mint_error(config: Config) -> dict[str, Any]:
    """What goes wrong in minting."""
    return _caught(lambda: _client(config).auth.mint(**config.get("mint", {})))


def chat_error(config: Config) -> dict[str, Any]:
    """What goes wrong in asking."""
    return _caught(lambda: _client(config).chat.completions.create(**_asked(config)))


def stream_error(config: Config) -> dict[str, Any]:
    """What goes wrong in asking for a stream: it is raised with the first chunk."""
    return _caught(lambda: list(_client(config).chat.completions.create(stream=True, **_asked(config))))


def config_error(config: Config) -> dict[str, Any]:
    """What goes wrong before anything is sent."""
    return _caught(lambda: _client(config))


@contextmanager
def _environment(variables: dict[str, str]) -> Generator[None]:
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def from_environment(config: Config) -> dict[str, Any]:
    """Everything read from the environment, and nothing from code."""
    with _environment(config["environment"]):
        client = Behest()
        text = client.chat.completions.create(**_asked(config))["choices"][0]["message"]["content"]
    return {"mode": client.mode, "text": text}


def encodings(config: Config) -> dict[str, Any]:
    """A private key in the ways that this SDK reads, each of which signs a token that is used."""
    pem: str = config["pem"]
    found: dict[str, Any] = {}
    for name, key in (("prefixed", f"behest_pk_{pem}"), ("base64", base64.b64encode(pem.encode()).decode())):
        completion = _client({**config, "key": key}).chat.completions.create(**_asked(config))
        found[name] = completion["choices"][0]["message"]["content"]
    return found


# The clients of before, which the distribution still has


def signing_client(config: Config) -> dict[str, Any]:
    """An OpenAI client that signs for itself."""
    with BEFORE.BehestSigningClient(
        signing_key_pem=config["pem"],
        key_id=config["kid"],
        tenant_id=config["tenant_id"],
        project_id=config["project_id"],
        base_url=config["base_url"],
        default_user_id=config["user_id"],
        max_retries=0,
    ) as client:
        asked: Any = {"model": "gpt-4o-mini", **_asked(config)}
        completion = client.chat.completions.create(**asked)
        chunks = client.chat.completions.create(stream=True, **asked)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    return {"whole": completion.choices[0].message.content, "streamed": streamed}


def key_client(config: Config) -> dict[str, Any]:
    """An OpenAI client with an API key as its bearer."""
    with BEFORE.BehestClient(
        api_key=config["key"], base_url=config["base_url"], end_user_id="u_1", max_retries=0
    ) as client:
        asked: Any = {"model": "gpt-4o-mini", **_asked(config)}
        try:
            client.chat.completions.create(**asked)
        except openai.APIStatusError as error:
            parsed = BEFORE.errors.parse_error_response(error.response)
            return {
                "class": type(error).__name__,
                "message": error.message,
                "old_class": type(parsed).__name__,
                "old_message": str(parsed),
                "old_code": parsed.code,
                "old_request_id": parsed.request_id,
            }
    raise AssertionError("nothing went wrong")
