"""`behest gateway`: the gateway in this process, its settings given as options or as `BEHEST_GATEWAY_*`.

The options are read off `behest_gateway.settings.Settings`, so that each setting has one name, one default and one
sentence. Secrets have none, because every user of a machine can read its command lines.
"""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer
from behest_gateway.settings import Settings, variable_of

SECRETS = frozenset({"admin_token", "encryption_key", "openai_api_key"})
KINDS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "Path": Path}


def gateway(*, json: bool, **settings: Any) -> None:
    """Run a gateway until Ctrl-C. The first start in an empty data directory prints the operator's secret, once.

    Secrets come from the environment: BEHEST_ADMIN_TOKEN, PROVIDER_ENCRYPTION_KEY, and the provider's key as
    BEHEST_GATEWAY_OPENAI_API_KEY, or as OPENAI_API_KEY when the provider is OpenAI itself.
    """
    given = {variable_of(name): str(value) for name, value in settings.items() if value is not None}
    os.environ.update(given)
    # The bare name belongs to OpenAI; it is never sent to a provider that was named by an address.
    openai_key = os.environ.get("OPENAI_API_KEY")
    named = (variable_of("openai_base_url"), variable_of("openai_api_key"))
    if openai_key and not any(os.environ.get(name) for name in named):
        os.environ[variable_of("openai_api_key")] = openai_key
    run_module("behest_gateway", ["--json"] if json else [])


def run_module(module: str, arguments: list[str]) -> None:
    """Become `python -m MODULE`, in this process."""
    import runpy

    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _parameter(setting: Field[Any]) -> inspect.Parameter:
    kind = KINDS[str(setting.type).removesuffix(" | None")]
    default = "" if setting.default is None else f" Default: {setting.default}"
    option = typer.Option(
        f"--{setting.name.replace('_', '-')}" + (f"/--no-{setting.name.replace('_', '-')}" if kind is bool else ""),
        envvar=variable_of(setting.name),
        help=setting.metadata["help"] + default,
        show_default=False,
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


_JSON = inspect.Parameter(
    "json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--json", help="Print one line of JSON when it accepts requests.")],
)
_PARAMETERS = [*(_parameter(setting) for setting in fields(Settings) if setting.name not in SECRETS), _JSON]
gateway.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
gateway.__annotations__ = {given.name: given.annotation for given in _PARAMETERS} | {"return": None}
