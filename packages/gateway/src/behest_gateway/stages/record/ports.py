"""What recording needs from the world."""

from __future__ import annotations

from typing import Protocol

from behest_gateway.core.exchange import Entry, Hold, Outcome


class Ledger(Protocol):
    """Writes the ledger. The only one who gives holds back."""

    async def settle(self, entry: Entry, hold: Hold, outcome: Outcome) -> None:
        """Give back a hold, write its attempt's row and keep its turn, all or nothing; durable when this returns. A
        second time changes nothing. It completes even when its caller is cancelled."""
        ...

    def refuse(self, entry: Entry, outcome: Outcome) -> None:
        """Write the row of a request that was refused before any attempt, soon."""
        ...
