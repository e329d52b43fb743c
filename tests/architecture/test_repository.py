"""What is committed builds anywhere: versions are pinned once, and nothing names a machine or a registry."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

from .modules import ROOT

CONSTRAINTS = ROOT / "constraints.txt"

# Written in parts, so that this file does not hold what it looks for.
REGISTRIES = ("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com")
MACHINE = re.compile(
    "|".join(rf"(?<![\w.])/{folder}/[\w.-]+" for folder in ("ro" + "ot", "ho" + "me", "wo" + "rk", "Us" + "ers"))
)
LOCAL_INDEX = re.compile(r"(?i)\bfile://|--find-links|--index-url|--extra-index-url")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is in git, or would be with the next `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    found: list[str] = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:160]}")
    return found


def _pins() -> list[str]:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [line.rstrip(" \\") for line in lines if line and not line.startswith((" ", "#"))]


def test_constraints_are_the_same_for_uv_and_for_nox() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]

    assert settings["constraint-dependencies"] == [pin.replace('"', "'") for pin in _pins()]


def test_every_version_is_pinned_with_a_hash() -> None:
    text = CONSTRAINTS.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())

    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert [pin for pin in _pins() if "==" not in pin] == []


def test_constraints_name_no_address() -> None:
    assert "://" not in CONSTRAINTS.read_text(encoding="utf-8")


def test_none_of_our_own_packages_is_taken_from_an_index() -> None:
    own = {
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"]
        for path in ROOT.glob("packages/*/pyproject.toml")
    }

    assert {pin.partition("==")[0] for pin in _pins()} & (own | {"behest"}) == set()


def test_no_file_names_a_package_registry() -> None:
    assert _lines_with(re.compile("|".join(map(re.escape, REGISTRIES)))) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert _lines_with(MACHINE) == []


def test_no_file_chooses_where_packages_come_from() -> None:
    assert [line for line in _lines_with(LOCAL_INDEX) if not line.startswith("tests/architecture/")] == []


@pytest.mark.parametrize("name", ["uv.lock", ".env", "master.key", "dev.json", "behest.db"])
def test_no_lock_file_no_secret_and_no_state_is_committed(name: str) -> None:
    assert [path for path in tracked() if path.name == name] == []


def test_no_committed_file_is_large() -> None:
    limit = 600_000
    assert [
        f"{path.relative_to(ROOT)}: {path.stat().st_size}" for path in tracked() if path.stat().st_size > limit
    ] == []


def test_no_module_is_named_for_what_is_left_over() -> None:
    vague = re.compile(r"(^|_)(utils?|helpers?|misc|common|tools)\.py$")

    assert [str(path.relative_to(ROOT)) for path in tracked() if vague.search(path.name)] == []
