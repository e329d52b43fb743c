"""The blocking client is what the script makes of the awaiting one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "unasync.py"


@pytest.fixture(scope="module")
def unasync() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unasync", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_blocking_client_is_not_stale() -> None:
    ran = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=60)

    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_file_that_differs_is_missing_or_is_too_many_is_stale(unasync: ModuleType) -> None:
    made = unasync.generate()

    assert unasync.stale(made) == []
    assert unasync.stale({**made, "_chat.py": "", "_new.py": ""}) == ["_chat.py", "_new.py"]
    assert unasync.stale({name: text for name, text in made.items() if name != "_chat.py"}) == ["_chat.py"]


@pytest.mark.parametrize(
    ("awaiting", "blocking"),
    [
        ("async def close(self) -> None:", "def close(self) -> None:"),
        ("return [x async for x in stream]", "return [x for x in stream]"),
        ("async with await client.open() as x:", "with client.open() as x:"),
        ("from .._async._chat import AsyncChatModule", "from .._sync._chat import ChatModule"),
        ("def f() -> AsyncGenerator[Chunk, None]:", "def f() -> Generator[Chunk, None, None]:"),
        ("class AsyncBehest:", "class Behest:"),
        ("openai.DefaultAsyncHttpxClient", "openai.DefaultHttpxClient"),
        ("raise StopAsyncIteration", "raise StopIteration"),
        ("async def __aexit__(self):", "def __exit__(self):"),
        ("await async_sleep(1)", "sleep(1)"),
        ("await response.aclose()", "response.close()"),
    ],
)
def test_a_line_is_turned_as_a_person_would(awaiting: str, blocking: str, unasync: ModuleType) -> None:
    assert unasync.unasync(awaiting) == blocking + "\n"


def test_a_line_for_the_awaiting_client_alone_is_left_out(unasync: ModuleType) -> None:
    assert unasync.unasync("a\naclose = close  # async only\nb") == "a\nb\n"
