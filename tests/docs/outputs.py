"""What a document says that a block prints, compared with what it prints: all of it but what differs by nature."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, cast

_VARYING = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\bchatcmpl-[0-9a-f]+"), "<chat>"),
    (re.compile(r"\beyJ[\w.…-]+"), "<token>"),
    (re.compile(r"\bbehest_(sk_live|admin)_[\w…-]+"), r"<\1>"),
    (re.compile(r"\bsk_[0-9a-f]{32}\b"), "<kid>"),
    (re.compile(r'("created": ?)\d+'), r"\1<time>"),
    (re.compile(r"\bwhsec_[\w+/=…]+"), "<secret>"),
    (re.compile(r"\b\d{10}\.\d{6}\b"), "<moment>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
)
_STANDING = (
    (re.compile(r"(x-ratelimit-(?:remaining|reset)-\w+: )\S+"), r"\1<moment>"),
    (re.compile(r";r=\d+(;t=\d+)?"), ";r=<moment>"),
)
"""How a rate stands depends on how long the answer took; a document that is about it shows it line by line."""

_MOMENTS = frozenset({"created", "expires_at"})
_SPACES = re.compile(r"  +")


def plain(text: str) -> str:
    """A text in which ids, secrets and times have become words, and columns single spaces."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    lines = [_SPACES.sub(" ", line).strip() for line in text.replace("\r\n", "\n").splitlines()]
    if lines and lines[0].startswith("HTTP/"):
        # The order of header fields means nothing.
        end = lines.index("") if "" in lines else len(lines)
        lines[1:end] = sorted(lines[1:end])
    return "\n".join(lines).strip()


def plain_json(value: object, name: str = "") -> Any:
    """The same for a decoded JSON value."""
    if isinstance(value, dict):
        return {key: plain_json(inner, key) for key, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [plain_json(inner) for inner in cast("list[object]", value)]
    if isinstance(value, str):
        return plain(value)
    return "<time>" if name in _MOMENTS and isinstance(value, int) else value


def same_text(expected: str, printed: str) -> None:
    """Compare two texts.

    Raises:
        AssertionError: They differ in something that should not.
    """
    for pattern, word in _STANDING:
        expected, printed = pattern.sub(word, expected), pattern.sub(word, printed)
    _same(plain(expected), plain(printed))


def _same(expected: str, printed: str) -> None:
    difference = difflib.unified_diff(
        expected.splitlines(), printed.splitlines(), "the document", "printed", lineterm=""
    )
    assert expected == printed, "\n".join(difference)


def in_their_order(shown: list[str], printed: str) -> None:
    """Find lines in what was printed, in their order and perhaps with others between; `…` in one stands for anything.

    Raises:
        AssertionError: One is missing; the message says which.
    """
    rest = plain(printed).splitlines()
    for line in [plain(line) for line in shown if plain(line)]:
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        found = next((at for at, other in enumerate(rest) if pattern.fullmatch(other)), None)
        assert found is not None, f"{line!r} is not printed, or not in its order:\n{printed}"
        rest = rest[found + 1 :]


def same_json(expected: str, printed: str) -> None:
    """Compare two JSON texts; how they are laid out does not matter.

    Raises:
        AssertionError: They differ in something that should not, or one of them is no JSON.
    """
    _same(*(json.dumps(plain_json(json.loads(text)), indent=1, sort_keys=True) for text in (expected, printed)))
