"""The one error that a command ends with: what went wrong, and what to do next."""

from __future__ import annotations


class CliError(Exception):
    """Something that the person at the terminal can act on.

    Attributes:
        message: What went wrong, without secrets.
        hint: The next step, or None where the message says it.
        exit_code: 1 when the gateway or the machine refused, 2 when the command was given wrongly.

    >>> str(CliError("No such key.", hint="List them with `behest key list`."))
    'No such key.'
    """

    def __init__(self, message: str, *, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class UsageError(CliError):
    """The command lacks something, or was given something that cannot be right."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, exit_code=2)


def no_gateway_at(base_url: str) -> CliError:
    """Say that nothing answers at an address, and how something would."""
    return CliError(
        f"No gateway answers at {base_url}.",
        hint="Start one with `behest gateway` or `behest dev`, or say where it is with --base-url or BEHEST_BASE_URL.",
    )
