"""Whether the `openai` package is there, and new enough."""

from __future__ import annotations

from ._errors import BehestConfigError

FIRST_VERSION = (1, 106)
"""The first version that asks a function for its key before each request."""


def check_openai() -> None:
    """Make sure that a fitting `openai` package is there.

    Raises:
        BehestConfigError: It is missing or too old (`missing_package`).
    """
    try:
        import openai
    except ImportError:
        raise _missing("is not installed") from None
    version = tuple(int(part) for part in openai.__version__.split(".")[:2] if part.isdigit())
    if version < FIRST_VERSION:
        raise _missing(f"is version {openai.__version__}")


def _missing(state: str) -> BehestConfigError:
    needed = ".".join(str(part) for part in FIRST_VERSION)
    return BehestConfigError(
        f"openai() needs the openai package, {needed} or newer, which {state}: pip install 'openai>={needed}'",
        code="missing_package",
    )
