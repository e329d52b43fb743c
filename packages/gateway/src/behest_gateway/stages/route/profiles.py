"""What is peculiar about models, as data. The first prefix that fits wins."""

from __future__ import annotations

from behest_gateway.core.exchange import Profile

_REASONING = Profile(max_tokens_field="max_completion_tokens", hides_output=True)
_THINKING = Profile(hides_output=True)
_PLAIN = Profile()

_BY_PREFIX: tuple[tuple[str, Profile], ...] = (
    ("o1", _REASONING),
    ("o3", _REASONING),
    ("o4", _REASONING),
    ("gpt-5", _REASONING),
    ("gpt-6", _REASONING),
    ("gemini", _THINKING),
    ("grok", _THINKING),
)


def profile_of(model: str) -> Profile:
    """The profile of a model by its name, with or without a vendor before a slash.

    >>> profile_of("gpt-5-mini").max_tokens_field
    'max_completion_tokens'
    """
    name = model.rsplit("/", 1)[-1].lower()
    found = next((profile for prefix, profile in _BY_PREFIX if name.startswith(prefix)), _PLAIN)
    if "search" in name or "deep-research" in name:
        return Profile(max_tokens_field=found.max_tokens_field, hides_output=True, searches=True)
    return found
