"""Run a file as Python does, but allow `await` at its top level, as examples have it: `python run_block.py FILE`."""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from pathlib import Path


def main(file: str) -> None:
    """Run it."""
    code = compile(Path(file).read_text(encoding="utf-8"), file, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, {"__name__": "__main__", "__file__": file})

    async def whole() -> None:
        if inspect.iscoroutine(outcome):
            await outcome

    asyncio.run(whole())


if __name__ == "__main__":
    main(sys.argv[1])
