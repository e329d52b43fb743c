"""`behest usage export` saves what a project used, whole or not at all."""

from __future__ import annotations

import csv
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .calling import Behest, Stub


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def used(server: Behest, project: dict[str, Any]) -> str:
    """A project that two users have asked something of."""
    server("chat", "Say hello", "--user", "ada")
    server("chat", "Say hello", "--user", "=bob")
    return str(project["slug"])


def test_every_attempt_is_printed(operator: Behest, used: str) -> None:
    rows = rows_of(operator("usage", "export", "-p", used).out)

    assert [row["user_id"] for row in rows] == ["ada", "'=bob"]
    assert [row["state"] for row in rows] == ["settled", "settled"]


def test_focus_is_saved_to_a_file(operator: Behest, used: str, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("of yesterday")
    said = operator("usage", "export", "-p", used, "--format", "focus", "-o", str(file))

    rows = rows_of(file.read_text(encoding="utf-8"))
    assert (said.out, said.err) == ("", f"Wrote {file.stat().st_size:,} bytes to {file}.\n")
    assert {row["x_UserId"] for row in rows} == {"ada", "'=bob"}
    assert {row["SubAccountName"] for row in rows} == {"Shop"}
    assert list(tmp_path.glob("*.part")) == []


def test_a_span_is_passed_on(operator: Behest, used: str) -> None:
    span = ("--from", "2020-01-01", "--to", "2020-01-31")

    assert rows_of(operator("usage", "export", "-p", used, *span).out) == []
    assert "'from' must be a date" in operator("usage", "export", "-p", used, "--from", "soon", code=1).err


def test_usage_without_a_word_is_still_one_users(server: Behest, used: str) -> None:
    assert server("usage", "--user", "ada", "--json").json["totals"]["requests"] == 1


def test_a_file_that_cannot_be_written_is_named(operator: Behest, used: str, tmp_path: Path) -> None:
    said = operator("usage", "export", "-p", used, "-o", str(tmp_path / "nowhere" / "usage.csv"), code=1)

    assert "cannot be written: No such file or directory" in said.err
    assert "Name another file with --output." in said.err


def test_what_is_no_gateway_is_said_to_be_none(behest: Behest, stub: Stub) -> None:
    elsewhere = stub(200, "{}", {"Content-Type": "application/json"})
    env = {"BEHEST_BASE_URL": elsewhere, "BEHEST_ADMIN_TOKEN": "s", "BEHEST_PROJECT_ID": PROJECT}

    assert "sends no CSV" in behest("usage", "export", code=1, **env).err


PROJECT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def breaking_off() -> Iterator[str]:
    """A server whose answer ends in the middle of a chunk."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n"
            connection.sendall(head + b"4\r\na,b\n\r\nffff\r\n1,2\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.join(30)
    listener.close()


def test_a_file_that_broke_off_is_not_kept(behest: Behest, breaking_off: str, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("of yesterday")
    env = {"BEHEST_BASE_URL": breaking_off, "BEHEST_ADMIN_TOKEN": "s", "BEHEST_PROJECT_ID": PROJECT}
    said = behest("usage", "export", "-o", str(file), code=1, **env)

    assert f"Talking to {breaking_off} failed" in said.err
    assert "The file is not whole" in said.err
    assert [path.read_text() for path in tmp_path.glob("*") if path.is_file()] == ["of yesterday"]
