"""Tells who waits that there are new events, after their transaction was committed."""

from __future__ import annotations

import asyncio
import contextlib


class Feed:
    """Wakes readers; what is new they read from the table, so a slow one costs no memory and loses nothing.

    Everything here happens on the event loop's thread.

    Attributes:
        turn: Grows with each wake. Note it before reading the table, and hand it to `after` when nothing was there.
        is_closed: The gateway is ending; nobody waits any more.
    """

    def __init__(self) -> None:
        self.turn = 0
        self.is_closed = False
        self._waiters: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        """Say that events were committed; costs nothing when nobody waits."""
        self.turn += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def close(self) -> None:
        """Let everybody go who waits, and who will."""
        self.is_closed = True
        self.wake()

    async def after(self, turn: int, seconds: float) -> None:
        """Wait for a wake after `turn`, at most so long."""
        if self.turn != turn or self.is_closed:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter
        finally:
            self._waiters.discard(waiter)
