"""The books are checked from outside: right while the gateway runs and when it has stopped, and each wrong is named."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest
from behest_gateway.adapters.sql.database import DatabaseError
from behest_gateway.adapters.sql.verify import rebuild, verify
from behest_gateway.control.auditing import Audit, Difference

from ..support.gateway import running_gateway
from ..support.provider import Provider
from ..support.world import World


@dataclass(frozen=True, kw_only=True)
class Books:
    """The data directory of a gateway that has served and was stopped, and what was found while it ran."""

    folder: Path
    while_running: Audit


@pytest.fixture(scope="module")
def kept(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Books:
    folder = tmp_path_factory.mktemp("books")
    with running_gateway(folder, provider.openai_base_url) as gateway:
        tenant = gateway.new_tenant()
        world, other = World(gateway, provider, tenant), World(gateway, provider, tenant)
        world.chat()
        ended = world.budget(5)
        world.budget(5, scope="each_user", window="month", timezone="Pacific/Auckland")
        world.budget(5, scope="user", user_id=world.user, timezone="America/St_Johns")
        world.chat()
        world.chat(user_id="somebody else")
        gateway.manage("DELETE", f"/v1/projects/{world.project_id}/budgets/{ended}")
        world.chat()
        other.budget(0)
        assert other.chat(status=402).status_code == 402
        other.client.get(
            "/v1/usage", headers=other.bearer()
        )  # a later request is answered after what came before it is written
        while_running = verify(gateway.data_dir)
    return Books(folder=folder / "data", while_running=while_running)


@pytest.fixture
def books(kept: Books, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(kept.folder, tmp_path / "data"))


def spoil(folder: Path, statement: str) -> None:
    """Change the file behind the gateway's back."""
    connection = apsw.Connection(str(folder / "behest.db"))
    connection.execute(statement)
    assert connection.changes() == 1
    connection.close()


def one(folder: Path, query: str) -> Any:
    """The one value that a query finds."""
    connection = apsw.Connection(str(folder / "behest.db"))
    [(value,)] = connection.execute(query)
    connection.close()
    return value


def found(folder: Path, what: str) -> list[Difference]:
    """The differences of a kind."""
    return [difference for difference in verify(folder).differences if difference.what == what]


def test_books_that_nobody_touched_are_right_while_the_gateway_runs_and_afterwards(kept: Books, books: Path) -> None:
    audit = verify(books)

    assert audit.differences == []
    assert audit == kept.while_running
    assert (audit.rows, audit.prices, audit.counters, audit.cost_nano > 0) == (5, 1, 5, True)
    assert audit.rollups >= 3


def test_a_changed_cost_is_found(books: Path) -> None:
    row = one(books, "select attempt_id from ledger where cost_nano > 0 order by started_at limit 1")
    cost = one(books, f"select cost_nano from ledger where attempt_id = '{row}'")
    spoil(books, f"update ledger set cost_nano = cost_nano + 1 where attempt_id = '{row}'")

    [difference] = found(books, "row")
    assert difference.name == row
    assert difference.expected.startswith(f"{cost} nano-USD, ")
    assert difference.found.startswith(f"{cost + 1} nano-USD, ")
    assert {int(each.expected) - int(each.found) for each in found(books, "counter")} == {1}
    assert len(found(books, "rollup")) == 2  # the hour, and the user's day


def test_a_changed_counter_is_found(books: Path) -> None:
    budget = one(books, "select id from budgets where scope = 'user'")
    spent = one(books, f"select spent from counters where budget_id = '{budget}'")
    window = one(books, f"select window_id from counters where budget_id = '{budget}'")
    spoil(books, f"update counters set spent = spent - 1 where budget_id = '{budget}'")

    assert verify(books).differences == [
        Difference(what="counter", name=f"budget {budget}, all, {window}", expected=str(spent), found=str(spent - 1))
    ]


def test_a_counter_of_a_budget_that_never_was_is_found(books: Path) -> None:
    spoil(books, "insert into counters values ('nobody', '7', '2026-11-23', 1, 0)")

    assert [(each.name, each.expected, each.found) for each in verify(books).differences] == [
        ("budget nobody, 7, 2026-11-23", "0", "1")
    ]


def test_a_missing_price_is_found_for_every_row_that_it_priced(books: Path) -> None:
    price = one(books, "select hash from prices")
    spoil(books, "delete from prices")

    differences = verify(books).differences
    assert [(each.what, each.found) for each in differences] == [("row", "no such price")] * 4
    assert {each.expected for each in differences} == {f"a price of hash {price}"}


def test_a_price_that_is_not_what_its_hash_stands_for_is_found(books: Path) -> None:
    price = one(books, "select hash from prices")
    spoil(books, "update prices set model = 'another'")

    assert [(each.what, each.name) for each in verify(books).differences] == [("price", price)]


@pytest.mark.parametrize("state", ["released", "unconfirmed", "corrected"])
def test_a_state_that_does_not_fit_the_charge_is_found(books: Path, state: str) -> None:
    row = one(books, "select attempt_id from ledger where cost_nano > 0 order by started_at limit 1")
    spoil(books, f"update ledger set state = '{state}' where attempt_id = '{row}'")

    assert [each.name for each in found(books, "row")] == [row]


def test_changed_tokens_are_found(books: Path) -> None:
    row = one(books, "select attempt_id from ledger where cost_nano > 0 order by started_at limit 1")
    spoil(books, f"update ledger set charged_tokens = charged_tokens - 1 where attempt_id = '{row}'")

    assert [(each.what, each.name) for each in verify(books).differences] == [("row", row)]


def test_a_row_that_forgets_a_budget_is_found(books: Path) -> None:
    row = one(books, "select attempt_id from ledger where budgets like '%,%' order by started_at limit 1")
    spoil(books, f"update ledger set budgets = '' where attempt_id = '{row}'")

    assert {each.what for each in verify(books).differences} == {"counter"}


@pytest.mark.parametrize("table", ["usage_by_hour", "usage_by_user_day"])
def test_a_rollup_off_by_one_is_found_and_made_again(books: Path, table: str) -> None:
    most = one(books, f"select max(cost_nano) from {table}")
    spoil(books, f"update {table} set cost_nano = cost_nano + 1 where cost_nano = {most}")

    [difference] = verify(books).differences
    assert difference.what == "rollup"
    assert difference.name.startswith(table)
    assert difference.found.endswith(f"{most + 1} nano-USD")

    rebuild(books)
    assert verify(books).differences == []


def test_a_rollup_that_is_missing_or_too_many_is_found_and_made_again(books: Path) -> None:
    spoil(books, "delete from usage_by_hour")
    spoil(books, "insert into usage_by_session_day values ('p', 0, 's', 1, 1, 2, 3, 4, 5)")

    assert [(each.expected[:9], each.found) for each in verify(books).differences] == [
        ("4 request", "nothing"),
        ("nothing", "1 requests, 2 in, 3 cached, 4 out, 5 nano-USD"),
    ]
    rebuild(books)
    assert verify(books).differences == []


def test_a_folder_without_books_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no ledger in"):
        verify(tmp_path)

    assert list(tmp_path.iterdir()) == []
