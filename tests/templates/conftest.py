"""Templates as their users meet them: rendered by Copier into a fresh folder, and run from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from .rendering import export, render


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The templates as they lie here."""
    return export(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def fastapi_app(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`templates/fastapi`, rendered with every default. Tests leave it as it is."""
    return render(source, tmp_path_factory.mktemp("apps") / "my-chat", template="fastapi")
