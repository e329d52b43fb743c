"""How each block of a document is put to the test. A block that nothing here knows fails, so none is passed over.

- `python` is run, and `sh` is run, in order, as by a reader who follows the document from its beginning. What must not
  happen in a test (installing, a session of nox, a server that stays) is taken out line by line and checked instead.
- `text` and `json` right after a block that runs are what it prints.
- `console` is run as well: its lines after `$`. The others must be printed, in their order; it may leave some out.
- Whatever else is checked by its marker, its language, or, in documents that cannot hold a marker, by its place.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from behest_fakes import script as fake_script
from behest_gateway.adapters.prices import read_overrides

from ..support.processes import environment
from ..templates.rendering import listening, serving
from .auth_app import auth_app
from .blocks import ROOT, Block
from .known import command_problem, is_a_file_of_ours, sessions, settings, variables
from .outputs import in_their_order, same_json, same_text
from .place import Place, Ran, read_env_file

_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|sql|db)\b|\b(?:[a-z_]+/)+(?!\w)")
_PORT = re.compile(r":\d+\b")
_EXITS = re.compile(r"exits (\d+)")


class UnknownBlockError(Exception):
    """Nobody knows how to put this block to the test."""


# Lines of shell that are checked instead of run -------------------------------------------------------------------


def _nox(match: re.Match[str], place: Place) -> None:
    words = match["session"].split() if match["session"] else []
    words = words[: words.index("--")] if "--" in words else words
    if words and words != ["-l"]:
        assert words[0] == "-s"
        assert set(words[1:]) <= set(sessions())


def _stays(match: re.Match[str], place: Place) -> None:
    words = match["words"].split()
    assert command_problem(words) is None
    done = subprocess.run(
        [sys.executable, "-m", "behest_cli", *words, "--help"],
        env=environment(),
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0


def _uvicorn(match: re.Match[str], place: Place) -> None:
    folder = place.cwd
    env = read_env_file(folder / ".env")
    with listening() as (listener, url), serving(folder, listener, env), httpx.Client(timeout=30) as client:
        page = client.get(url, follow_redirects=True)
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


def _packages(match: re.Match[str], place: Place) -> None:
    for word in match["packages"].split("#")[0].split():
        if word.startswith("./"):
            assert (ROOT / word / "pyproject.toml").is_file(), word
        else:
            assert re.search(rf"^{re.escape(word)}==", (ROOT / "constraints.txt").read_text(), re.MULTILINE), word


def _variable(match: re.Match[str], place: Place) -> None:
    assert match["name"] in variables()


def _template(match: re.Match[str], place: Place) -> None:
    assert (ROOT / "copier.yml").is_file()


def _workspace(match: re.Match[str], place: Place) -> None:
    assert "[tool.uv.workspace]" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


Checker = Callable[[re.Match[str], Place], None]

_CHECKED: tuple[tuple[re.Pattern[str], Checker], ...] = (
    (re.compile(r"(?:python3 -m pip install -q uv && )?uvx nox(?: (?P<session>.+))?"), _nox),
    (re.compile(r"python3 -m pip install -q (?P<packages>uv)"), lambda match, place: None),
    (re.compile(r"uvx copier copy \. [\w-]+"), _template),
    (re.compile(r"uv sync"), _workspace),
    (re.compile(r"(?:uv run |\.venv/bin/)?behest (?P<words>(?:dev|gateway)\b.*)"), _stays),
    (re.compile(r"uv run --env-file \.env uvicorn app:app --port \d+"), _uvicorn),
    (re.compile(r"pip install (?P<packages>[^-].*)"), _packages),
    (re.compile(r"export (?P<name>\w+)=[^$]*"), _variable),
)


def checked_line(line: str) -> tuple[re.Match[str], Checker] | None:
    """The check for a line that no test runs, or None for a line that is run."""
    for pattern, check in _CHECKED:
        match = pattern.fullmatch(line.strip())
        if match is not None:
            return match, check
    return None


def _shell(block: Block, place: Place) -> Ran:
    wanted = _EXITS.fullmatch(block.marker)
    kept: list[str] = []
    printed = Ran(code=0, out="", err="")

    def run() -> Ran:
        script = "\n".join(kept)
        kept.clear()
        if not script.strip():
            return printed
        ran = place.shell(script + "\n")
        assert ran.code == (int(wanted[1]) if wanted else 0), f"it ended with {ran.code}:\n{ran.out}{ran.err}"
        return Ran(code=ran.code, out=printed.out + ran.out + (ran.err if wanted else ""), err="")

    for line in block.text.splitlines():
        found = checked_line(line)
        if found is None:
            kept.append(line)
        else:
            printed = run()
            match, check = found
            check(match, place)
    return run()


def _python(block: Block, place: Place) -> Ran:
    ran = place.python(block.text)
    assert ran.code == 0, f"it ended with {ran.code}:\n{ran.out}{ran.err}"
    return ran


def _console(block: Block, place: Place) -> Ran:
    lines = block.text.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    shown = [line for line in lines if not line.startswith("$ ")]
    if commands == ["behest dev"]:
        printed = place.until("Ctrl-C stops it", "behest", "dev", "--port", "0", "--data-dir", ".behest/shown")
        shown, printed = [_unboxed(line) for line in shown], "\n".join(map(_unboxed, printed.splitlines()))
    else:
        printed = place.shell("exec 2>&1\n" + "\n".join(commands) + "\n").out
    in_their_order(shown, printed)
    return Ran(code=0, out=printed, err="")


def _unboxed(line: str) -> str:
    return _PORT.sub(":<port>", re.sub(r"[╭╮╰╯│─]+", " ", line).replace(".behest/shown", ".behest/dev"))


# Blocks that are neither run nor printed ----------------------------------------------------------------------------


def _drawing(block: Block, place: Place) -> None:
    """Every file and folder that is drawn is there."""
    named = [found.group().rstrip("/") for found in _FILE.finditer(block.text)]
    assert named
    assert [name for name in named if not is_a_file_of_ours(name, "packages/gateway/src/behest_gateway/app.py")] == []


def _app(block: Block, place: Place) -> None:
    """It serves, refuses whoever is not signed in, and answers what a page needs."""
    folder = place.folder / "app-of-this-block"
    folder.mkdir()
    (folder / "app.py").write_text(block.text, encoding="utf-8")
    with listening() as (listener, url), serving(folder, listener, place.env), httpx.Client(timeout=30) as client:
        refused = client.post(f"{url}/api/behest/token")
        minted = client.post(f"{url}/api/behest/token", headers={"Cookie": "session=of-ada"})
    assert refused.status_code == 401
    assert minted.status_code == 200
    assert sorted(minted.json()) == ["expiresAt", "sessionId", "token", "ttl"]


def _prices(block: Block, place: Place) -> None:
    """The gateway takes it as its file of prices."""
    file = place.folder / "prices.json"
    file.write_text(block.text, encoding="utf-8")
    assert set(read_overrides(file)) == set(json.loads(block.text))


def _cut_stream(block: Block, place: Place) -> None:
    """A provider that breaks off makes a stream end like this."""
    rule = {"when": {"contains": "Break off"}, "fault": {"kind": "cut", "after_tokens": 2}}
    with httpx.Client(timeout=30) as client:
        client.post(f"{place.ready['provider_url']}/_fake/script", json=rule).raise_for_status()
        key = {"Authorization": f"Bearer {place.ready['api_key']}"}
        minted = client.post(f"{place.ready['base_url']}/v1/auth/mint", json={"user_id": "u"}, headers=key).json()
        answer = client.post(
            f"{place.ready['base_url']}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "Break off"}], "stream": True},
            headers={"Authorization": f"Bearer {minted['jwt']}"},
        )
    assert answer.status_code == 200
    assert answer.text.endswith(block.text.rstrip("\n") + "\n\n")


def _nginx(block: Block, place: Place) -> None:
    """nginx takes it, where there is one; `.ci/run` installs it."""
    assert block.text.count("{") == block.text.count("}")
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if program is None:
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = place.folder / "nginx.conf"
    text = block.text.replace("listen 8443;", f"listen 127.0.0.1:{port};")
    paths = "".join(
        f"{name}_temp_path {place.folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"pid {place.folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
    )
    done = subprocess.run(
        [program, "-t", "-q", "-p", str(place.folder), "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _unit(block: Block, place: Place) -> None:
    """systemd would start a command that exists."""
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    program, *words = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "behest"
    assert command_problem(words) is None


def _env(block: Block, place: Place) -> None:
    """Each variable is a setting of the gateway."""
    assert [line for line in block.text.splitlines() if line.split("=")[0] not in settings()] == []


def _include(block: Block, place: Place) -> None:
    """A template includes a file that is there."""
    for path in re.findall(r'include "([^"]+)"', block.text):
        assert (ROOT / path).is_file()


def _fake_rule(block: Block, place: Place) -> None:
    """Every field of a rule of the fake provider is one that it knows."""
    shown = json.loads(block.text)
    assert set(shown) <= set(fake_script.Rule.__annotations__)
    assert set(shown["when"]) == set(fake_script.When.__annotations__)


Check = Callable[[Block, Place], None]

_BY_MARKER: dict[str, Check] = {
    "drawing": _drawing,
    "app": _app,
    "auth app": auth_app,
    "prices": _prices,
    "cut stream": _cut_stream,
}
_BY_LANGUAGE: dict[str, Check] = {"nginx": _nginx, "ini": _unit, "env": _env, "jinja": _include}
_BY_PLACE: dict[tuple[str, str], Check] = {("packages/fakes/README.md", "json"): _fake_rule}


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What is done with a block.

    Attributes:
        run: Runs it, and says what it printed.
        check: Checks it.
        printed_by: The block that prints it.
    """

    run: Callable[[Block, Place], Ran] | None = None
    check: Check | None = None
    printed_by: Block | None = None


def treatment_of(block: Block, before: Block | None) -> Treatment:
    """How a block is put to the test.

    Args:
        before: The block before it in its document.

    Raises:
        UnknownBlockError: Nobody knows.
    """
    runs = before is not None and before.language in ("python", "sh") and not before.marker.endswith("app")
    by_place = _BY_PLACE.get((block.document, block.language))
    if block.marker in _BY_MARKER:
        return Treatment(check=_BY_MARKER[block.marker])
    if block.language == "python" and not block.marker:
        return Treatment(run=_python)
    if block.language == "sh" and (not block.marker or _EXITS.fullmatch(block.marker)):
        return Treatment(run=_shell)
    if block.language == "console" and not block.marker:
        return Treatment(run=_console)
    if block.marker:
        raise UnknownBlockError(f"{block.name}: nobody knows the marker {block.marker!r}")
    if block.language in _BY_LANGUAGE:
        return Treatment(check=_BY_LANGUAGE[block.language])
    if by_place is not None:
        return Treatment(check=by_place)
    if block.language in ("text", "json") and runs:
        return Treatment(printed_by=before)
    raise UnknownBlockError(
        f"{block.name}: nobody knows how to put a block of {block.language or 'no language'} to the test"
    )


def follow(blocks: tuple[Block, ...], place: Place) -> None:
    """Follow a document from its beginning.

    Raises:
        AssertionError: A block does not do what it should; the message says which.
    """
    before: Block | None = None
    printed = ""
    for block in blocks:
        treatment = treatment_of(block, before)
        try:
            if treatment.run is not None:
                printed = treatment.run(block, place).out
            elif treatment.check is not None:
                treatment.check(block, place)
            elif block.language == "json":
                same_json(block.text, printed)
            else:
                same_text(block.text, printed)
        except (AssertionError, ValueError) as problem:
            raise AssertionError(f"{block.name}\n\n{block.text}\n{problem}") from None
        before = block
