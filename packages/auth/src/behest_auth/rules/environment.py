"""Settings from the environment, by the providers' own names."""

from __future__ import annotations

import os

from ..errors import ConfigError


def required(*names: str, example: str) -> str:
    """The first of some variables that is set.

    Raises:
        ConfigError: None is; the message names them.
    """
    value = optional(*names)
    if value is None:
        raise ConfigError(f"set {' or '.join(names)}, for example {names[0]}={example}.")
    return value


def optional(*names: str) -> str | None:
    """The first of some variables that is set, or None."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)


def listed(value: str) -> tuple[str, ...]:
    """The parts of a list that is written with commas.

    >>> listed("https://a.example, https://b.example")
    ('https://a.example', 'https://b.example')
    """
    return tuple(part.strip() for part in value.split(",") if part.strip())
