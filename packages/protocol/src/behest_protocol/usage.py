"""What a provider says that one call used, in tokens.

The OpenAI dialect counts cached tokens inside `prompt_tokens` and reasoning tokens inside `completion_tokens`.
`Usage` keeps that convention: `cached_read` is a part of `input`, `reasoning` a part of `output`. Some providers that
speak the dialect leave reasoning out of `completion_tokens`, though they bill it; their `total_tokens` has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

MAX_TOKENS = 1_000_000_000
"""A count above this is nonsense; the usage is then treated as unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one provider call; every part is included in its whole."""

    input: int = 0
    output: int = 0
    cached_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0


def _object(value: object) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _count(source: dict[str, Any], name: str) -> int:
    value: object = source.get(name, 0)
    if type(value) is int and 0 <= value <= MAX_TOKENS:  # a boolean is another type
        return value
    if value is None:
        return 0
    raise ValueError(f"{name} is not a token count: {value!r}")


def usage_from_openai(raw: object) -> Usage | None:
    """Read the `usage` object of a chat completion.

    Args:
        raw: The decoded JSON value.

    Returns:
        The usage, or None when it is missing, not an object, or contradicts itself; the caller then settles for the
        worst case, never for zero.

    >>> usage_from_openai({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
    Usage(input=9, output=2, cached_read=0, cache_write=0, reasoning=0, audio_input=0, audio_output=0)
    >>> usage_from_openai({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}).output
    603
    >>> usage_from_openai({"prompt_tokens": -1, "completion_tokens": 2}) is None
    True
    """
    whole = _object(raw)
    if whole is None or "prompt_tokens" not in whole or "completion_tokens" not in whole:
        return None
    into = _object(whole.get("prompt_tokens_details") or {})
    out = _object(whole.get("completion_tokens_details") or {})
    if into is None or out is None:
        return None
    try:
        prompt, completion = _count(whole, "prompt_tokens"), _count(whole, "completion_tokens")
        usage = Usage(
            input=prompt,
            output=max(completion, _count(whole, "total_tokens") - prompt),
            cached_read=_count(into, "cached_tokens"),
            cache_write=_count(into, "cache_write_tokens"),
            reasoning=_count(out, "reasoning_tokens"),
            audio_input=_count(into, "audio_tokens"),
            audio_output=_count(out, "audio_tokens"),
        )
    except ValueError:
        return None
    parts_fit = usage.cached_read + usage.cache_write <= usage.input and usage.audio_input <= usage.input
    if not parts_fit or max(usage.reasoning, usage.audio_output) > usage.output:
        return None
    return usage
