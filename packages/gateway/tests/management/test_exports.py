"""Usage as a file: every attempt and every cent is in it, FOCUS 1.4 is kept to, and no cell starts a formula."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.exports import SqlExports
from behest_gateway.control.analytics import Period
from behest_gateway.control.cells import safe
from behest_gateway.control.exporting import ATTEMPT_COLUMNS, ROWS_IN_A_PART, focus_csv
from behest_gateway.control.focus import FOCUS_COLUMNS, Owner
from behest_gateway.core.prices import PriceVector
from behest_protocol.usage import Usage
from focus_data_toolkit.model import column_spec, dataset_columns, lint_focus_1_4_structure
from focus_data_toolkit.model.validator import COND_MULTIPLE_PRICING_CATEGORIES, COND_UNIT_PRICING
from hypothesis import given, settings
from hypothesis import strategies as st

from ..planted import APRIL, BANDED, DAY, FREE, HOUR, PLAIN, Row, plant, vector
from .conftest import Management
from .test_access import refusal

NANO = 10**9
SPAN = {"from": "2026-04-01", "to": "2026-04-03"}
COST_AND_USAGE = "Cost and Usage"


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What a call may have used; in the first case its parts are more than their whole."""
    cached, written, audio_in, audio_out = (draw(st.integers(0, 90)) for _ in range(4))
    total_in = cached + written + audio_in + draw(st.integers(-5, 150))
    return Usage(
        input=max(0, total_in), output=audio_out + draw(st.integers(0, 50)), cached_read=cached, cache_write=written,
        audio_input=audio_in, audio_output=audio_out,
    )  # fmt: skip


UNKNOWN = vector("nobody kept its price", *((band.above, band.rates) for band in PLAIN.bands))

ledgers = st.lists(
    st.builds(
        Row,
        price=st.sampled_from([PLAIN, BANDED, FREE, UNKNOWN]),
        usage=usages(),
        state=st.sampled_from(["settled", "settled", "settled", "estimated", "unconfirmed", "released", "corrected"]),
        started_at=st.integers(APRIL - HOUR, APRIL + 3 * DAY),
        project_id=st.sampled_from(["p", "p", "q"]),
        user=st.sampled_from(["ada", "=cmd|' /C calc'!A0", 'quo"te, Ωmega']),
        tier=st.sampled_from([None, "free"]),
        api_key_id=st.sampled_from([None, "k"]),
        byok=st.booleans(),
    ),
    max_size=30,
)


def rows_of(text: str | bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode() if isinstance(text, bytes) else text, newline="")))


def exported(rows: list[Row], starts_at: int, ends_at: int) -> list[dict[str, str]]:
    """What a ledger of these rows gives for project `p` and whole days."""
    owner = Owner(tenant_id="t", tenant_name="-Acme", project_id="p", project_name="@Chat")
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder))
        try:
            plant(database.connection, rows)
            reader = SqlExports(database)
            days = (Period("p", at, at + DAY) for at in range(starts_at, ends_at, DAY))
            parts = [focus_csv(owner, asyncio.run(reader.charges(day))) for day in days]
        finally:
            database.close()
    return rows_of(",".join(FOCUS_COLUMNS).encode() + b"\r\n" + b"".join(parts))


def added(rows: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


def assert_is_focus(rows: list[dict[str, str]]) -> None:
    """Hold rows to the model of FOCUS 1.4, with every condition declared that the linter knows."""
    if rows:
        conditions = (COND_UNIT_PRICING, COND_MULTIPLE_PRICING_CATEGORIES)
        report = lint_focus_1_4_structure(COST_AND_USAGE, rows, supported_conditions=conditions)
        assert report.messages() == []


@settings(max_examples=60, deadline=None)
@given(ledgers)
def test_focus_is_kept_to_and_its_sum_is_the_ledgers(rows: list[Row]) -> None:
    found = exported(rows, APRIL, APRIL + 2 * DAY)
    mine = [row for row in rows if row.project_id == "p" and APRIL <= row.started_at < APRIL + 2 * DAY]

    assert_is_focus(found)
    assert added(found, "EffectiveCost") * NANO == sum(row.charged for row in mine)
    assert added(found, "ListCost") == added(found, "ContractedCost") == added(found, "EffectiveCost")
    assert added(found, "BilledCost") * NANO == sum(row.charged for row in mine if not row.byok)
    rounding = added([row for row in found if row["x_Meter"] == "rounding"], "EffectiveCost") * NANO
    assert 0 <= rounding <= len(mine)  # Each call is rounded by less than one nano-dollar.
    for row in found:
        if row["ListUnitPrice"]:  # To the last digit, where the model allows a billionth.
            assert Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"]) == Decimal(row["ListCost"])
    for name, state in (("x_State", "unconfirmed"), ("x_Meter", "estimated")):
        charged = sum(row.charged for row in mine if row.state == state)
        assert added([row for row in found if row[name] == state], "EffectiveCost") * NANO == charged


@settings(max_examples=60, deadline=None)
@given(ledgers)
def test_every_token_that_was_priced_is_in_focus_once(rows: list[Row]) -> None:
    found = exported(rows, APRIL, APRIL + 2 * DAY)
    priced = [
        row
        for row in rows
        if row.project_id == "p" and APRIL <= row.started_at < APRIL + 2 * DAY and row.state == "settled"
        if row.price is not UNKNOWN
    ]

    tokens = [row for row in found if row["ConsumedUnit"] == "Tokens"]
    assert added(tokens, "ConsumedQuantity") == sum(row.usage.input + row.usage.output for row in priced)


def test_the_model_finds_what_is_wrong() -> None:
    (row,) = [row for row in exported([Row()], APRIL, APRIL + DAY) if row["x_Meter"] == "output-tokens"]
    for column, value in (
        ("ListCost", "1"), ("ChargeCategory", "usage"), ("BilledCost", ""), ("PricingUnit", ""),
        ("ChargePeriodStart", "2026-04-01"), ("BillingCurrency", "dollars"), ("ServiceCategory", "Compute"),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            assert_is_focus([{**row, column: value}])
    with pytest.raises(AssertionError):
        assert_is_focus([{name: value for name, value in row.items() if name != "HostProviderName"}])
    with pytest.raises(AssertionError):
        assert_is_focus([{**row, "Meter": "x"}])


def test_the_columns_are_those_of_focus_and_ours() -> None:
    known = dataset_columns(COST_AND_USAGE)
    levels = {column: column_spec(COST_AND_USAGE, column)["feature_level"] for column in known}
    mandatory = {column for column, level in levels.items() if level == "Mandatory"}

    assert len(mandatory) == 21
    assert mandatory <= set(FOCUS_COLUMNS)
    assert [column for column in FOCUS_COLUMNS if column not in known and not column.startswith("x_")] == []
    assert len(set(FOCUS_COLUMNS)) == len(FOCUS_COLUMNS)


def test_a_call_is_a_row_for_each_meter_and_one_for_the_rounding() -> None:
    usage = Usage(input=100, cached_read=30, output=7)
    found = exported([Row(usage=usage, tier="free", byok=True)] * 2, APRIL, APRIL + DAY)

    assert [
        (row["x_Meter"], row["ConsumedQuantity"], row["ListUnitPrice"], row["EffectiveCost"], row["BilledCost"])
        for row in found
    ] == [
        ("input-tokens", "140", "0.000000150001", "0.00002100014", "0"),
        ("cached-input-tokens", "60", "0.000000075003", "0.00000450018", "0"),
        ("output-tokens", "14", "0.000000600007", "0.000008400098", "0"),
        ("rounding", "", "", "0.000000001582", "0"),
    ]
    assert found[0] == {
        "BilledCost": "0", "BillingAccountId": "t", "BillingAccountName": "'-Acme", "BillingCurrency": "USD",
        "BillingPeriodEnd": "2026-05-01T00:00:00Z", "BillingPeriodStart": "2026-04-01T00:00:00Z",
        "ChargeCategory": "Usage", "ChargeClass": "", "ChargeDescription": "Input tokens (plain)",
        "ChargeFrequency": "Usage-Based", "ChargePeriodEnd": "2026-04-02T00:00:00Z",
        "ChargePeriodStart": "2026-04-01T00:00:00Z", "ConsumedQuantity": "140", "ConsumedUnit": "Tokens",
        "ContractedCost": "0.00002100014", "ContractedUnitPrice": "0.000000150001",
        "EffectiveCost": "0.00002100014", "HostProviderName": "openai", "InvoiceIssuerName": "openai",
        "ListCost": "0.00002100014", "ListUnitPrice": "0.000000150001", "PricingCategory": "Standard",
        "PricingQuantity": "140", "PricingUnit": "Tokens", "ResourceId": "openai/plain", "ResourceName": "plain",
        "ResourceType": "Model", "ServiceCategory": "AI and Machine Learning", "ServiceName": "openai",
        "ServiceProviderName": "openai", "ServiceSubcategory": "Generative AI", "SkuId": "openai/plain",
        "SkuMeter": "input-tokens", "SkuPriceDetails": '{"x_PriceVersion":"table 1","x_InputAbove":0}',
        "SkuPriceId": f"openai/plain/input-tokens/{PLAIN.hash[:16]}", "SubAccountId": "p",
        "SubAccountName": "'@Chat", "SubAccountType": "Project", "Tags": '{"user":"ada","tier":"free"}',
        "x_ApiKeyId": "", "x_Byok": "true", "x_Meter": "input-tokens", "x_PriceHash": PLAIN.hash,
        "x_PriceVersion": "table 1", "x_State": "settled", "x_Tier": "free", "x_UserId": "ada",
    }  # fmt: skip


def test_each_band_of_a_price_has_its_own_unit_price() -> None:
    short, long = Row(price=BANDED, usage=Usage(input=200)), Row(price=BANDED, usage=Usage(input=201))
    found = exported([short, long, long], APRIL, APRIL + DAY)

    assert [
        (row["SkuMeter"], row["PricingQuantity"], row["ListUnitPrice"], row["SkuPriceId"].rpartition("/")[2])
        for row in found
        if row["SkuMeter"]
    ] == [
        ("input-tokens", "200", "0.00000125", BANDED.hash[:16]),
        ("requests", "1", "0.000000000007", BANDED.hash[:16]),
        ("input-tokens", "402", "0.0000025", "above-200"),
        ("requests", "2", "0.000000000011", "above-200"),
    ]


def test_the_last_month_of_a_year_ends_with_it() -> None:
    december = APRIL + 274 * DAY
    (row, *_) = exported([Row(started_at=december)], december, december + DAY)

    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")


@settings(max_examples=300)
@given(st.text())
def test_no_text_starts_a_formula_and_each_can_be_had_back(text: str) -> None:
    cell = safe(text)

    assert cell[:1] not in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    assert (cell[1:] if cell.startswith("'") else cell) == text


# -- over HTTP


@pytest.fixture
async def project(management: Management) -> str:
    """A project whose ledger has a row of each kind, and some of another project's."""
    project, other = await management.project(), await management.project()
    rows = [
        Row(started_at=APRIL + 7, user="=1+1", session_id="@s", thread_id="t", tier="free", api_key_id="k"),
        Row(started_at=APRIL + DAY, state="refused", attempt=0),
        Row(started_at=APRIL + 2 * DAY, state="unconfirmed"),
        Row(started_at=APRIL + 9 * DAY),
        Row(started_at=APRIL, project_id=other),
    ]
    plant(management.database.connection, [_of(row, project) for row in rows])
    return project


def _of(row: Row, project: str) -> Row:
    from dataclasses import replace

    return row if row.project_id != "p" else replace(row, project_id=project)


async def ask(management: Management, project: str, **query: Any) -> list[dict[str, str]]:
    answer = await management.client().get(f"/v1/projects/{project}/usage.csv", params={**SPAN, **query})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return rows_of(answer.content)


async def test_every_attempt_is_a_line_with_every_column_of_the_ledger(management: Management, project: str) -> None:
    found = await ask(management, project)
    columns = [row[1] for row in management.database.connection.execute("pragma table_info(ledger)")]
    renamed = {"user_ref": "user_id", "hold_nano": "hold_usd", "cost_nano": "cost_usd"}

    assert list(found[0]) == [renamed.get(column, column) for column in columns]
    assert list(found[0]) == list(ATTEMPT_COLUMNS)
    assert [row["state"] for row in found] == ["settled", "refused", "unconfirmed"]
    known = {name: value for name, value in found[0].items() if not name.endswith("_id")}
    assert known == {
        "attempt": "1", "operation": "chat", "started_at": "2026-04-01T00:00:00.000007Z",
        "settled_at": "2026-04-01T00:00:01.500008Z", "tier": "free", "byok": "0", "provider": "openai",
        "model_asked": "default", "model": "plain", "stream": "0", "input_tokens": "10", "cached_read_tokens": "0",
        "cache_write_tokens": "0", "output_tokens": "2", "reasoning_tokens": "0", "audio_input_tokens": "0",
        "audio_output_tokens": "0", "images": "0", "calls": "1", "hold_usd": "0.00005", "cost_usd": "0.000002701",
        "currency": "USD", "price_version": "table 1", "price_hash": PLAIN.hash, "state": "settled", "status": "200",
        "error_code": "", "finish_reason": "", "latency_us": "1500000", "first_byte_us": "", "hold_tokens": "500",
        "charged_tokens": "12", "budgets": "", "would_refuse": "", "guard": "",
    }  # fmt: skip
    assert (found[0]["user_id"], found[0]["session_id"], found[0]["thread_id"]) == ("'=1+1", "'@s", "t")
    assert (found[0]["project_id"], found[0]["tenant_id"], found[0]["api_key_id"]) == (project, "t", "k")


async def test_a_file_of_many_parts_has_each_attempt_once(management: Management, project: str) -> None:
    # All but three share their moment, so that the end of a part falls among equals.
    plant(management.database.connection, [Row(project_id=project, started_at=APRIL + 9)] * (2 * ROWS_IN_A_PART + 5))

    found = await ask(management, project)

    assert len(found) == len({row["attempt_id"] for row in found}) == 2 * ROWS_IN_A_PART + 8
    exactly = await ask(management, project, **{"from": "2026-04-01T00:00:00.000008Z", "to": "2026-04-02T00:00:00Z"})
    assert len(exactly) == 2 * ROWS_IN_A_PART + 5


async def test_focus_over_http_covers_whole_days_and_names_its_owners(management: Management, project: str) -> None:
    query = {"format": "focus", "from": "2026-04-01T12:00:00Z", "to": "2026-04-03T01:00:00Z"}
    found = await ask(management, project, **query)

    assert_is_focus(found)
    assert list(found[0]) == list(FOCUS_COLUMNS)
    assert {row["ChargePeriodStart"][:10] for row in found} == {"2026-04-01", "2026-04-03"}
    assert {(row["SubAccountId"], row["SubAccountName"], row["BillingAccountName"]) for row in found} == {
        (project, "Chat", "Acme")
    }
    assert added(found, "EffectiveCost") == Decimal("0.000015046")  # 2,701 and 12,345 nano-dollars


async def test_a_span_without_calls_is_a_file_with_a_head(management: Management, project: str) -> None:
    for form, columns in (("csv", tuple(ATTEMPT_COLUMNS)), ("focus", FOCUS_COLUMNS)):
        answer = await management.client().get(
            f"/v1/projects/{project}/usage.csv", params={"format": form, "from": "2025-01-01", "to": "2025-02-01"}
        )
        assert answer.text == ",".join(columns) + "\r\n"


@pytest.mark.parametrize(
    "query", [{"format": "xml"}, {"from": "soon"}, {"from": "2026-04-02", "to": "2026-04-01T00:00:00Z"}]
)
async def test_a_wrong_parameter_is_refused(management: Management, project: str, query: dict[str, str]) -> None:
    answer = await management.client().get(f"/v1/projects/{project}/usage.csv", params=query)

    assert refusal(answer)[:2] == (400, "VALIDATION_ERROR")
    assert next(iter(query)) in answer.json()["error"]


async def test_an_admin_gets_their_own_projects_alone_and_a_user_none(management: Management, project: str) -> None:
    own = management.client(await management.token((await management.key(project, "admin"))["key"]))
    foreign_key = await management.key(await management.project(), "admin")
    foreign = management.client(await management.token(foreign_key["key"]))
    user = management.client(await management.token((await management.key(project))["key"]))
    path = f"/v1/projects/{project}/usage.csv"

    assert [(await client.get(path)).status_code for client in (own, foreign, user)] == [200, 404, 403]


def test_the_prices_of_these_tests_differ() -> None:
    prices: list[PriceVector] = [PLAIN, BANDED, FREE, UNKNOWN]
    assert len({price.hash for price in prices}) == 4
