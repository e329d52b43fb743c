"""Every option of the gateway: its name, its type, its default and a sentence. Read once, in `app.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from behest_protocol.claims import ISSUERS

from behest_gateway.stages.door.addresses import networks_of

PREFIX = "BEHEST_GATEWAY_"

_TRUE = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class SettingsError(Exception):
    """An option has a value that cannot be used; the message names it."""


def _option(default: Any, help_text: str, variable: str | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "variable": variable})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The gateway's options. Each is read from `BEHEST_GATEWAY_<NAME>`, unless its help names another variable."""

    host: str = _option("127.0.0.1", "The address to listen on.")
    port: int = _option(8080, "The port to listen on; 0 takes any that is free.")
    data_dir: Path = _option(Path(".behest/gateway"), "Where state is kept. One gateway uses it at a time.")
    base_domain: str = _option("localhost", "A host {slug}.{base_domain} serves the project of that slug.")
    issuer: str = _option(ISSUERS[0], "The issuer that minted tokens name.")
    max_body_bytes: int = _option(8 * 1024 * 1024, "The largest request body that is accepted.")
    ip_rpm_limit: int = _option(
        120, "Requests a minute of one client address whose token is not known yet; 0 is no limit."
    )
    trusted_proxies: str | None = _option(
        None, "Proxies whose `X-Forwarded-For` is believed: addresses or networks, separated by commas."
    )
    body_timeout: float = _option(30.0, "Seconds in which a request body must arrive.")
    openai_base_url: str = _option("https://api.openai.com/v1", "The OpenAI-compatible provider to ask.")
    openai_api_key: str | None = _option(None, "The key for that provider.")
    price_overrides: Path | None = _option(None, "A JSON file of your own prices by model, in USD per million tokens.")
    upstream_connect_timeout: float = _option(10.0, "Seconds to reach the provider.")
    upstream_timeout: float = _option(600.0, "Seconds that a whole answer may take.")
    upstream_idle_timeout: float = _option(60.0, "Seconds that the provider may stay silent.")
    synchronous: str = _option("normal", "`normal` survives the gateway's death, `full` also a power cut.")
    shutdown_seconds: int = _option(10, "Seconds that running requests get when the gateway is asked to stop.")
    access_log: bool = _option(False, "Write one line for each request to standard error.")
    plan_allowances: bool = _option(False, "Limit a tenant's tokens a month by its plan, as published.")
    encrypt_threads: bool = _option(False, "Seal the messages of threads and sessions in the database.")
    webhooks_allow_private: bool = _option(
        False, "Send webhooks to private addresses and without TLS too; for development and tests."
    )
    admin_token: str | None = _option(
        None, "The operator's secret; one is made at the first start when it is absent.", "BEHEST_ADMIN_TOKEN"
    )
    encryption_key: str | None = _option(
        None,
        "64 hex digits that seal private keys; otherwise a file in the data directory does.",
        "PROVIDER_ENCRYPTION_KEY",
    )


def variable_of(name: str) -> str:
    """The environment variable of an option."""
    option = next(f for f in fields(Settings) if f.name == name)
    return option.metadata["variable"] or PREFIX + name.upper()


def _parse(kind: str, text: str) -> Any:
    if kind.startswith("int"):
        return int(text)
    if kind.startswith("float"):
        return float(text)
    if kind.startswith("bool"):
        return _TRUE[text.lower()]
    return Path(text).expanduser() if kind.startswith("Path") else text


def read_settings(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Read the options from the environment; `overrides` win when they are not None.

    Raises:
        SettingsError: A value cannot be used, or a variable with the prefix is of no option.
    """
    values: dict[str, Any] = {}
    known: set[str] = set()
    for option in fields(Settings):
        variable = variable_of(option.name)
        known.add(variable)
        text = environ.get(variable, "").strip()
        if text:
            try:
                values[option.name] = _parse(str(option.type), text)
            except (ValueError, KeyError):
                raise SettingsError(f"{variable} has a value that cannot be used: {option.metadata['help']}") from None
        elif option.default is MISSING:
            raise SettingsError(f"{variable} is missing: {option.metadata['help']}")
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: there is no such option. See docs/reference/settings.md.")
    values |= {name: value for name, value in overrides.items() if value is not None}
    settings = Settings(**values)
    if settings.synchronous not in ("normal", "full"):
        raise SettingsError(f"{variable_of('synchronous')} must be normal or full")
    if settings.ip_rpm_limit < 0:
        raise SettingsError(f"{variable_of('ip_rpm_limit')} must be 0 or more")
    try:
        networks_of(settings.trusted_proxies or "")
    except ValueError as error:
        raise SettingsError(f"{variable_of('trusted_proxies')}: {error}") from None
    if not settings.openai_base_url.startswith(("http://", "https://")):
        raise SettingsError(f"{variable_of('openai_base_url')} must begin with http:// or https://")
    return settings
