"""The blocks of code in the repository's documents, and the words in them that name something.

A block may have a marker, which readers do not see, on the line before it:

    <!-- test: exits 1 -->
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUFFIXES = (".md", ".md.jinja")

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[\w+-]*) *$")
_MARKER = re.compile(r"^ *<!-- test: (?P<marker>.+?) -->$")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Attributes:
        document: The path of its document, from the root.
        line: Where its text begins.
        marker: What the comment before it says, or nothing.
        text: Its lines, without the indentation of the fence.
    """

    document: str
    line: int
    language: str
    marker: str
    text: str

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return f"{self.document}:{self.line}"


class DocumentError(ValueError):
    """A document's blocks cannot be told apart."""


def blocks_in(text: str, document: str) -> list[Block]:
    """Every block of a document, in order.

    Raises:
        DocumentError: A block is not closed, or a marker has no block.
    """
    found: list[Block] = []
    lines = text.splitlines()
    marker = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        marked = _MARKER.match(line)
        opened = _FENCE.match(line)
        if marked:
            marker = marked["marker"]
        elif opened:
            begins = at
            indent, fence = opened["indent"], opened["fence"]
            while at < len(lines) and lines[at].strip() != fence:
                at += 1
            if at == len(lines):
                raise DocumentError(f"{document}:{begins}: this block is not closed")
            body = [inner.removeprefix(indent) for inner in lines[begins:at]]
            at += 1
            found.append(
                Block(
                    document=document,
                    line=begins + 1,
                    language=opened["language"],
                    marker=marker,
                    text="\n".join(body) + "\n",
                )
            )
            marker = ""
        elif marker:
            raise DocumentError(f"{document}:{at}: a marker stands right before a block")
    return found


@cache
def tracked() -> tuple[str, ...]:
    """Every file that is in git, or would be with the next `git add`, from the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    return tuple(sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file()))


@cache
def documents() -> tuple[str, ...]:
    """Every document: whatever is Markdown, rendered by a template or not, and llms.txt."""
    return tuple(name for name in tracked() if name.endswith(SUFFIXES) or name == "llms.txt")


def read(document: str) -> str:
    """The text of a document."""
    return (ROOT / document).read_text(encoding="utf-8")


@cache
def blocks_of(document: str) -> tuple[Block, ...]:
    """Every block of one of the `documents`."""
    return tuple(blocks_in(read(document), document))


def prose_of(document: str) -> str:
    """The text of a document without its blocks and markers."""
    kept: list[str] = []
    inside = ""
    for line in read(document).splitlines():
        opened = _FENCE.match(line)
        if inside:
            inside = "" if line.strip() == inside else inside
        elif opened:
            inside = opened["fence"]
        elif not _MARKER.match(line):
            kept.append(line)
    return "\n".join(kept)


def words_of(document: str) -> Iterator[str]:
    """Whatever stands `in code` within the text of a document."""
    yield from _INLINE.findall(prose_of(document))


def table_rows(document: str, heading: str) -> list[list[str]]:
    """The rows of the first table whose header begins with this cell; cells keep their marks."""
    lines = prose_of(document).splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith("|") and cells(line)[0] == heading), None)
    if start is None:
        raise DocumentError(f"{document} has no table that begins with {heading!r}")
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(cells(line))
    return rows


def cells(line: str) -> list[str]:
    """The cells of a table's line."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
