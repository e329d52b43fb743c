"""A replay of the ledger: the same to the nano-dollar when nothing is changed, and right about what would be."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from behest_gateway.adapters.sql.database import Database
from behest_gateway.books import BooksError, WhatIf, WhatIfError, simulate
from behest_gateway.control.simulating import ModelCost, Refusals, Replayed
from behest_protocol.usage import Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from ..planted import APRIL, BANDED, DAY, FREE, HOUR, PLAIN, Row, plant, vector

UNKNOWN = vector("lost", *((band.above, band.rates) for band in PLAIN.bands))

ledgers = st.lists(
    st.builds(
        Row,
        price=st.sampled_from([PLAIN, PLAIN, BANDED, FREE, UNKNOWN]),
        usage=st.builds(Usage, input=st.integers(0, 400), output=st.integers(0, 50)),
        state=st.sampled_from(["settled"] * 4 + ["estimated", "unconfirmed", "released", "corrected"]),
        attempt=st.sampled_from([1, 1, 1, 2]),
        started_at=st.integers(0, 12 * 8).map(lambda step: APRIL + step * HOUR // 2),
        tenant_id=st.sampled_from(["t", "u"]),
        project_id=st.sampled_from(["p", "q"]),
        user=st.sampled_from(["ada", "bob"]),
        session_id=st.sampled_from([None, "s", "r"]),
        thread_id=st.sampled_from([None, "th"]),
        api_key_id=st.sampled_from([None, "k", "l"]),
        tier=st.sampled_from([None, "free", "pro"]),
    ),
    max_size=30,
)


@contextmanager
def directory(rows: list[Row]) -> Iterator[Path]:
    """A data directory that holds these rows."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder))
        try:
            plant(database.connection, rows)
        finally:
            database.close()
        yield Path(folder)


def replayed(rows: list[Row], **what_if: Any) -> Replayed:
    with directory(rows) as folder:
        return simulate(folder, WhatIf(**what_if))


def sent(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.state != "released"]


@settings(max_examples=60, deadline=None)
@given(ledgers)
def test_with_nothing_changed_it_is_the_ledger_to_the_nano_dollar(rows: list[Row]) -> None:
    found = replayed(rows)

    assert found.before_nano == found.repriced_nano == found.after_nano == sum(row.charged for row in rows)
    assert (found.calls, found.refused, found.users, found.sessions) == (len(sent(rows)), 0, [], [])
    assert {model.model: model.after_nano for model in found.models} == {
        name: sum(row.charged for row in rows if row.price.model == name)
        for name in {r.price.model for r in sent(rows)}
    }
    unsaid = [row for row in sent(rows) if row.state != "settled"]
    assert (found.kept, found.kept_nano) == (len(unsaid), sum(row.charged for row in unsaid))
    assert found.unpriced == sum(row.price is UNKNOWN and row.state == "settled" for row in rows)


def by_hand(text: str, row: Row) -> tuple[Any, Any, int] | None:
    """Whom a row counts for in a cap, in which window, and how much; by another way than the program's."""
    where, window, unit, _ = text.rsplit(":", 3)
    kinds: dict[str, Any] = {
        "tenant": row.tenant_id, "project": row.project_id, "each_user": (row.project_id, row.user),
        "each_session": (row.project_id, row.user, row.session_id),
        "each_thread": (row.project_id, row.user, row.thread_id), "each_key": (row.project_id, row.api_key_id),
        "user:ada": row.project_id if row.user == "ada" else None,
        "key:k": row.project_id if row.api_key_id == "k" else None,
        "model:plain": row.project_id if row.price is PLAIN else None,
    }  # fmt: skip
    who = kinds[where]
    amounts = {"usd": row.charged, "tokens": row.charged_tokens, "requests": int(row.state != "corrected")}
    day = datetime.fromtimestamp(row.started_at / 1e6, UTC).date()
    windows = {"day": day, "month": day.replace(day=1), "lifetime": None, "7h": None}
    return None if who is None else (who, windows[window], amounts[unit])


SCOPES = (
    "tenant", "project", "each_user", "each_session", "each_thread", "each_key", "user:ada", "key:k", "model:plain",
)  # fmt: skip
LIMITS = {"usd": ("0", "0.00003", "0.0002"), "tokens": ("0", "300", "1500"), "requests": ("1", "3")}
caps = st.sampled_from(sorted(LIMITS)).flatmap(
    lambda unit: st.builds(
        lambda scope, window, limit: f"{scope}:{window}:{unit}:{limit}",
        st.sampled_from(SCOPES),
        st.sampled_from(["day", "month", "lifetime", "7h"]),
        st.sampled_from(LIMITS[unit]),
    )
)


def slice_of(at: int) -> int:
    """The slice of a rolling window of seven hours: a sixtieth of it."""
    return at // (7 * HOUR // 60)


def refused_by_hand(rows: list[Row], budgets: list[str]) -> list[Row]:
    """Which rows do not fit, found by adding everything up again for each row and cap."""
    passed: list[Row] = []
    refused: list[Row] = []
    for row in rows:
        fits = True
        for text in budgets:
            counted = by_hand(text, row)
            if counted is None:
                continue
            limit = float(text.rsplit(":", 1)[1]) * (1e9 if ":usd:" in text else 1)
            earlier = [(other, by_hand(text, other)) for other in passed]
            used = sum(
                theirs[2]
                for other, theirs in earlier
                if theirs is not None and theirs[:2] == counted[:2]
                if ":7h:" not in text or slice_of(other.started_at) >= slice_of(row.started_at - 7 * HOUR)
            )
            fits = fits and used + counted[2] <= round(limit)
        (passed if fits else refused).append(row)
    return refused


@settings(max_examples=150, deadline=None)
@given(ledgers, st.lists(caps, min_size=1, max_size=3))
def test_what_does_not_fit_into_every_cap_is_refused(rows: list[Row], budgets: list[str]) -> None:
    # Rows of one moment are replayed by their ids, which are made in the order of planting.
    rows = sorted(rows, key=lambda row: row.started_at)
    refused = refused_by_hand(sent(rows), budgets)
    found = replayed(rows, budgets=tuple(budgets))

    assert found.refused == len(refused)
    assert found.after_nano == sum(row.charged for row in rows) - sum(row.charged for row in refused)
    assert {(each.project, each.user_id): (each.times, each.spared_nano, each.first_at) for each in found.users} == {
        who: (len(theirs), sum(row.charged for row in theirs), theirs[0].started_at)
        for who in {(row.project_id, row.user) for row in refused}
        for theirs in [[row for row in refused if (row.project_id, row.user) == who]]
    }
    assert sum(each.times for each in found.sessions) == sum(row.session_id is not None for row in refused)
    assert {name for each in found.users for name in each.caps} <= set(budgets)


def test_other_prices_are_taken_for_what_has_tokens(tmp_path: Path) -> None:
    rows = [
        Row(usage=Usage(input=1000, cached_read=400, output=100)),
        Row(usage=Usage(input=1000, output=100), price=FREE),
        Row(state="unconfirmed"),
        Row(state="refused", attempt=0),
    ]
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"plain": {"input_mtok": "2", "cached_input_mtok": "0.5", "output_mtok": "8"}}))
    found = replayed(rows, prices=file)

    before = rows[0].charged
    assert found == Replayed(
        calls=3, kept=1, kept_nano=12_345, unpriced=0, refused_before=1, refused=0,
        before_nano=before + 12_345, repriced_nano=2_200_000 + 12_345, after_nano=2_200_000 + 12_345,
        first_at=APRIL, last_at=APRIL,
        models=[
            ModelCost(
                model="plain", priced_as="plain", calls=2, before_nano=before + 12_345,
                repriced_nano=2_212_345, after_nano=2_212_345,
            ),
            ModelCost(model="free", priced_as="free", calls=1),
        ],
        users=[], sessions=[],
    )  # fmt: skip


def test_the_ledgers_own_prices_in_a_file_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    prices = {"input_mtok": "0.150001", "cached_input_mtok": "0.075003", "output_mtok": "0.600007"}
    file.write_text(json.dumps({"plain": prices}))
    rows = [Row(usage=Usage(input=7 * n, cached_read=3 * n, output=n)) for n in range(50)]
    found = replayed(rows, prices=file)

    assert found.before_nano == found.after_nano == sum(row.charged for row in rows)


def test_a_model_is_priced_as_another(tmp_path: Path) -> None:
    rows = [Row(price=BANDED, usage=Usage(input=1_000_000, output=1_000_000))]
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"house": {"input_mtok": "1", "output_mtok": "2"}}))

    in_the_file = replayed(rows, prices=file, models=("banded=house",))
    in_the_table = replayed(rows, models=("banded=gpt-4o-mini",))
    assert (in_the_file.after_nano, in_the_file.models[0].priced_as) == (3_000_000_000, "house")
    assert (in_the_table.after_nano, in_the_table.before_nano) == (750_000_000, rows[0].charged)
    with pytest.raises(WhatIfError, match=r"No price is known for the model 'gpt-9'; give one with --prices"):
        replayed(rows, models=("banded=gpt-9",))


def test_each_user_of_a_tier_is_held_to_it() -> None:
    rows = [
        Row(tier=tier, user=user, started_at=APRIL + hour * HOUR, session_id="s")
        for hour, tier, user in [
            (0, "free", "ada"), (1, "free", "ada"), (2, "pro", "ada"), (3, "free", "bob"), (25, "free", "ada"),
        ]
    ]  # fmt: skip
    found = replayed(rows, tiers=("free:requests_per_day=1,usd_per_month=5",))

    refused = Refusals(
        project="p", user_id="ada", session_id=None, times=1, first_at=APRIL + HOUR, spared_nano=rows[1].charged,
        caps=["free:requests_per_day=1"],
    )  # fmt: skip
    assert found.users == [refused]
    assert [(each.session_id, each.user_id, each.times) for each in found.sessions] == [("s", "ada", 1)]


def test_days_go_by_the_timezone_that_is_asked_for() -> None:
    rows = [Row(started_at=APRIL + hour * HOUR) for hour in (-3, 1)]
    budgets = ("project:day:requests:1",)

    assert replayed(rows, budgets=budgets).refused == 0
    assert replayed(rows, budgets=budgets, timezone="Europe/Berlin").refused == 0
    assert replayed(rows, budgets=budgets, timezone="America/New_York").refused == 1


def test_a_rolling_window_gives_back_by_slices_and_never_early() -> None:
    budgets = ("project:24h:requests:1",)
    slice_us = DAY // 60

    assert replayed([Row(), Row(started_at=APRIL + DAY + slice_us - 1)], budgets=budgets).refused == 1
    assert replayed([Row(), Row(started_at=APRIL + DAY + slice_us)], budgets=budgets).refused == 0


def test_a_span_or_a_project_can_be_replayed_alone() -> None:
    rows = [Row(started_at=APRIL + day * DAY, project_id=project) for day in range(3) for project in "pq"]
    one = rows[0].charged

    assert replayed(rows, since="2026-04-02", until="2026-04-02").before_nano == 2 * one
    assert replayed([*rows, Row(user="eve")], since="2026-04-02").users == []
    with directory(rows) as folder:
        database = Database(folder)
        database.connection.execute("insert into tenants values ('t', 'Acme', 'free', 0)")
        database.connection.execute(
            "insert into projects (id, tenant_id, name, slug, status, dns_status, deployed, created_at)"
            " values ('p', 't', 'Shop', 'shop', 'active', 'READY', '{}', 0)"
        )
        database.close()
        by_slug, by_id = (simulate(folder, WhatIf(project=named, budgets=(NONE,))) for named in ("shop", "p"))
        assert by_slug == by_id
        assert (by_slug.before_nano, [each.project for each in by_slug.users]) == (3 * one, ["shop"])
        with pytest.raises(WhatIfError, match="there is no project 'nowhere'"):
            simulate(folder, WhatIf(project="nowhere"))


NONE = "project:lifetime:requests:0"


@pytest.mark.parametrize(
    ("what_if", "said"),
    [
        ({"budgets": ("day:usd:5",)}, "must be SCOPE:WINDOW:UNIT:LIMIT"),
        ({"budgets": ("everybody:day:usd:5",)}, "no scope that is known"),
        ({"budgets": ("user:day:usd:5",)}, "no scope that is known"),
        ({"budgets": ("project:p:day:usd:5",)}, "no scope that is known"),
        ({"budgets": ("project:week:usd:5",)}, "the window is day, month, lifetime or hours like 24h"),
        ({"budgets": ("project:0h:usd:5",)}, "the window is"),
        ({"budgets": ("project:9999h:usd:5",)}, "at most 8784 hours"),
        ({"budgets": ("project:day:eur:5",)}, "the unit is one of usd, tokens, requests"),
        ({"budgets": ("project:day:usd:much",)}, "an amount in dollars, not 'much'"),
        ({"budgets": ("project:day:usd:-1",)}, "an amount in dollars"),
        ({"budgets": ("project:day:tokens:1.5",)}, "a whole number, not '1.5'"),
        ({"budgets": ("project:day:requests:inf",)}, "a whole number"),
        ({"tiers": ("free",)}, "must be NAME:UNIT_per_WINDOW=LIMIT"),
        ({"tiers": ("free:tokens=5",)}, "must be NAME:UNIT_per_WINDOW=LIMIT"),
        ({"tiers": ("free:words_per_day=5",)}, "the unit is one of"),
        ({"models": ("gpt-4o",)}, "must be FROM=TO"),
        ({"models": ("a=b", "a=c")}, "names 'a' twice"),
        ({"timezone": "Moon/Base", "budgets": (NONE,)}, "is no timezone"),
        ({"since": "soon"}, "'from' must be a date"),
        ({"since": "2026-04-02", "until": "2026-03-01"}, "must not be later"),
        ({"prices": Path("nowhere.json")}, "cannot read the price file"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(what_if: dict[str, Any], said: str) -> None:
    with pytest.raises(WhatIfError, match=said.replace("(", r"\(")):
        replayed([Row()], **what_if)


def test_a_folder_without_a_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BooksError, match="there is no ledger in"):
        simulate(tmp_path, WhatIf())


def test_nothing_is_written_and_a_gateway_may_run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder))  # As a gateway holds it: open and locked.
        try:
            plant(database.connection, [Row()])
            before = (Path(folder) / "behest.db").read_bytes()
            assert simulate(Path(folder), WhatIf(budgets=(NONE,))).refused == 1
            assert (Path(folder) / "behest.db").read_bytes() == before
        finally:
            database.close()
