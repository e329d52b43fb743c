"""The README's first screen is a sentence, a command, a request with its real answer, and four links; CI runs it."""

from __future__ import annotations

import re

from .blocks import blocks_of, read
from .known import sessions

DEMO = "python3 -m pip install -q uv && uvx nox -s demo\n"
TESTS = "python3 -m pip install -q uv && uvx nox -s tests\n"


def test_the_first_screen() -> None:
    text = read("README.md")
    first, _, _ = text.partition("\n## ")
    title, sentence, *_ = first.split("\n\n")
    command, request, answer = [block for block in blocks_of("README.md") if f"{block.text}```" in first]
    links = first.strip().rpartition("\n\n")[2].replace("\n", " ")

    assert title == "# Behest"
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    assert command.text == DEMO
    assert "/v1/chat/completions" in request.text
    assert answer.text.startswith("HTTP/1.1 200 OK\n")
    assert re.fullmatch(r"\[[^\]]+\]\([^)]+\)( · \[[^\]]+\]\([^)]+\)){3}", links)
    assert len(first.splitlines()) <= 45


def test_the_two_commands_stand_there_literally() -> None:
    texts = [block.text for block in blocks_of("README.md")]

    assert texts.count(DEMO) == 1
    assert texts.count(TESTS) == 1
    assert {"demo", "tests"} <= set(sessions())


def test_ci_runs_the_second_command_and_nothing_after_it() -> None:
    lines = [line for line in read(".ci/run").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    install, run = TESTS.strip().split(" && ")

    assert lines[-1] == f"exec {run}"
    assert any(line.strip().startswith(install) for line in lines)
    assert [line for line in lines if "nox" in line] == [lines[-1]]
