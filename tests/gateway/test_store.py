"""When the ledger cannot be written for a while, nobody hangs, and nothing that was sent is forgotten."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

import apsw
import pytest

from ..support.gateway import Gateway, running_gateway
from ..support.provider import Provider
from ..support.world import World

SECONDS = 20.0


@pytest.fixture
def lonely(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway of one's own, since its store is going to be taken away."""
    with running_gateway(tmp_path_factory.mktemp("lonely"), provider.openai_base_url) as gateway:
        yield gateway


@contextmanager
def locked(gateway: Gateway) -> Generator[None]:
    """Somebody else writes into the gateway's file and does not come to an end."""
    connection = apsw.Connection(str(gateway.data_dir / "behest.db"))
    try:
        connection.execute("begin immediate")
        yield
    finally:
        connection.close()


def until_ready(gateway: Gateway) -> None:
    """Wait until the gateway can write again."""
    deadline = time.monotonic() + SECONDS
    while gateway.client.get("/ready").status_code != 200:
        assert time.monotonic() < deadline, "the gateway did not get ready again"
        time.sleep(0.1)


def test_a_stream_whose_cost_cannot_be_written_ends_and_is_written_later(lonely: Gateway, provider: Provider) -> None:
    world = World(lonely, provider, lonely.new_tenant())
    world.budget(1)
    world.script({"completion_tokens": 20, "token_delay_ms": 25})

    with world.stream() as response:
        pieces = response.iter_raw()
        next(pieces)
        with locked(lonely):
            told = b"".join(pieces)
            refused = world.chat(user_id="another")

    assert told.endswith(b"data: [DONE]\n\n")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.headers["retry-after"] == "1"
    assert len(world.bill()) == 1
    until_ready(lonely)
    [billed] = world.bill()
    assert [(row.attempt_id, row.state, row.cost_nano) for row in world.rows() if row.attempt] == [
        (billed.attempt_id, "settled", billed.cost_nano)
    ]
    assert world.holds() == {}
    assert world.chat().status_code == 200
    assert [budget["held_usd"] for budget in world.budgets()] == [0]
