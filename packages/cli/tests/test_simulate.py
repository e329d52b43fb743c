"""`behest simulate` replays the ledger beside the running gateway, and says who would have been refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .calling import Behest


@pytest.fixture
def books(server: Behest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the running gateway, after three calls of two users."""
    for user in ("ada", "ada", "bob"):
        server("chat", "Say hello", "--user", user)
    folders = [folder for folder in tmp_path_factory.getbasetemp().glob("dev*") if not folder.is_symlink()]
    (found,) = (path for folder in folders for path in folder.glob("gateway/behest.db"))
    return found.parent


def test_it_is_said_who_would_have_been_refused(behest: Behest, books: Path, project: dict[str, Any]) -> None:
    cap = "each_user:day:requests:1"
    asked = ("simulate", "--data-dir", str(books), "--project", project["slug"], "--budget", cap)
    found = behest(*asked, "--json").json
    shown = behest(*asked).out

    assert (found["calls"], found["refused"]) == (3, 1)
    assert [(each["user_id"], each["times"], each["caps"]) for each in found["users"]] == [("ada", 1, [cap])]
    assert 0 < found["after_nano"] < found["before_nano"] == found["repriced_nano"]
    assert [text in shown for text in ("Refused user", "ada", cap, "without what is refused")] == [True] * 4
    assert "bob" not in shown


def test_other_prices_and_models_are_named(behest: Behest, books: Path, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"house": {"input_mtok": 0, "output_mtok": 0}}')
    said = behest("simulate", "--data-dir", str(books), "--prices", str(prices), "--model", "gpt-4o-mini=house").out

    assert "house" in said
    assert "$0 at these prices" in said


def test_a_wrong_option_is_refused_with_how_it_is_written(behest: Behest, books: Path) -> None:
    said = behest("simulate", "--data-dir", str(books), "--budget", "5 dollars", code=2).err

    assert "must be SCOPE:WINDOW:UNIT:LIMIT" in said
    assert "behest simulate --help" in said


def test_a_folder_without_books_is_refused(behest: Behest, tmp_path: Path) -> None:
    assert "There is no ledger in" in behest("simulate", "--data-dir", str(tmp_path), code=1).err


def test_a_span_without_calls_is_said_to_be_empty(behest: Behest, books: Path) -> None:
    said = behest("simulate", "--data-dir", str(books), "--to", "2020-01-01")

    assert (said.out, "nothing of that time" in said.err) == ("", True)
