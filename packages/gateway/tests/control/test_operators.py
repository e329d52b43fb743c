"""The operator secret: made once, shown once, known ever after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from behest_gateway.adapters.keys import KeyWorks
from behest_gateway.adapters.sql.control import ControlStore
from behest_gateway.adapters.sql.database import Database
from behest_gateway.control.operators import Operators, OperatorSecretError


@pytest.fixture
def works() -> Iterator[KeyWorks]:
    works = KeyWorks()
    yield works
    works.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.close()


async def test_the_first_start_makes_a_secret_and_later_ones_know_it(database: Database, works: KeyWorks) -> None:
    store = ControlStore(database)
    first = Operators(store, works)
    secret = await first.ensure(None)
    again = Operators(store, works)

    assert secret is not None
    assert secret.startswith("behest_admin_")
    assert await again.ensure(None) is None
    assert [await first.check(secret), await again.check(secret), await again.check(secret)] == [True, True, True]
    assert [await again.check(wrong) for wrong in ("", "x", secret + "0", secret[:-1], "\ud800")] == [False] * 5


async def test_the_secret_itself_is_not_in_the_data_directory(database: Database, works: KeyWorks) -> None:
    secret = await Operators(ControlStore(database), works).ensure(None)
    database.close()

    assert secret is not None
    for file in database.directory.iterdir():
        assert secret.encode() not in file.read_bytes()


async def test_a_given_secret_counts_instead_and_is_not_stored(database: Database, works: KeyWorks) -> None:
    store = ControlStore(database)
    made = await Operators(store, works).ensure(None)
    operators = Operators(store, works)

    assert made is not None
    assert await operators.ensure("a-secret-of-my-own") is None
    assert await operators.check("a-secret-of-my-own")
    assert not await operators.check(made)
    later = Operators(store, works)
    await later.ensure(None)
    assert await later.check(made)
    assert not await later.check("a-secret-of-my-own")


async def test_before_a_secret_is_settled_none_is_right(database: Database, works: KeyWorks) -> None:
    assert not await Operators(ControlStore(database), works).check("")


@pytest.mark.parametrize("given", ["short", "with a space in it", "nön-ascii-secret", "line\nbreak-secret"])
async def test_a_secret_that_cannot_be_used_is_refused(database: Database, works: KeyWorks, given: str) -> None:
    with pytest.raises(OperatorSecretError, match="BEHEST_ADMIN_TOKEN"):
        await Operators(ControlStore(database), works).ensure(given)
