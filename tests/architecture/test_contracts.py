"""The import contracts of `.importlinter` hold, miss nothing, and each of them would say so if it did not."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .modules import ROOT, ours

CONFIG = ROOT / ".importlinter"
GATEWAY = ROOT / "packages/gateway/src/behest_gateway"
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"

# The contract's id, the module that is changed, what it is made to import, and the line that must be reported.
PLANTED = [
    ("packages", "behest_fakes.bill", "behest_gateway.core.prices", "behest_fakes.bill"),
    ("packages", "behest_gateway.core.ids", "behest._version", "behest_gateway.core.ids"),
    ("packages", "behest_protocol.money", "behest_fakes.prices", "behest_protocol.money"),
    ("down", "behest_gateway.http.health", "behest_gateway.adapters.memory", "behest_gateway.http.health"),
    ("down", "behest_gateway.adapters.memory", "behest_gateway.http.cors", "behest_gateway.adapters.memory"),
    ("down", "behest_gateway.mint.rules", "behest_gateway.control.rules", "behest_gateway.mint.rules"),
    ("down", "behest_gateway.adapters.rates", "behest_gateway.settings", "behest_gateway.adapters.rates"),
    ("down", "behest_gateway.core.windows", "behest_gateway.stages.door.rules", "behest_gateway.core.windows"),
    ("stages", "behest_gateway.stages.admit.stage", "behest_gateway.stages.route.stage", "stages.admit.stage"),
    ("stages", "behest_gateway.stages.record.stage", "behest_gateway.stages.admit.ports", "stages.record.stage"),
    ("snapshot", "behest_gateway.stages.route.stage", "behest_gateway.control.records", "stages.route.stage"),
    ("rules", "behest_gateway.stages.meter.rules", "asyncio", "behest_gateway.stages.meter.rules"),
    ("pure", "behest_gateway.stages.upstream.dialects.openai", "httpx", "upstream.dialects.openai"),
    ("pure", "behest_gateway.pipeline", "sqlite3", "behest_gateway.pipeline"),
    ("pure", "behest_gateway.control.tenants", "apsw", "behest_gateway.control.tenants"),
    ("pure", "behest_gateway.mint.signing", "fastapi", "behest_gateway.mint.signing"),
    ("pure", "behest_protocol.sse", "socket", "behest_protocol.sse"),
    ("composition", "behest_gateway.serving", "behest_gateway.adapters.network", "behest_gateway.serving"),
    ("hot", "behest_gateway.http.data_api", "starlette.requests", "behest_gateway.http.data_api"),
    ("packages", "behest_auth.exchange", "behest._version", "behest_auth.exchange"),
    ("verifying", "behest_auth.providers.clerk", "httpx", "behest_auth.providers.clerk"),
    ("judging", "behest_auth.rules.callers", "asyncio", "behest_auth.rules.callers"),
    ("front", "behest_gateway.adapters.network", "uvicorn", "behest_gateway.adapters.network"),
]


def _contracts() -> dict[str, configparser.SectionProxy]:
    config = configparser.ConfigParser()
    config.read(CONFIG, encoding="utf-8")
    return {name.removeprefix("importlinter:contract:"): config[name] for name in config.sections() if ":" in name}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _lint(folder: Path, *sources: Path) -> tuple[int, str]:
    """Hold the contracts of `folder`, over the packages in some source folders."""
    paths = os.pathsep.join([*map(str, sources), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_contract_is_kept() -> None:
    code, said = _lint(ROOT)

    assert code == 0, said
    assert f"Contracts: {len(_contracts())} kept, 0 broken." in said


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages' sources and the contracts, to be changed by tests."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(CONFIG, folder)
    for source in ROOT.glob("packages/*/src"):
        shutil.copytree(source, folder / source.parent.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(("contract", "module", "imported", "named"), PLANTED)
def test_a_planted_violation_is_reported(copy: Path, contract: str, module: str, imported: str, named: str) -> None:
    path = next(copy.glob(f"*/{module.replace('.', '/')}.py"))
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n\ndef planted():\n    import {imported}\n    return {imported}\n", encoding="utf-8")
    try:
        code, said = _lint(copy, *(child for child in copy.iterdir() if child.is_dir()))
    finally:
        path.write_text(before, encoding="utf-8")

    heading = _contracts()[contract]["name"]
    assert code != 0
    assert f"{heading} BROKEN" in said
    _, _, broken = said.rpartition("Broken contracts")
    reported = broken.partition(heading)[2]
    assert f"{named} -> {imported.split('.')[0]}" in reported, said


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract for contract, *_ in PLANTED} == set(_contracts())


def test_every_stage_of_the_tree_is_in_the_contract_of_stages() -> None:
    stages = {path.parent.name for path in GATEWAY.glob("stages/*/__init__.py")}

    assert {line.rpartition(".")[2] for line in _lines(_contracts()["stages"]["modules"])} == stages
    assert stages == {
        "door", "authenticate", "compose", "guard", "route", "admit", "upstream", "meter", "record",
    }  # fmt: skip


def test_every_rule_of_the_tree_is_in_the_contract_of_rules() -> None:
    named = _lines(_contracts()["rules"]["source_modules"])
    gateway = [name for name in ours() if name.startswith("behest_gateway.")]
    pure = [name for name in gateway if name.endswith((".rules", ".profiles")) or ".dialects" in name]

    assert [name for name in pure if not any(f"{name}.".startswith(f"{one}.") for one in named)] == []


def test_every_page_of_the_front_but_management_is_in_the_contract_of_the_hot_path() -> None:
    pages = {
        f"behest_gateway.http.{path.stem}"
        for path in GATEWAY.glob("http/*.py")
        if path.stem != "__init__" and not path.stem.startswith("management_")
    }

    assert set(_lines(_contracts()["hot"]["source_modules"])) == pages


def test_every_package_is_in_the_contracts() -> None:
    config = configparser.ConfigParser()
    config.read(CONFIG, encoding="utf-8")
    packages = {path.parent.name for path in ROOT.glob("packages/*/src/*/__init__.py")}

    assert set(_lines(config["importlinter"]["root_packages"])) == packages
