"""A fake provider in a process of its own, and its bill."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from behest_fakes.script import RuleFields

from .processes import Server

WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What the provider says of one call; `attempt_id` is what the gateway's ledger knows it by."""

    attempt_id: str | None
    state: str
    stream: bool
    model: str
    prompt_tokens: int
    completion_tokens: int
    max_tokens: int | None
    cost_nano: int
    headers: dict[str, str]


class Provider:
    """A running fake provider. Tests share it: a rule names its calls by their user, a bill is one project's part."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.base_url = server.base_url
        self.openai_base_url = f"{server.base_url}/v1"
        self._client = httpx.Client(base_url=server.base_url, timeout=WAIT_SECONDS + 5)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def script(self, rule: RuleFields) -> None:
        """Add a rule, with the fields of `POST /_fake/script`."""
        answer = self._client.post("/_fake/script", json=rule)
        assert answer.status_code == 201, answer.text

    def bill(self, project_id: str) -> list[Billed]:
        """Wait until the provider is at rest, and return the calls of a project.

        Raises:
            AssertionError: Calls still run after `WAIT_SECONDS`.
        """
        return self._bill(project_id, until_running=0)

    def calls(self, project_id: str) -> list[Billed]:
        """The calls of a project by now, running ones among them."""
        return self._bill(project_id)

    def _bill(self, project_id: str, **until: Any) -> list[Billed]:
        answer = self._client.get("/_fake/bill", params={"timeout": WAIT_SECONDS, **until})
        assert answer.status_code == 200, answer.text
        return [
            Billed(
                attempt_id=call["client_request_id"],
                state=call["state"],
                stream=call["stream"],
                model=call["model"],
                prompt_tokens=call["prompt_tokens"],
                completion_tokens=call["completion_tokens"],
                max_tokens=call["max_tokens"],
                cost_nano=call["cost_nano_usd"],
                headers=call["headers"],
            )
            for call in answer.json()["calls"]
            if call["headers"].get("X-Project-Id") == project_id
        ]


@contextmanager
def running_provider(folder: Path, *arguments: str) -> Generator[Provider]:
    """Run a fake provider while the block runs; without arguments a token takes no time."""
    server = Server(
        "behest_fakes", "provider", "--json", *(arguments or ("--token-delay-ms", "0")), log=folder / "provider.log"
    )
    provider = Provider(server)
    try:
        yield provider
    finally:
        provider.close()
        server.stop()
