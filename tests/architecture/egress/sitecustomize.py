"""Refuses every connection and every look-up that would leave this machine.

The root's `conftest.py` loads this into pytest, and puts its folder on `PYTHONPATH`, so that Python reads it at the
start of each process that a test starts. It needs nothing but the standard library: another environment's Python may
read it too. What was refused is raised where it was tried, and written to the file that `NO_EGRESS_LOG` names, because
a program may well catch what is raised.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import ipaddress
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

LOG_VARIABLE = "NO_EGRESS_LOG"

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_ASKING = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})


class EgressError(ConnectionRefusedError):
    """A test, or what it started, tried to leave this machine."""


def stays_here(host: object) -> bool:
    """Say whether a host is this machine.

    >>> [stays_here(host) for host in ("127.0.0.1", "::1", "dev.localhost", None, "example.com", "10.0.0.1")]
    [True, True, True, True, False, False]
    """
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("latin-1")
    if not isinstance(host, str) or not host:
        return True
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse(what: str, host: object) -> None:
    """Note that somebody tried to leave, and stop them."""
    said = f"{what} {host!r} from process {os.getpid()}: {' '.join(sys.orig_argv)[:200]}"
    log = os.environ.get(LOG_VARIABLE)
    if log:
        with contextlib.suppress(OSError):
            descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            os.write(descriptor, (said.replace("\n", " ") + "\n").encode())
            os.close(descriptor)
    raise EgressError(f"tests stay on this machine; refused: {said}")


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _CONNECTING:
        # A tuple is an address of the internet; a text or bytes is the path of a socket on this machine.
        address: Any = arguments[1]
        host = None if isinstance(address, (str, bytes)) else address[0]
        if not stays_here(host):
            refuse(event, host)
    elif event in _ASKING and not stays_here(arguments[0]):
        refuse(event, arguments[0])


def _watch_uvloop(module: ModuleType) -> None:
    """Guard uvloop, which connects in C and so raises none of Python's events."""
    loop: Any = module.Loop
    connect, ask = loop.create_connection, loop.getaddrinfo

    async def create_connection(self: Any, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        if not stays_here(host):
            refuse("uvloop connects to", host)
        return await connect(self, factory, host, port, **options)

    async def getaddrinfo(self: Any, host: Any, port: Any, **options: Any) -> Any:
        if not stays_here(host):
            refuse("uvloop asks for", host)
        return await ask(self, host, port, **options)

    loop.create_connection, loop.getaddrinfo = create_connection, getaddrinfo


class _UvloopFinder(importlib.abc.MetaPathFinder):
    """Guards uvloop once it is imported, so that whoever does without it does not pay for it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "uvloop":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _watch_uvloop(module)

        loader.exec_module = exec_module
        return spec


def install() -> None:
    """Guard this process until it ends; there is no way back."""
    if getattr(sys, "_stays_here", False):
        return
    sys._stays_here = True  # type: ignore[attr-defined]
    sys.addaudithook(_watch)
    if "uvloop" in sys.modules:
        _watch_uvloop(sys.modules["uvloop"])
    else:
        sys.meta_path.insert(0, _UvloopFinder())


install()
