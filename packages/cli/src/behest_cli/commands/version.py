"""`behest version`: which release this is."""

from __future__ import annotations

import json as json_module
import platform
from typing import Annotated

import typer

from behest_cli import render


def version(json: Annotated[bool, typer.Option("--json", help="Print the versions as JSON.")] = False) -> None:
    """Show the versions of Behest's packages and of Python."""
    from importlib.metadata import version as installed

    packages = ("behest-cli", "behest-gateway", "behest-ai", "behest-protocol", "behest-fakes")
    versions = {name: installed(name) for name in packages} | {"python": platform.python_version()}
    if json:
        render.line(json_module.dumps(versions))
        return
    render.fields(versions)
