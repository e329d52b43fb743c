"""The SQLite file: opened once, migrated forward, locked against a second gateway.

One connection writes. It belongs to the event loop's thread, because a commit without an fsync (`synchronous=NORMAL` in
WAL mode) costs less than handing it to another thread would, and survives the death of the process. A second
connection, in its own thread, moves the WAL into the database now and then, so that the fsyncs of a checkpoint never
hold up a request.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import IO

import apsw

from behest_gateway.adapters.sql.feed import Feed

OLDEST_SAFE_SQLITE = (3, 51, 3)
"""Before it, two connections that write and checkpoint at the same instant could corrupt the file."""

CHECKPOINT_SECONDS = 2.0
PAGE_BYTES = 4096
LARGE_WAL_BYTES = 64 * 1024 * 1024
"""Above this the WAL is wound back even if that holds the writer up for a moment; it must not grow for ever."""


class DatabaseError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


def _migrations() -> list[tuple[int, str, str]]:
    folder = resources.files("behest_gateway.adapters.sql").joinpath("migrations")
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return sorted((int(file.name[:4]), file.name, file.read_text("utf-8")) for file in files)


def migrate(connection: apsw.Connection) -> None:
    """Bring the schema forward. Each step runs once, whole or not at all, and its text is remembered by checksum.

    Raises:
        DatabaseError: The file is newer than this program, or a step that ran is not the one in this program.
    """
    connection.execute(
        "create table if not exists migrations (number integer primary key, name text not null, checksum text not null,"
        " applied_at integer not null) strict"
    )
    applied = dict(connection.execute("select number, checksum from migrations"))
    known = _migrations()
    newest = known[-1][0]
    if applied and max(applied) > newest:
        raise DatabaseError(
            f"the data directory was written by a newer gateway (schema {max(applied)}, this one knows {newest}); "
            "start that version, or restore a backup made before the upgrade"
        )
    for number, name, text in known:
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if number in applied:
            if applied[number] != checksum:
                raise DatabaseError(f"migration {name} differs from the one that made this data directory")
            continue
        with connection:
            connection.execute(text)
            connection.execute(
                "insert into migrations values (?, ?, ?, ?)", (number, name, checksum, time.time_ns() // 1000)
            )


def _lock(path: Path) -> IO[str]:
    handle = path.open("a+")
    try:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise DatabaseError(
            f"another gateway is using {path.parent}; stop it, or give this one its own BEHEST_GATEWAY_DATA_DIR"
        ) from None
    return handle


def _wait_a_little(tries: int) -> bool:
    """Wait for the checkpointer in steps that the event loop hardly feels; SQLite's own grow to a tenth of a second."""
    time.sleep(0.0005)
    return tries < 1000


class Database:
    """An open data directory.

    Args:
        directory: Made when it is missing, readable by its owner alone.
        synchronous: `normal` survives the death of the process; `full` also a power cut, at an fsync per commit.

    Attributes:
        feed: Whoever committed events wakes it, so that they are read.
    """

    def __init__(self, directory: Path, *, synchronous: str = "normal") -> None:
        version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
        if version < OLDEST_SAFE_SQLITE:
            raise DatabaseError(f"SQLite {apsw.sqlite_lib_version()} has a known corruption bug; install a newer apsw")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self.feed = Feed()
        self._lock = _lock(directory / "lock")
        path = directory / "behest.db"
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._path = str(path)
        self.connection = self._connect()
        self.connection.set_busy_handler(_wait_a_little)
        try:
            self.connection.execute(f"pragma synchronous = {'full' if synchronous == 'full' else 'normal'}")
            self._usual: int = next(self.connection.execute("pragma synchronous"))[0]
            self.connection.execute("pragma wal_autocheckpoint = 0")
            self.connection.execute("pragma foreign_keys = on")
            migrate(self.connection)
        except BaseException:
            self.connection.close()
            self._lock.close()
            raise
        self._stopping = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoint_forever, name="checkpoint", daemon=True)
        self._checkpointer.start()

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(self._path, statementcachesize=200)
        connection.set_busy_timeout(5000)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma temp_store = memory")
        return connection

    def _checkpoint_forever(self) -> None:
        connection = self._connect()
        connection.execute("pragma synchronous = normal")
        while not self._stopping.wait(CHECKPOINT_SECONDS):
            with contextlib.suppress(apsw.BusyError, apsw.LockedError):
                # The file never shrinks while it is open, so it is the frames in use that say how large the WAL is.
                frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                if frames * PAGE_BYTES > LARGE_WAL_BYTES:
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        connection.close()

    @contextmanager
    def transaction(self) -> Generator[apsw.Connection]:
        """A write transaction on the one writing connection: whole or not at all."""
        connection = self.connection
        connection.execute("begin immediate")
        try:
            yield connection
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")

    @contextmanager
    def durable(self) -> Generator[apsw.Connection]:
        """A write transaction that is on the disk when it ends, whatever the database does otherwise."""
        connection = self.connection
        connection.execute("pragma synchronous = full")
        try:
            with self.transaction():
                yield connection
        finally:
            connection.execute(f"pragma synchronous = {self._usual}")

    def reader(self) -> apsw.Connection:
        """A connection of its own that only reads, for a query in another thread. Close it."""
        connection = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5000)
        return connection

    def close(self) -> None:
        """Write the WAL back and give the directory free."""
        self._stopping.set()
        self._checkpointer.join(timeout=10)
        with contextlib.suppress(apsw.Error):
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self.connection.close()
        self._lock.close()
