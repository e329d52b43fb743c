"""What every subject of a measurement has in common."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

CHAT = "/v1/chat/completions"


class CannotRunError(Exception):
    """A subject cannot run on this machine; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where subjects run.

    Attributes:
        core: The core that the subject has for itself.
        upstream: The port of the mock provider.
        scratch: A folder for this run.
        environments: A folder that is kept, for what is installed.
        say: Prints a line of progress.
    """

    core: int
    upstream: int
    scratch: Path
    environments: Path
    say: Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Running:
    """A subject that runs.

    Attributes:
        process: Its first process; the descendants count too.
        headers: The fields that requests have in turn.
        versions: What it is, for the report.
        warm_seconds, warm_requests: How long it is driven before the first measurement, and how many answers that
            takes at least.
        window: How much longer than the others it is measured when it is driven as fast as it goes.
        rate, paced_rate: JSON requests and paced streams a second that are well within what it can do.
        answered: Right answers in all, counted by the load generator.
        wrong: Answers that were not right.
        audit: Compares `answered` with its books, if it keeps any; returns a sentence.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    versions: str
    headers: list[dict[str, str]] = field(default_factory=lambda: [{"Authorization": "Bearer sk-mock"}])
    path: str = CHAT
    warm_seconds: float = 0.5
    warm_requests: int = 0
    window: float = 1.0
    rate: float = 500.0
    paced_rate: float = 50.0
    answered: int = 0
    wrong: int = 0
    first_wrong: str = ""
    audit: Callable[[Running], str] | None = None


Starter = Callable[[Place], AbstractContextManager[Running]]
"""Runs a subject for a while, or raises `CannotRunError` or `processes.StartError`."""
