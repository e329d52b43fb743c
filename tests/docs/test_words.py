"""What documents name is there: files, commands, sessions, variables, links; and what is there is named."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from .blocks import ROOT, blocks_of, documents, prose_of, read, table_rows, tracked, words_of
from .known import command_problem, folders, is_a_file_of_ours, sessions, variables, variables_in

GATEWAY = "packages/gateway/src/behest_gateway"
NEAR_THE_GATEWAY = f"{GATEWAY}/app.py"

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"[\w.-]+(/[\w.-]+)*(\.(py|md|toml|sql|txt|js|yml|ini)|/)|([\w.-]+/)+[\w.-]+\.\w+")
_MADE_WHILE_RUNNING = {".behest/dev", "master.key", "behest.db", "app.py"}
_PLACEHOLDER = re.compile(r"[A-Z]{2,}|…|<%|\{|\*")
RENDERED = [name for name in documents() if not name.startswith("changes/")]


# -- links


def _anchors(document: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents())
def test_every_link_leads_somewhere(document: str) -> None:
    for link in _LINK.findall(prose_of(document)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target.resolve().relative_to(ROOT).as_posix()), link


def test_every_page_of_the_docs_is_linked_from_the_index_for_tools_or_the_readme() -> None:
    linked = {
        ((ROOT / name).parent / link.partition("#")[0]).resolve().relative_to(ROOT).as_posix()
        for name in ("llms.txt", "README.md", "docs/decisions/README.md")
        for link in _LINK.findall(prose_of(name))
        if "://" not in link
    }

    assert {name for name in documents() if name.startswith("docs/")} - linked == set()


# -- files, commands, sessions, variables


@pytest.mark.parametrize("document", documents())
def test_every_file_that_is_named_exists(document: str) -> None:
    template = document.startswith(("templates/", "docs/guides/fastapi-app"))
    near = "templates/fastapi/app.py" if template else NEAR_THE_GATEWAY
    for word in words_of(document):
        if not _PATH.fullmatch(word) or _PLACEHOLDER.search(word) or word.startswith(("/", "http")):
            continue
        found = is_a_file_of_ours(word, document) or is_a_file_of_ours(word, near)
        jinja = is_a_file_of_ours(f"{word}.jinja", near)
        assert found or jinja or word in _MADE_WHILE_RUNNING, word


@pytest.mark.parametrize("document", documents())
def test_every_command_that_is_named_exists(document: str) -> None:
    for word in words_of(document):
        match = re.fullmatch(r"(?:uv run )?behest ([a-z].*)", word)
        if match is None:
            continue
        words = [part for part in match[1].replace("\\", "").split() if part != "…"]
        alternatives = words[0].split("|")
        # `behest budget set|list|remove` speaks of three commands, `behest tenant|project …` of two groups.
        for first in alternatives:
            for second in words[1].split("|") if len(words) > 1 else [""]:
                assert command_problem([first, *([second] if second else []), *words[2:]]) is None, word


@pytest.mark.parametrize("document", documents())
def test_every_session_that_is_named_exists(document: str) -> None:
    text = read(document)

    assert set(re.findall(r"\bnox -s (\w+)", text)) <= set(sessions())


@pytest.mark.parametrize("document", documents())
def test_every_variable_that_is_named_is_read_somewhere(document: str) -> None:
    assert variables_in(read(document)) - variables() == set()


def test_every_document_that_code_points_to_exists() -> None:
    code = [
        name
        for name in tracked()
        if name.endswith((".py", ".yml", ".toml", ".js")) and not name.startswith("tests/docs/")
    ]
    named = {path for name in code for path in re.findall(r"\bdocs/[\w/-]+\.md\b", read(name))}

    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


# -- CONTRIBUTING, ARCHITECTURE


def test_contributing_names_every_session_of_nox() -> None:
    documented = [row[0].strip("`") for row in table_rows("CONTRIBUTING.md", "Session")]

    assert sorted(documented) == sorted(sessions())


def test_every_session_of_nox_says_what_it_does() -> None:
    assert [name for name, said in sessions().items() if not said] == []


def _tables_of_folders() -> tuple[set[str], set[str]]:
    """The folders of the two tables of ARCHITECTURE: the repository's and the gateway's."""
    rows = re.findall(r"^\| `([\w./-]+)` \| (.+) \|$", prose_of("ARCHITECTURE.md"), re.MULTILINE)
    repository, _, rest = prose_of("ARCHITECTURE.md").partition("Inside `packages/gateway")
    assert all(len(said) > 10 for _, said in rows)
    named = re.compile(r"^\| `([\w./-]+)` \|", re.MULTILINE)
    return set(named.findall(repository)), set(named.findall(rest.partition("\n## ")[0]))


def test_architecture_names_every_folder_of_the_repository() -> None:
    top = {name for name in folders() if "/" not in name and name != "packages"}
    packages = {name for name in folders() if re.fullmatch(r"packages/[^/]+", name)}

    assert _tables_of_folders()[0] == top | packages


def test_architecture_names_every_folder_of_the_gateway() -> None:
    inside = {name.removeprefix(f"{GATEWAY}/") for name in folders() if name.startswith(f"{GATEWAY}/")}

    assert _tables_of_folders()[1] == inside


def test_architecture_draws_every_stage() -> None:
    drawn = blocks_of("ARCHITECTURE.md")[0].text
    stages = {PurePosixPath(name).name for name in folders() if re.fullmatch(rf"{GATEWAY}/stages/[^/]+", name)}

    assert stages == set(re.findall(r"stages/(\w+)", drawn))
    order = re.findall(r"stages/(\w+(?: \(\w+\))?)", drawn)
    assert order == [
        "door (address)", "authenticate", "door (enter)", "compose", "guard", "route", "door (weigh)", "admit",
        "upstream", "meter", "record",
    ]  # fmt: skip


def test_every_fragment_has_a_name_that_a_release_understands() -> None:
    fragments = [PurePosixPath(name).name for name in tracked() if name.startswith("changes/")]

    assert all(
        re.fullmatch(r"README\.md|\d+(\.[a-z-]+)?\.(feature|fix|change|removal|security)\.md", name)
        for name in fragments
    )
