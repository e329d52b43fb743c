"""Every test of this repository stays on this machine: what would leave it is refused, and fails the test.

The guard is `tests/architecture/egress/sitecustomize.py`. It holds in pytest itself and in each Python that a test
starts; what other programs do (a browser, nginx) is theirs to be told.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

GUARD = Path(__file__).parent / "tests" / "architecture" / "egress" / "sitecustomize.py"
LOG = Path(tempfile.gettempdir()) / f"no-egress-{os.getpid()}.log"


def pytest_configure() -> None:
    """Begin to guard, before any test is collected."""
    os.environ["NO_EGRESS_LOG"] = str(LOG)
    others = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(GUARD.parent), *others]))
    spec = importlib.util.spec_from_file_location("egress_guard", GUARD)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018  (for the type checker)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None]:
    """Fail the test during which anything tried to leave, also when the program that tried it caught the refusal."""
    yield
    if LOG.exists():
        said = LOG.read_text(encoding="utf-8", errors="replace")
        LOG.unlink(missing_ok=True)
        pytest.fail(f"While this test ran, something tried to leave this machine:\n{said}", pytrace=False)


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    LOG.unlink(missing_ok=True)
