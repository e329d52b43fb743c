"""What the tests of the repository's shape share."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from .modules import hubs

Refused = Callable[[], list[str]]


@pytest.fixture
def refused() -> Generator[Refused]:
    """What the guard of the root's `conftest.py` has refused during this test, which is then forgotten."""
    log = Path(os.environ["NO_EGRESS_LOG"])

    def take() -> list[str]:
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    yield take
    take()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how near the largest hubs are to the limit, so that one sees it grow."""
    worst = ", ".join(f"{hub.name} {hub.size} ({hub.importers} in, {hub.imports} out)" for hub in hubs()[:3])
    terminalreporter.write_line(f"The largest hubs: {worst}")
