"""Stateful stand-ins on loopback for what an app or a gateway talks to.

One so far: a fake OpenAI provider. It speaks the dialect over real sockets, does what its script says, faults
included, and keeps a bill of its own, so that a test can compare what a gateway charged with what really happened.

- in an event loop: `FakeProvider`; from code without one: `running_provider`; as a process: `behest-fakes provider`
- what it says about the calls it got: `Bill`, `BilledCall`
"""

from behest_fakes.app import ConfigError
from behest_fakes.bill import Bill, BilledCall
from behest_fakes.script import ScriptError
from behest_fakes.server import FakeProvider, RunningProvider, running_provider

__all__ = [
    "Bill",
    "BilledCall",
    "ConfigError",
    "FakeProvider",
    "RunningProvider",
    "ScriptError",
    "running_provider",
]
