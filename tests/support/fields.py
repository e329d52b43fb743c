"""A reading of lists of strings with parameters, as structured fields (RFC 9651) write them; strict about the rest."""

from __future__ import annotations

import re

Parameters = dict[str, int | str]
List = dict[str, Parameters]

_STRING = r'"((?:[ !#-\[\]-~]|\\["\\])*)"'
_MEMBER = re.compile(_STRING + r"((?:; *[a-z*][a-z0-9_.*-]*=(?:-?[0-9]{1,15}|" + _STRING + r"))*)")
_PARAMETER = re.compile(r"; *([a-z*][a-z0-9_.*-]*)=(?:(-?[0-9]{1,15})|" + _STRING + r")")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


def read_list(text: str) -> List:
    """Read a list whose members are distinct strings.

    Raises:
        ValueError: It is not such a list.
    """
    members: List = {}
    at = 0
    while True:
        member = _MEMBER.match(text, at)
        if member is None or member[1] in members:
            raise ValueError(f"no list of distinct strings from character {at}: {text!r}")
        members[member[1]] = {
            found[1]: int(found[2]) if found[2] is not None else found[3] for found in _PARAMETER.finditer(member[2])
        }
        at = member.end()
        if at == len(text):
            return members
        comma = _COMMA.match(text, at)
        if comma is None:
            raise ValueError(f"no comma at character {at}: {text!r}")
        at = comma.end()
