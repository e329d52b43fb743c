"""Kill switches: what is turned off, whom that stops, and which requests are under way.

A switch stops what can cost money: mints, and chats both new and running. Usage and models stay readable, because that
is when people look. The switches that are on are a dictionary, nearly always an empty one, so asking it costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from behest_gateway.core.errors import GatewayError

SwitchScope = Literal["global", "tenant", "project", "user", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A switch that is on.

    Attributes:
        target: The id of the tenant or project, `project_id/user_id`, the model's name, or nothing for `global`.
    """

    scope: SwitchScope
    target: str = ""

    @property
    def key(self) -> SwitchKey:
        """Where it is found."""
        return (self.scope, self.target)


SwitchKey = tuple[str, str]
Switches = Mapping[SwitchKey, Switch]

_SUBJECTS: dict[SwitchScope, str] = {
    "global": "This gateway is",
    "tenant": "This tenant is",
    "project": "This project is",
    "user": "This user is",
}


def user_target(project_id: str, user_id: str) -> str:
    """A user of a project as a switch names them; no project id holds a slash."""
    return f"{project_id}/{user_id}"


def switch_for_caller(on: Switches, *, tenant_id: str, project_id: str, user_id: str) -> Switch | None:
    """The widest switch that stops a caller, or None."""
    return (
        on.get(("global", ""))
        or on.get(("tenant", tenant_id))
        or on.get(("project", project_id))
        or on.get(("user", user_target(project_id, user_id)))
    )


def switch_for_model(on: Switches, model: str) -> Switch | None:
    """The switch that stops a model, or None."""
    return on.get(("model", model))


def killed_refusal(switch: Switch) -> GatewayError:
    """The 403 for whatever a switch stops. Why it was turned on is the operator's to tell."""
    subject = _SUBJECTS.get(switch.scope, f"Model {switch.target!r} is")
    details = {"reason": "killed", "scope": switch.scope}
    if switch.target:
        details["target"] = switch.target
    return GatewayError(
        "forbidden",
        f"{subject} turned off by a kill switch. Do not retry; an operator can turn it on again.",
        details=details,
    )


def is_killed(error: GatewayError) -> bool:
    """A kill switch is the reason."""
    return error.details is not None and error.details.get("reason") == "killed"


class Stoppable(Protocol):
    """A request under way that may cost money."""

    def is_hit_by(self, switch: Switch) -> bool:
        """The switch is about this request."""
        ...

    def stop(self, error: GatewayError) -> None:
        """End it as soon as may be, and tell its caller why. Returns at once."""
        ...


class Running:
    """The requests under way. Adding and removing one is an operation on a set."""

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: set[Stoppable] = set()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Stoppable) -> None:
        """From now on switches reach this request; do it in the same step as asking those that are on."""
        self._requests.add(request)

    def remove(self, request: Stoppable) -> None:
        """It is over, if it ever was under way."""
        self._requests.discard(request)

    def stop(self, switch: Switch) -> None:
        """End whatever a switch hits."""
        for request in [request for request in self._requests if request.is_hit_by(switch)]:
            request.stop(killed_refusal(switch))
