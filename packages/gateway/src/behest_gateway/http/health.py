"""Is it alive, and can it take calls?"""

from __future__ import annotations

from collections.abc import Callable

from behest_gateway.http.exchange import Reply
from behest_gateway.http.render import json_reply


class Health:
    """`/health` says that the process runs; `/ready` that it can write its ledger."""

    def __init__(self, version: str, is_ready: Callable[[], bool]) -> None:
        self._version = version
        self._is_ready = is_ready

    def health(self) -> Reply:
        """Always 200 while the process answers."""
        return json_reply({"status": "ok", "version": self._version})

    def ready(self) -> Reply:
        """200 when calls are taken, otherwise 503."""
        ready = self._is_ready()
        return json_reply({"status": "ready" if ready else "unavailable"}, 200 if ready else 503)
