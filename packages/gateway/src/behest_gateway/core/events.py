"""Events: what happened that somebody should hear of, by the published names, as flat text.

An event has no content of a chat and no secret. It goes out in one shape everywhere (`flat`): in answers, in streams
and in webhooks.
"""

from __future__ import annotations

from msgspec import Struct

from behest_gateway.core.ids import new_id

FIELDS: dict[str, tuple[str, ...]] = {
    "budget_alert": ("scope", "limit", "used", "percent", "window"),
    "budget_exceeded": ("scope", "limit", "used", "percent", "window"),
    "kill_switch_on": ("scope", "target", "reason", "by"),
    "kill_switch_off": ("scope", "target", "reason", "by"),
    "config_deployed": ("changed", "by"),
    "key_revoked": ("key_id", "kind", "name", "reason", "by"),
    "webhook_test": ("webhook_id", "by"),
}
"""The types, and the fields that each has beside those of every event. A writer may add more."""

EVERY = ("id", "type", "tenant_id", "project_id", "timestamp")
"""The fields of every event."""


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened.

    Attributes:
        id: A UUID of version 7; the same for as long as the event is kept, however often it is sent.
        type: One of `FIELDS`.
        tenant_id: Whose it is; empty when it is about the whole gateway.
        project_id: None when it is about a whole tenant, or the whole gateway.
        at: Microseconds since 1970.
        fields: What else there is to say; texts only.
    """

    id: str
    type: str
    tenant_id: str
    project_id: str | None
    at: int
    fields: dict[str, str]

    @property
    def flat(self) -> dict[str, str]:
        """The event as it is told: each field a text, none of them missing, the time in seconds since 1970."""
        return {
            "id": self.id,
            "type": self.type,
            "tenant_id": self.tenant_id,
            "project_id": self.project_id or "",
            "timestamp": f"{self.at // 1_000_000}.{self.at % 1_000_000:06d}",
            **{name: value for name, value in self.fields.items() if name not in EVERY},
        }


def new_event(type_: str, *, tenant_id: str, project_id: str | None, at: int, **fields: str) -> Event:
    """Write an event that happened at `at`, microseconds since 1970.

    >>> new_event("key_revoked", tenant_id="t1", project_id="p1", at=1_500_000, key_id="k1").flat["timestamp"]
    '1.500000'
    """
    return Event(id=new_id(), type=type_, tenant_id=tenant_id, project_id=project_id, at=at, fields=fields)
