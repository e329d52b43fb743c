"""A framework that is not installed is asked for by the name of the extra that brings it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Generator[None]:
    """Import a framework within this block.

    Raises:
        ImportError: It is missing; the message names the extra.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        raise ImportError(
            f"behest_auth.{extra} needs {problem.name}: install it with pip install 'behest-auth[{extra}]'.",
            name=problem.name,
        ) from problem
