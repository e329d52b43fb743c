"""The reference says what the code says: every setting, code, route, header, column and ending, and nothing besides."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from itertools import product
from typing import Any, get_args

import pytest
from behest_gateway.control.exporting import ATTEMPT_COLUMNS
from behest_gateway.control.focus import FOCUS_COLUMNS
from behest_gateway.control.settings import settings_json
from behest_gateway.core.budgets import Amounts
from behest_gateway.core.exchange import Admitted, Entry, Hold, Plan, Profile, Provider, Routed
from behest_gateway.core.prices import Band, PriceVector, Rates
from behest_gateway.core.snapshot import ProjectSettings
from behest_gateway.stages.meter.rules import Ending, charge
from behest_gateway.stages.route.profiles import profile_of
from behest_protocol.errors import KINDS
from behest_protocol.headers import EXPOSED
from behest_protocol.usage import Usage

from ..support.gateway import Gateway
from .blocks import ROOT, prose_of, read, table_rows, words_of
from .known import command_problem, settings

GATEWAY = "packages/gateway/src/behest_gateway"


def bare(cell: str) -> str:
    """A cell without the marks of code."""
    return cell.replace("`", "")


# -- settings


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_every_setting_is_documented_with_its_default_and_its_sentence() -> None:
    documented = [tuple(row) for row in table_rows("docs/reference/settings.md", "Variable")]

    assert documented == [
        (f"`{variable}`", _shown(option.default), option.metadata["help"]) for variable, option in settings().items()
    ]


def test_every_setting_that_is_no_secret_is_a_flag() -> None:
    secrets = {"admin_token", "encryption_key", "openai_api_key"}
    for option in settings().values():
        flag = f"--{option.name.replace('_', '-')}"
        assert (command_problem(["gateway", flag]) is None) == (option.name not in secrets), flag


def test_every_setting_of_a_project_is_documented_with_its_default() -> None:
    rows = table_rows("docs/reference/settings.md", "Setting")

    assert {bare(row[0]): json.loads(bare(row[1])) for row in rows} == settings_json(ProjectSettings())


# -- errors


def test_every_error_code_is_documented_as_it_is() -> None:
    rows = table_rows("docs/reference/errors.md", "Code")
    documented = [(bare(row[0]), int(row[1]), bare(row[2]), row[3], row[4]) for row in rows]

    assert documented == [
        (kind.code, kind.status, kind.type, "yes" if kind.retryable else "no", kind.meaning) for kind in KINDS.values()
    ]
    assert [row[0] for row in rows if len(row[5]) < 10] == []


def test_an_error_code_that_is_not_sent_yet_is_marked() -> None:
    marked = {
        bare(row[0]) for row in table_rows("docs/reference/errors.md", "Code") if row[5].startswith("Not sent yet")
    }
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / GATEWAY).rglob("*.py"))

    assert marked == {name for name in KINDS if f'"{name}"' not in code}


def test_every_reason_of_a_401_is_documented() -> None:
    sources = [read(f"{GATEWAY}/stages/authenticate/{name}.py") for name in ("rules", "stage")]
    calls = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = {
        node.args[1].value
        for node in calls
        if ast.unparse(node.func).endswith("unauthorized")
        and len(node.args) == 2
        and isinstance(node.args[1], ast.Constant)
    }
    sentence = re.search(r"`details\.reason` of a 401 is one of ([^.]+)\.", prose_of("docs/reference/errors.md"))

    assert sentence is not None
    assert set(re.findall(r"`(\w+)`", sentence[1])) == named


# -- routes and headers


def _routes(document: str) -> set[str]:
    return {word for word in words_of(document) if re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) /\S*", word)}


def test_every_route_of_management_is_documented(gateway: Gateway) -> None:
    described = gateway.client.get("/v1/openapi.json").json()["paths"]
    real = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    prose = prose_of("docs/reference/http-api.md")
    documented = set(re.findall(r"^\| `([A-Z]+ /\S+)` \|", prose.partition("## Management")[2], re.MULTILINE))

    assert documented == real


def test_every_other_route_is_documented(gateway: Gateway) -> None:
    sources = read(f"{GATEWAY}/http/front.py") + read(f"{GATEWAY}/http/mint_api.py")
    real = set(re.findall(r'"(/(?:[\w.{}-]+(?:/[\w.{}-]+)*)?)"', sources))
    prose = prose_of("docs/reference/http-api.md").partition("## Management")[0]
    documented = re.findall(r"^\| `([A-Z]+) (/\S*)` \|", prose, re.MULTILINE)

    assert {path for _, path in documented} | {"/v1/openapi.json"} == real
    for method, path in documented:
        assert gateway.client.request(method, path).status_code in (200, 401), path
        other = "PUT" if method != "PUT" else "GET"
        assert gateway.client.request(other, path).status_code in (200, 401, 404, 405), path


def test_every_route_that_a_document_speaks_of_is_in_the_reference() -> None:
    known = _routes("docs/reference/http-api.md") | {"GET {provider_url}/_fake/bill"}
    names = "budgets rates threads tiers tokens-and-keys fastapi-app self-hosting usage simulate"
    guides = [f"docs/guides/{name}.md" for name in names.split()]
    ours = ["README.md", "SECURITY.md", "docs/quickstart.md", *guides]
    of_the_app = {"POST /api/behest/token"}

    assert {route for name in ours for route in _routes(name)} - known - of_the_app == set()


def test_every_header_that_a_page_may_read_is_documented() -> None:
    documented = {
        name
        for row in table_rows("docs/reference/http-api.md", "Answer header")
        for name in re.findall(r"`([^`]+)`", row[0])
    }
    code = read(f"{GATEWAY}/http/rates.py")

    assert documented == set(EXPOSED)
    assert [name for name in EXPOSED if "ratelimit" in name.lower() and f'b"{name.lower()}"' not in code] == []


# -- the ledger


def _schema() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for path in sorted((ROOT / GATEWAY / "adapters/sql/migrations").glob("*.sql")):
        connection.executescript(
            path.read_text(encoding="utf-8").replace(") strict, without rowid;", ");").replace(") strict;", ");")
        )
    return connection


def test_every_column_of_the_ledger_is_documented() -> None:
    connection = _schema()
    real = [row[1] for row in connection.execute("pragma table_info(ledger)")]
    connection.close()

    assert [bare(row[0]) for row in table_rows("docs/reference/ledger.md", "Column")] == real


def test_every_state_of_the_ledger_is_documented() -> None:
    text = read(f"{GATEWAY}/adapters/sql/migrations/0001_initial.sql").partition("create table ledger")[2]
    allowed = re.search(r"state in \(([^)]+)\)", text)

    assert allowed is not None
    assert [bare(row[0]) for row in table_rows("docs/reference/ledger.md", "State")] == re.findall(
        r"'(\w+)'", allowed[1]
    )


# -- exports


def test_every_column_of_an_export_is_documented() -> None:
    rows = table_rows("docs/reference/exports.md", "Column of the file")
    instead = {bare(row[1]): bare(row[0]) for row in rows}
    connection = _schema()
    ledger = [row[1] for row in connection.execute("pragma table_info(ledger)")]
    connection.close()

    assert [instead.get(column, column) for column in ledger] == list(ATTEMPT_COLUMNS)
    assert [bare(row[0]) for row in table_rows("docs/reference/exports.md", "FOCUS column")] == list(FOCUS_COLUMNS)


def test_every_meter_is_documented() -> None:
    code = read(f"{GATEWAY}/control/focus.py")
    named = set(re.findall(r'"([a-z]+(?:-[a-z]+)*)",\s+"[A-Z]', code)) | set(re.findall(r'meter="(\w+)"', code))
    without_tokens = set(re.findall(r'^    "(\w+)": "', code, re.MULTILINE))

    assert {bare(row[0]) for row in table_rows("docs/reference/exports.md", "Meter")} == named | without_tokens


# -- charges

FEMTO = 1_000_000
_PRICE = PriceVector(
    provider="openai",
    model="m",
    bands=(
        Band(
            above=0,
            rates=Rates(
                input=2 * FEMTO, output=10 * FEMTO, cached_read=0, cache_write=0, audio_input=0, audio_output=0
            ),
        ),
    ),
    version="v",
    hash="h",
)
_HOLD, _INPUT, _BYTES, _IN_FLIGHT = 100_000, 700, 50, 64
_SAID = Usage(input=100, output=7)


def _admitted(kind: str) -> Admitted:
    plan = Plan(
        number=1,
        provider=Provider(name="openai", base_url="http://p", api_key=None, official=False),
        model="m",
        profile=Profile(hides_output="hides" in kind, in_flight_tokens=_IN_FLIGHT),
        price=_PRICE,
        max_tokens_field="max_tokens",
        payload=b"{}",
    )
    texts: dict[str, Any] = dict.fromkeys(("attempt_id", "request_id", "tenant_id", "project_id", "user_id"), "x")
    priced: dict[str, Any] = {
        "provider": "openai",
        "model_asked": "m",
        "model": "m",
        "price_version": "v",
        "price_hash": "h",
    }
    unknown: dict[str, Any] = dict.fromkeys(("api_key_id", "session_id", "thread_id", "tier"))
    is_stream = kind.startswith("stream")
    entry = Entry(attempt=1, operation="chat", started_at=0, stream=is_stream, **texts, **priced, **unknown)
    amounts, into = Amounts(_HOLD, 1000, 1), Amounts(_INPUT, 100, 1)
    hold = Hold(attempt_id="x", amounts=amounts, input=into, max_tokens=900, slots=(), expires_at=0)
    routed: Any = Routed(None, (plan,))  # type: ignore[arg-type]  # charging looks at the plan, the entry and the hold
    return Admitted(routed=routed, plan=plan, entry=entry, hold=hold, clamped=False, since=0.0)


def _row_for(ending: str, said: bool, kind: str) -> list[str]:
    """The first row that speaks of an ending."""
    for row in table_rows("docs/reference/charges.md", "Ending"):
        endings = re.findall(r"`(\w+)`", row[0]) or list(get_args(Ending))
        if ending in endings and row[1].startswith("yes") == said and row[2] in ("any", kind):
            return row
    raise AssertionError(f"the table does not speak of {ending}, {said}, {kind}")


_CHARGED = {
    "what the provider said, at the price that was held by": 100 * 2 + 7 * 10,
    "nothing": 0,
    "the hold": _HOLD,
    "input bound + output bound of the bytes that arrived + what may be in flight; at most the hold": _INPUT
    + (_BYTES + _IN_FLIGHT) * 10,
}


@pytest.mark.parametrize("kind", ["stream", "stream of a model that hides output", "JSON"])
@pytest.mark.parametrize(("ending", "said"), list(product(get_args(Ending), (True, False))))
def test_every_ending_is_charged_as_the_table_says(ending: Ending, said: bool, kind: str) -> None:
    row = _row_for(ending, said, kind)

    made = charge(ending, _SAID if said else None, _admitted(kind), _BYTES)
    assert (made.state, made.amounts.nano) == (bare(row[3]), _CHARGED[row[4]])


def test_an_estimate_is_at_most_the_hold() -> None:
    made = charge("caller_left", None, _admitted("stream"), 10**9)
    assert (made.state, made.amounts.nano) == ("estimated", _HOLD)


def test_the_numbers_of_the_charges_are_those_of_the_code() -> None:
    text = prose_of("docs/reference/charges.md")

    assert f"{profile_of('gpt-4o-mini').in_flight_tokens} tokens" in text
    codes = {bare(row[4]) for row in table_rows("docs/reference/charges.md", "What happened") if row[3] == "0"}
    assert codes == set(re.findall(r'error_code="(\w+)"', read(f"{GATEWAY}/adapters/sql/ledger.py")))
