"""`python -m behest_cli.tether MODULE …` is `python -m MODULE …`, tied to the process that started it.

Its standard input is a pipe whose other end the parent keeps open and never writes to. However the parent ends,
`kill -9` included, the system closes that end, the read here returns, and this process ends at once. It works alike on
Linux, macOS and Windows and leaves no orphan that holds a port or a lock. (Linux's PR_SET_PDEATHSIG does the same for
one system, but is tied to the parent's thread, and needs code between fork and exec, which is not safe in a process
with threads.)

Ending without clean-up is right here: what was started is built to survive `kill -9`, as its parent just did not.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def main() -> None:
    """Watch standard input and become the module that the arguments name."""
    module, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_parent, args=(os.dup(0),), name="tether", daemon=True).start()
    # The program sees an empty standard input, so that it cannot take the end of the pipe for something said to it.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent(pipe: int) -> None:
    while os.read(pipe, 64):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
