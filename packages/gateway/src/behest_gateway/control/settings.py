"""A project's settings, read strictly: an unknown name or a value out of range is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, cast

from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.snapshot import ProjectSettings

MAX_RPM = 1_000_000
MAX_TPM = 1_000_000_000
MAX_CONCURRENT = 100_000
MAX_OUTPUT_TOKENS = 1_000_000
MAX_QUOTA = 10**15
"""The largest limit in tokens or requests."""

MAX_SYSTEM_PROMPT = 65_536
MAX_MEMORY_WINDOW = 1_000
MAX_RETENTION_DAYS = 36_500
MAX_MODEL = 200
MAX_LIST = 200

_NAMES = tuple(field.name for field in fields(ProjectSettings))
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def settings_json(settings: ProjectSettings) -> dict[str, Any]:
    """Show settings as the management API does."""
    shown = asdict(settings)
    return {name: list(cast("tuple[str, ...]", v)) if isinstance(v, tuple) else v for name, v in shown.items()}


def changed_settings(before: ProjectSettings, after: ProjectSettings) -> list[str]:
    """The names of the settings that differ.

    >>> changed_settings(ProjectSettings(), ProjectSettings(rpm_limit=7))
    ['rpm_limit']
    """
    return [name for name in _NAMES if getattr(before, name) != getattr(after, name)]


def read_settings(given: Mapping[str, object], base: ProjectSettings) -> ProjectSettings:
    """Lay what was given over other settings.

    Args:
        given: Some settings by name.
        base: Where the others come from.

    Raises:
        GatewayError: 400; `param` names the setting at fault.

    >>> read_settings({"rpm_limit": 120}, ProjectSettings()).effective_user_rpm
    12
    """
    changes: dict[str, Any] = {}
    for name, value in given.items():
        match name:
            case "provider_model":
                changes[name] = _model(value, name)
            case "allowed_models":
                changes[name] = None if value is None else tuple(_model(item, name) for item in _list(value, name))
            case "allowed_origins":
                changes[name] = tuple(dict.fromkeys(_origin(item) for item in _list(value, name)))
            case "rpm_limit":
                changes[name] = _whole(value, name, MAX_RPM)
            case "user_rpm_limit" | "key_rpm_limit":
                changes[name] = None if value is None else _whole(value, name, MAX_RPM)
            case "tpm_limit" | "user_tpm_limit" | "key_tpm_limit":
                changes[name] = None if value is None else _whole(value, name, MAX_TPM)
            case "max_concurrent" | "user_max_concurrent" | "key_max_concurrent":
                changes[name] = None if value is None else _whole(value, name, MAX_CONCURRENT)
            case "user_requests_per_day" | "user_tokens_per_day" | "user_tokens_per_month":
                changes[name] = None if value is None else _whole(value, name, MAX_QUOTA)
            case "max_output_tokens" | "min_output_tokens":
                changes[name] = _whole(value, name, MAX_OUTPUT_TOKENS)
            case "memory_window":
                changes[name] = _whole(value, name, MAX_MEMORY_WINDOW, least=0)
            case "retention_days":
                changes[name] = _whole(value, name, MAX_RETENTION_DAYS, least=0)
            case "memory_enabled" | "store_tool_calls" | "session_memory":
                if not isinstance(value, bool):
                    raise invalid(f"{name} is true or false", name)
                changes[name] = value
            case "system_prompt":
                changes[name] = _prompt(value)
            case _:
                raise invalid(f"unknown setting {name[:100]!r}; the settings are {', '.join(_NAMES)}", name[:100])
    merged = replace(base, **changes)
    if merged.min_output_tokens > merged.max_output_tokens:
        raise invalid("min_output_tokens must not be above max_output_tokens", "min_output_tokens")
    return merged


def _whole(value: object, name: str, most: int, *, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid(f"{name} is a whole number from {least} to {most}", name)
    return value


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, (list, tuple)):
        raise invalid(f"{name} is a list", name)
    items = list(cast("list[object]", value))
    if len(items) > MAX_LIST:
        raise invalid(f"{name} has at most {MAX_LIST} entries", name)
    return items


def _model(value: object, name: str) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_MODEL:
        raise invalid(f"{name}: a model's name has 1 to {MAX_MODEL} characters", name)
    if not value.isprintable() or any(c.isspace() for c in value):
        raise invalid(f"{name}: a model's name has no spaces", name)
    return value


def _prompt(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_SYSTEM_PROMPT:
        raise invalid(f"system_prompt is a text of at most {MAX_SYSTEM_PROMPT} characters, or null", "system_prompt")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid("system_prompt is not valid Unicode", "system_prompt") from None
    return value


def _origin(value: object) -> str:
    hint = "an origin is scheme://host[:port] as a browser sends it, such as https://app.example.com"
    if not isinstance(value, str) or len(value) > 300:
        raise _bad_origin(value, hint)
    if "*" in value:
        raise _bad_origin(value, "wildcards are not allowed; list each origin")
    if value.endswith("/"):
        raise _bad_origin(value, "leave the trailing slash out")
    if value != value.lower():
        raise _bad_origin(value, "write it in lower case, as browsers send it")
    match = _ORIGIN.fullmatch(value)
    if match is None or int(match["port"] or 1) > 65_535:
        raise _bad_origin(value, hint)
    if match["port"] is not None and _DEFAULT_PORTS.get(match["scheme"]) == match["port"]:
        raise _bad_origin(value, f"leave :{match['port']} out, as browsers do")
    return value


def _bad_origin(value: object, why: str) -> GatewayError:
    return invalid(f"allowed_origins: {str(value)[:100]!r} cannot match; {why}", "allowed_origins")
