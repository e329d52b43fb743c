"""Runs scenarios of the module that the command line names: one line of JSON in, one line of JSON out.

In: {"scenario": name of a function, "config": its argument}. Out: {"value": what it returned} or {"failed": traceback}.
It runs in the client's environment, which has nothing of this repository, and needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    """Answer until the input ends. What a client prints goes to standard error: it must not pass for an answer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            value: Any = getattr(module, asked["scenario"])(asked["config"])
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            said = json.dumps({"value": value})
        except BaseException:
            said = json.dumps({"failed": traceback.format_exc()})
        answers.write(said + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
