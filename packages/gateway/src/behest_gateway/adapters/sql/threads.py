"""Stored conversations in SQLite, sealed if the operator wants that.

A turn is written by the ledger, inside the transaction that settles its attempt: a caller who saw the end of an answer
can rely on its turn, and a crash loses neither or both. Few messages are read at once, on the loop's own connection;
more in a thread.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw
import msgspec

from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.queries import load
from behest_gateway.adapters.vault import Vault, VaultError
from behest_gateway.control.threads import ThreadSummary
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.threads import SESSION_US, Conversation, Remembered, Stored, Turn

_T = TypeVar("_T")

_log = logging.getLogger("behest.threads")
_SQL = load("threads")
_decoder = msgspec.json.Decoder(dict[str, Any])

READ_AT_ONCE = 200
"""Messages that are read on the event loop; some 2 us each."""

MOST_READ = 10_000
MOST_BYTES = 8 * 1024 * 1024
"""Of a longer conversation than this, only the end is recalled: a prompt must not grow without an end."""

FORGOTTEN_AT_ONCE = 50
"""Conversations that one transaction prunes."""


class SqlThreads:
    """Implements `compose`'s `Conversations`, and `control`'s `ThreadReader` and `ThreadPruner`.

    Args:
        seals: New titles and contents are sealed. What is sealed is opened either way.
    """

    def __init__(self, database: Database, vault: Vault, clock: Clock, *, seals: bool) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._seals = seals

    # -- compose

    async def recall(self, conversation: Conversation, last: int | None) -> Remembered | None:
        found = self._find(conversation.project_id, conversation.user_id, conversation.kind, conversation.name)
        if found is None:
            return None
        ref, last_message_at, next_position = found
        if conversation.kind == "session" and last_message_at < self._clock.now_us() - SESSION_US:
            return Remembered(ref=ref, messages=(), expired=(0, next_position - 1))
        wanted = min(next_position, MOST_READ if last is None else last)
        messages, more = await self._messages(conversation.project_id, ref, wanted, MOST_BYTES)
        return Remembered(ref=ref, messages=tuple(messages), is_whole=not more)

    def _find(self, project_id: str, user_id: str, kind: str, name: str) -> tuple[int, int, int] | None:
        rows: list[Any] = self._database.connection.execute(_SQL["find"], (project_id, user_id, kind, name)).fetchall()
        return rows[0] if rows else None

    async def _messages(
        self, project_id: str, ref: int, last: int, most_bytes: int | None = None
    ) -> tuple[list[Stored], bool]:
        """The last messages, and whether there are more."""
        if last <= READ_AT_ONCE:
            return self._read(self._database.connection, project_id, ref, last, most_bytes)
        return await self._apart(lambda connection: self._read(connection, project_id, ref, last, most_bytes))

    def _read(
        self, connection: apsw.Connection, project_id: str, ref: int, last: int, most_bytes: int | None
    ) -> tuple[list[Stored], bool]:
        messages: list[Stored] = []
        size = 0
        rows: Iterable[Any] = connection.execute(_SQL["last_messages"], (ref, last + 1))
        for position, content, sealed, finish_reason, created_at in rows:
            size += len(content)
            if len(messages) == last or (most_bytes is not None and messages and size > most_bytes):
                messages.reverse()
                return messages, True
            text = self._open(content, project_id, ref, position) if sealed else content
            messages.append(
                Stored(
                    position=position,
                    message=_decoder.decode(text),
                    finish_reason=finish_reason,
                    created_at=created_at,
                )
            )
        messages.reverse()
        return messages, False

    async def _apart(self, read: Callable[[apsw.Connection], _T]) -> _T:
        """Read in a thread, on a connection of its own."""

        def run() -> _T:
            connection = self._database.reader()
            try:
                return read(connection)
            finally:
                connection.close()

        return await asyncio.to_thread(run)

    def _open(self, content: bytes, project_id: str, ref: int, place: int | str) -> bytes:
        try:
            return self._vault.open(content, owner=project_id, kid=f"thread {ref}", field=f"message {place}")
        except VaultError as problem:
            _log.error("a stored conversation cannot be opened: %s", problem)
            raise GatewayError("server_error", "The stored conversation cannot be opened.", retryable=False) from None

    def _sealed(self, content: bytes, project_id: str, ref: int, place: int | str) -> bytes:
        if not self._seals:
            return content
        return self._vault.seal(content, owner=project_id, kid=f"thread {ref}", field=f"message {place}")

    # -- the ledger's transaction

    def write(self, connection: apsw.Connection, turns: Iterable[tuple[int, Turn]]) -> None:
        """Keep turns, each with its person's number, inside a transaction that is open.

        A turn that the schema refuses is logged and left out: money must be written whatever happens here.
        """
        for user_ref, turn in turns:
            connection.execute("savepoint turn")
            try:
                self._write(connection, user_ref, turn)
            except (apsw.ConstraintError, UnicodeError) as problem:
                connection.execute("rollback to turn")
                _log.error(
                    "a turn of project %s could not be kept: %s", turn.conversation.project_id, type(problem).__name__
                )
            connection.execute("release turn")

    def _write(self, connection: apsw.Connection, user_ref: int, turn: Turn) -> None:
        kept, now = turn.conversation, self._clock.now_us()
        place = (kept.project_id, user_ref, kept.kind, kept.name)
        found: list[Any] = connection.execute(_SQL["find_by_ref"], place).fetchall()
        if turn.ref is not None and (not found or found[0][0] != turn.ref):
            return  # it was deleted while the provider answered
        if not found:
            found = [(*row, 0) for row in connection.execute(_SQL["new_thread"], (*place, kept.tier, now))]
        ref, position = found[0]
        if turn.replaces is not None:
            connection.execute(_SQL["drop_messages"], (ref, *turn.replaces))
        for at, (message, finish_reason) in enumerate(turn.messages, start=position):
            content = self._sealed(message, kept.project_id, ref, at)
            connection.execute(_SQL["add_message"], (ref, at, content, int(self._seals), finish_reason, now))
        title = (
            None
            if turn.title is None
            else self._sealed(turn.title.encode("utf-8", "replace"), kept.project_id, ref, "title")
        )
        connection.execute(_SQL["touch"], (ref, position + len(turn.messages), now, kept.tier, title, int(self._seals)))

    # -- control: what users see

    async def threads(self, project_id: str, user_id: str, limit: int) -> list[ThreadSummary]:
        return await self._apart(
            lambda connection: [
                self._summary(project_id, row)
                for row in connection.execute(_SQL["threads_of"], (project_id, user_id, limit))
            ]
        )

    async def thread(self, project_id: str, user_id: str, thread_id: str) -> ThreadSummary | None:
        rows = self._database.connection.execute(_SQL["thread"], (project_id, user_id, thread_id)).fetchall()
        return self._summary(project_id, rows[0]) if rows else None

    def _summary(self, project_id: str, row: tuple[Any, ...]) -> ThreadSummary:
        ref, name, title, is_sealed, created_at, last_message_at, count = row
        if title is not None:
            title = (self._open(title, project_id, ref, "title") if is_sealed else title).decode("utf-8", "replace")
        return ThreadSummary(
            id=name, title=title, created_at=created_at, last_message_at=last_message_at, messages_count=count
        )

    async def messages(self, project_id: str, user_id: str, thread_id: str, limit: int) -> list[Stored] | None:
        found = self._find(project_id, user_id, "thread", thread_id)
        if found is None:
            return None
        messages, _ = await self._messages(project_id, found[0], min(limit, found[2]))
        return messages

    async def delete(self, project_id: str, user_id: str, thread_id: str) -> bool:
        found = self._find(project_id, user_id, "thread", thread_id)
        if found is None:
            return False
        with self._erasing() as connection:
            connection.execute(_SQL["delete_thread"], (found[0],))
        return True

    @contextmanager
    def _erasing(self) -> Generator[apsw.Connection]:
        """A transaction that overwrites what it deletes."""
        connection = self._database.connection
        connection.execute("pragma secure_delete = on")
        try:
            with self._database.transaction():
                yield connection
        finally:
            connection.execute("pragma secure_delete = off")

    # -- control: how long it is kept

    async def groups(self) -> list[tuple[str, str | None]]:
        def read(connection: apsw.Connection) -> list[tuple[str, str | None]]:
            rows: Iterable[Any] = connection.execute(_SQL["groups"])
            return list(rows)

        return await self._apart(read)

    async def forget(self, project_id: str, tier: str | None, before_us: int) -> int:
        gone = 0
        while True:
            with self._erasing() as connection:
                values = (project_id, tier, before_us, FORGOTTEN_AT_ONCE)
                old = [ref for (ref,) in connection.execute(_SQL["old_threads"], values)]
                for ref in old:
                    connection.execute(_SQL["forget_messages"], (ref, before_us))
                    if not connection.execute(_SQL["mark_oldest"], (ref,)).fetchall():
                        connection.execute(_SQL["delete_thread"], (ref,))
            gone += len(old)
            if len(old) < FORGOTTEN_AT_ONCE:
                return gone
            await asyncio.sleep(0)

    async def forget_sessions(self, before_us: int) -> int:
        return await self._forget_whole("old_sessions", before_us)

    async def forget_deleted_projects(self) -> int:
        return await self._forget_whole("threads_of_deleted_projects")

    async def _forget_whole(self, name: str, *values: int) -> int:
        gone = 0
        while True:
            with self._erasing() as connection:
                old = connection.execute(_SQL[name], (*values, FORGOTTEN_AT_ONCE)).fetchall()
                connection.executemany(_SQL["delete_thread"], old)
            gone += len(old)
            if len(old) < FORGOTTEN_AT_ONCE:
                return gone
            await asyncio.sleep(0)
