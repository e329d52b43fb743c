"""`behest new`: an app from the repository's templates."""

from __future__ import annotations

from pathlib import Path

import pytest
from behest_cli import scaffold

from .calling import Behest


def test_an_app_is_scaffolded_without_a_question(behest: Behest, tmp_path: Path) -> None:
    app = tmp_path / "my-shop"
    said = behest("new", str(app), "--defaults", "-d", "gateway_url=http://localhost:9999")
    files = {path.name for path in app.iterdir()}

    assert {"app.py", "README.md", ".env.example", "pyproject.toml"} <= files
    assert "BEHEST_BASE_URL=http://localhost:9999" in (app / ".env.example").read_text()
    assert 'name = "my-shop"' in (app / "pyproject.toml").read_text()
    assert str(app) in said.out


def test_the_sdk_comes_from_this_checkout(behest: Behest, tmp_path: Path) -> None:
    behest("new", str(tmp_path / "app"), "--defaults")
    root = scaffold.template_root()

    assert root is not None
    assert str(root / "packages" / "client") in (tmp_path / "app" / "pyproject.toml").read_text()


def test_a_folder_that_is_not_empty_is_left_alone_unless_forced(behest: Behest, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    refused = behest("new", str(tmp_path), "--defaults", code=1)
    kept = (tmp_path / "README.md").read_text()
    behest("new", str(tmp_path), "--defaults", "--force", "-d", "project_name=x")

    assert "is not empty" in refused.err
    assert (kept, (tmp_path / "README.md").read_text() == "mine") == ("mine", False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Where to?"),
        (["app", "-d", "auth"], "Not KEY=VALUE"),
        (["app", "--template", "cobol"], "cobol"),
        (["app", "--source", "."], "not a Behest checkout"),
    ],
)
def test_what_cannot_be_scaffolded_is_said(
    behest: Behest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = behest("new", *arguments, "--defaults", code=2)

    assert message in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []
