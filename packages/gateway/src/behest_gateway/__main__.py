"""`python -m behest_gateway`: serve with the options of the environment."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields

from behest_gateway.adapters.prices import PriceFileError
from behest_gateway.adapters.sql.database import DatabaseError
from behest_gateway.adapters.vault import VaultError
from behest_gateway.control.operators import OperatorSecretError
from behest_gateway.serving import StartError, serve
from behest_gateway.settings import Settings, SettingsError, read_settings, variable_of


def _options() -> str:
    lines = [
        f"  {variable_of(option.name)} (default {option.default}): {option.metadata['help']}"
        for option in fields(Settings)
    ]
    return "Options are read from the environment:\n" + "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal says stop; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="behest-gateway",
        description="Serve the Behest gateway.",
        epilog=_options(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON when requests are taken")
    parsed = parser.parse_args(arguments)
    try:
        serve(read_settings(os.environ), as_json=parsed.json)
    except (SettingsError, StartError, DatabaseError, VaultError, PriceFileError, OperatorSecretError) as problem:
        sys.stderr.write(f"behest gateway: {problem}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
