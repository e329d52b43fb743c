"""Every block of code in every document does what it says, and none is passed over."""

from __future__ import annotations

import pytest

from .blocks import Block, DocumentError, blocks_in, blocks_of, documents
from .conftest import PlaceFor
from .outputs import same_json, same_text
from .treatments import UnknownBlockError, checked_line, follow, treatment_of

WITH_BLOCKS = [document for document in documents() if blocks_of(document)]


def test_the_documents_are_found() -> None:
    assert {
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/quickstart.md",
        "packages/client/README.md",
        "packages/fakes/README.md",
        "templates/fastapi/README.md.jinja",
        "templates/fastapi/AGENTS.md.jinja",
    } <= set(documents())


@pytest.mark.parametrize("document", WITH_BLOCKS)
def test_every_block_has_a_treatment(document: str) -> None:
    before: Block | None = None
    for block in blocks_of(document):
        treatment_of(block, before)
        before = block


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", WITH_BLOCKS)
def test_a_document_can_be_followed(document: str, place_for: PlaceFor) -> None:
    follow(blocks_of(document), place_for(document))


def _block(language: str, text: str = "x\n", marker: str = "") -> Block:
    return Block(document="some.md", line=1, language=language, marker=marker, text=text)


@pytest.mark.parametrize(
    ("block", "before"),
    [
        (_block("javascript"), None),
        (_block(""), None),
        (_block("text"), None),
        (_block("json"), _block("text")),
        (_block("sh", marker="skip"), None),
        (_block("python", marker="exits 1"), None),
    ],
)
def test_a_block_without_a_known_treatment_fails(block: Block, before: Block | None) -> None:
    with pytest.raises(UnknownBlockError, match=r"some\.md:1"):
        treatment_of(block, before)


@pytest.mark.parametrize(
    "line",
    [
        "curl localhost",
        "uv run behest chat hello",
        "rm -r x",
        "uvx something",
        "pip install --upgrade x",
        "export A=$(b)",
    ],
)
def test_a_line_is_run_unless_it_is_known_not_to_be(line: str) -> None:
    assert checked_line(line) is None


def test_a_wrong_program_or_a_wrong_output_is_found(place_for: PlaceFor) -> None:
    place = place_for("some.md")
    good = (_block("sh", "echo 1\n"), _block("text", "1\n"), _block("python", "print(2)\n"), _block("json", "2\n"))
    follow(good, place)
    for wrong in (
        (_block("sh", "echo 1\n"), _block("text", "2\n")),
        (_block("sh", "false\necho\n"),),
        (_block("sh", "exit 3\n", marker="exits 2"),),
        (_block("sh", "uvx nox -s nothing\n"),),
        (_block("sh", "uv run behest dev --nothing\n"),),
        (_block("sh", "uv run behest nothing\n"),),
        (_block("sh", "uv pip install something\n"),),
        (_block("sh", "pip install ./packages/nothing\n"),),
        (_block("sh", "export BEHEST_NOTHING=x\n"),),
        (_block("python", "print(nothing)\n"),),
        (_block("python", "print('[1]')\n"), _block("json", "[2]\n")),
        (_block("text", "core/nothing.py\n", marker="drawing"),),
        (_block("env", "BEHEST_GATEWAY_NOTHING=1\n"),),
    ):
        with pytest.raises(AssertionError, match=r"some\.md:1"):
            follow(wrong, place)


def test_a_shell_keeps_its_folder_and_variables_from_block_to_block(place_for: PlaceFor) -> None:
    place = place_for("some.md")
    follow(
        (
            _block("sh", "mkdir inner\ncd inner\nA='one two'\n"),
            _block("sh", 'echo "$A in $(basename "$PWD")"\n'),
            _block("text", "one two in inner\n"),
        ),
        place,
    )


def test_a_console_shows_lines_that_are_printed_in_that_order(place_for: PlaceFor) -> None:
    place = place_for("some.md")
    follow((_block("console", "$ echo one two; echo x >&2\none …\nx\n$ echo three\n"),), place)
    for wrong in ("$ echo one\ntwo\n", "$ echo one\n$ echo two\ntwo\none\n"):
        with pytest.raises(AssertionError, match="is not printed"):
            follow((_block("console", wrong),), place)


def test_outputs_differ_in_what_varies_and_in_nothing_else() -> None:
    same_text(
        "a  01a20873-d224-734f-b79b-d5664873263b   2026-11-23T00:00:00Z ",
        "a 11a20873-d224-734f-b79b-d5664873263b 2027-01-01T10:00:00Z",
    )
    same_json('{"jwt": "eyJhbGciOi…", "expires_at": 1}', '{"expires_at": 22, "jwt": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"}')
    with pytest.raises(AssertionError):
        same_text("costs 0.0000327", "costs 0.0000328")
    with pytest.raises(AssertionError):
        same_json('{"cost_usd": 1, "held": null}', '{"cost_usd": 1}')


@pytest.mark.parametrize(
    "text", ["```sh\nnever closed\n", "<!-- test: drawing -->\nno block\n", "```sh\n```\n<!-- test: app -->\n\n"]
)
def test_a_document_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        blocks_in(text, "some.md")
