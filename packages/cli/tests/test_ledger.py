"""`behest ledger verify` reads the books beside the running gateway, and its exit code says whether they are right."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from .calling import Behest


@pytest.fixture
def books(server: Behest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the running gateway, with a row at least."""
    server("chat", "Say hello", "--user", "ada")
    folders = [folder for folder in tmp_path_factory.getbasetemp().glob("dev*") if not folder.is_symlink()]
    (found,) = (path for folder in folders for path in folder.glob("gateway/behest.db"))
    return found.parent


def test_the_books_of_a_running_gateway_are_right(behest: Behest, books: Path) -> None:
    table = behest("ledger", "verify", "--data-dir", str(books)).out
    audit = behest("ledger", "verify", "--json", BEHEST_GATEWAY_DATA_DIR=str(books)).json

    assert "equal to the nano-dollar" in table
    assert (audit["is_right"], audit["differences"], audit["rows"] > 0) == (True, [], True)


def test_a_wrong_row_is_named_and_the_exit_code_is_1(behest: Behest, books: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(books, tmp_path / "data"))
    connection = apsw.Connection(str(copy / "behest.db"))
    [(row,)] = connection.execute("select min(attempt_id) from ledger where state = 'settled'")
    connection.execute("update ledger set cost_nano = cost_nano + 1 where attempt_id = ?", (row,))
    connection.close()

    assert row in behest("ledger", "verify", "--data-dir", str(copy), code=1).out
    assert row in behest("ledger", "verify", "--data-dir", str(copy), "--json", code=1).out


def test_a_folder_without_books_is_refused(behest: Behest, tmp_path: Path) -> None:
    assert "There is no ledger in" in behest("ledger", "verify", "--data-dir", str(tmp_path), code=1).err
