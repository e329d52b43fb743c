"""What users can import is what is listed, and all that was published is there."""

from __future__ import annotations

import importlib.metadata
import inspect
from pathlib import Path

import behest
from behest import AsyncBehest, AsyncBehestUser, Behest, BehestUser

PUBLISHED = {
    "__version__",
    "sign_behest_jwt",
    *("Behest", "AuthModule", "ChatModule", "ThreadsModule", "UsageModule"),
    *("MintOptions", "MintResult", "ResolvedConfig"),
    *("BehestError", "BehestAuthError", "BehestBadRequestError", "BehestConfigError"),
    *("BehestQuotaError", "BehestRateLimitError", "BehestServerError"),
    *("classify_http_error", "detect_mode", "resolve_config", "generate_session_id", "decode_token"),
}
"""The names of 1.5.0b1, but for its subclasses of `openai.OpenAI` and their errors."""


def test_what_is_listed_is_what_is_there() -> None:
    there = {name for name, value in vars(behest).items() if not name.startswith("_") and not inspect.ismodule(value)}

    assert set(behest.__all__) == (there | {"__version__"}) - {"annotations"}
    assert list(behest.__all__) == sorted(behest.__all__)


def test_whatever_was_published_is_still_there() -> None:
    assert set(behest.__all__) >= PUBLISHED


def test_the_version_is_the_distributions() -> None:
    assert behest.__version__ == importlib.metadata.version("behest-ai")


def test_type_checkers_are_told_that_there_are_types() -> None:
    assert (Path(behest.__file__).parent / "py.typed").is_file()


def _surface(cls: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") and name != "aclose"
    }


def test_the_two_clients_have_one_surface() -> None:
    assert _surface(Behest) == _surface(AsyncBehest)
    assert _surface(BehestUser) == _surface(AsyncBehestUser)
