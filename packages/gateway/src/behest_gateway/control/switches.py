"""Kill switches: turn a tenant, a project, a user, a model or the whole gateway off, at once, and on again.

An operator may turn everything off. A tenant's admin may turn off their tenant, its projects and their users, but not
on again what an operator turned off. Every change is written down with who and why.
"""

from __future__ import annotations

import re

from behest_protocol.claims import user_id_problem

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import SwitchStore, Users
from behest_gateway.control.projects import Projects
from behest_gateway.control.records import SwitchChange, SwitchRecord
from behest_gateway.control.tenants import Tenants
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.events import Event, new_event
from behest_gateway.core.snapshot import Publisher
from behest_gateway.core.switches import Switch, SwitchScope

SCOPES: dict[str, SwitchScope] = {
    "global": "global",
    "tenant": "tenant",
    "project": "project",
    "user": "user",
    "model": "model",
}

MAX_REASON = 500
MAX_CHANGES = 500
"""Changes that one answer shows."""

BY_OPERATOR = "operator"

_MODEL = re.compile(r"[!-~]{1,200}")


def read_switch(scope: str, target: str) -> Switch:
    """Read the switch that a request names.

    Raises:
        GatewayError: 400 for a scope that is none, or a target that is none of its scope.

    >>> read_switch("user", "p1/ada").target
    'p1/ada'
    """
    known = SCOPES.get(scope)
    if known is None:
        raise invalid(f"scope is one of {', '.join(SCOPES)}", "scope")
    if (known == "global") != (target == ""):
        raise invalid("scope global has no target, and every other scope has one", "target")
    if known == "user":
        project_id, slash, user_id = target.partition("/")
        if not project_id or not slash:
            raise invalid("a user is named as project_id/user_id", "target")
        problem = user_id_problem(user_id)
        if problem is not None:
            raise invalid(problem, "user_id")
    if known == "model" and _MODEL.fullmatch(target) is None:
        raise invalid("a model's name has up to 200 visible ASCII characters", "target")
    return Switch(scope=known, target=target)


def clean_reason(reason: str | None) -> str:
    """Return a reason without the space around it; 400 when it is too long or cannot be shown."""
    reason = (reason or "").strip()
    if len(reason) > MAX_REASON:
        raise invalid(f"reason is longer than {MAX_REASON} characters", "reason")
    if not reason.isprintable():
        raise invalid("reason must not contain control characters", "reason")
    return reason


def event_of(switch: Switch, *, is_on: bool, tenant_id: str | None, reason: str, by: str, at: int) -> Event:
    """What is told of a change. Every project hears what is the gateway's own, so that is told without its reason."""
    ours = tenant_id is None
    return new_event(
        "kill_switch_on" if is_on else "kill_switch_off",
        tenant_id=tenant_id or "",
        project_id=switch.target.partition("/")[0] if switch.scope in ("project", "user") else None,
        at=at,
        scope=switch.scope,
        target=switch.target,
        reason="" if ours else reason,
        by=by,
    )


class KillSwitches:
    """Turns switches on and off, and lists them. Both are safe to repeat, and in effect when they return."""

    def __init__(
        self,
        store: SwitchStore,
        tenants: Tenants,
        projects: Projects,
        publisher: Publisher,
        users: Users,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._projects = projects
        self._publisher = publisher
        self._users = users
        self._clock = clock

    def turn_on(self, actor: Actor, scope: str, target: str, *, reason: str | None = None) -> SwitchRecord:
        """Stop something: its next call, and what is under way. One that is on may get another reason.

        Raises:
            GatewayError: 400 for the scope, target or reason; 403 when it is not the actor's; 404 when there is no such
                tenant or project.
        """
        switch = read_switch(scope, target)
        tenant_id = self._owner(actor, switch)
        text = clean_reason(reason)
        earlier = self._found(switch)
        if earlier is not None and (reason is None or text == earlier.reason):
            return earlier
        if earlier is not None:
            _require_author(actor, earlier)
        record = SwitchRecord(
            switch=switch,
            user_ref=self._users.ref(*switch.target.split("/", 1)) if switch.scope == "user" else 0,
            tenant_id=tenant_id,
            reason=text,
            set_by=actor.name,
            set_at=self._clock.now_us(),
        )
        told = event_of(switch, is_on=True, tenant_id=tenant_id, reason=text, by=record.set_by, at=record.set_at)
        self._store.put_switch(record, events=[told])
        self._publisher.publish_switch(switch)
        return record

    def turn_off(self, actor: Actor, scope: str, target: str, *, reason: str | None = None) -> None:
        """Serve something again; nothing happens when it was not stopped.

        Raises:
            GatewayError: 400 for the scope, target or reason; 403 when it is not the actor's to turn off.
        """
        switch = read_switch(scope, target)
        text = clean_reason(reason)
        record = self._found(switch)
        if record is None:
            self._owner(actor, switch)
            return
        if record.tenant_id is None or not actor.sees(record.tenant_id):
            self._owner(actor, switch)
        _require_author(actor, record)
        by, at = actor.name, self._clock.now_us()
        told = event_of(switch, is_on=False, tenant_id=record.tenant_id, reason=text, by=by, at=at)
        self._store.delete_switch(record, by=by, reason=text, at=at, events=[told])
        self._publisher.withdraw_switch(switch)

    def get(self, actor: Actor, scope: str, target: str) -> SwitchRecord:
        """A switch that is on.

        Raises:
            GatewayError: 404 when it is off.
        """
        switch = read_switch(scope, target)
        record = self._found(switch)
        if record is None or not (actor.is_operator or record.tenant_id == actor.tenant_id):
            raise GatewayError("not_found", "This kill switch is not on.")
        return record

    def changes(self, actor: Actor) -> list[SwitchChange]:
        """Who turned what on and off, newest first; at most `MAX_CHANGES`."""
        return self._store.switch_changes(actor.tenant_id, MAX_CHANGES)

    def list(self, actor: Actor) -> list[SwitchRecord]:
        """The switches that are on: all of them for an operator, one's own tenant's for an admin."""
        return self._store.switches(actor.tenant_id)

    def _found(self, switch: Switch) -> SwitchRecord | None:
        return next((record for record in self._store.switches(None) if record.switch == switch), None)

    def _owner(self, actor: Actor, switch: Switch) -> str | None:
        """The tenant that a switch belongs to, after the actor's rights are checked."""
        if switch.scope == "tenant":
            return self._tenants.get(actor, switch.target).id
        if switch.scope in ("project", "user"):
            return self._projects.get(actor, switch.target.partition("/")[0]).tenant_id
        actor.require_operator()
        return None


def _require_author(actor: Actor, record: SwitchRecord) -> None:
    if not actor.is_operator and record.set_by == BY_OPERATOR:
        raise GatewayError("forbidden", "An operator turned this kill switch on; only an operator can change it.")
