"""Tiers: what a project gives its users by the tier in their token. Each change takes effect for the next request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import PublishedStore
from behest_gateway.control.projects import Projects
from behest_gateway.control.publishing import Publishing
from behest_gateway.control.records import TierView
from behest_gateway.control.settings import MAX_MEMORY_WINDOW, MAX_QUOTA, MAX_RETENTION_DAYS, MAX_RPM, read_settings
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.ids import new_id
from behest_gateway.core.snapshot import ProjectSettings
from behest_gateway.core.tiers import PUBLISHED, TIER_FIELDS, Tier, TierValues, resolved, tier_key, tiers_of

MAX_CUSTOM = 3
"""Tiers that a project may have besides the built-in ones."""

MAX_LIST = 200
MAX_TERM = 200

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_GUARDS = {"pii_mode": "PII Shield", "sentinel_mode": "Sentinel"}


def read_overrides(given: Mapping[str, object], base: TierValues) -> TierValues:
    """Lay what was given over what a tier says already.

    Args:
        given: Some values by name; null takes one away.
        base: Where the others come from.

    Raises:
        GatewayError: 400; `param` names the value at fault.

    >>> read_overrides({"rpm_limit": 20, "system_prompt": None}, TierValues(system_prompt="x")).given()
    {'rpm_limit': 20}
    """
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if name not in TIER_FIELDS:
            shown = name[:100]
            raise invalid(f"unknown override {shown!r}; a tier may override {', '.join(TIER_FIELDS)}", shown)
        changes[name] = None if value is None else _read(name, value)
    return replace(base, **changes)


def _read(name: str, value: object) -> object:
    match name:
        case "rpm_limit":
            return _whole(value, name, 1, MAX_RPM)
        case "requests_per_day" | "tokens_per_day" | "tokens_per_month":
            return _whole(value, name, 1, MAX_QUOTA)
        case "memory_window":
            return _whole(value, name, 0, MAX_MEMORY_WINDOW)
        case "retention_days":
            return _whole(value, name, 0, MAX_RETENTION_DAYS)
        case "memory_enabled" | "store_tool_calls":
            if not isinstance(value, bool):
                raise invalid(f"{name} is true or false", name)
            return value
        case "pii_mode" | "sentinel_mode":
            if value != "disabled":
                raise invalid(
                    f"{name} can only be 'disabled': this gateway has no {_GUARDS[name]} yet, and a guard that is "
                    "asked for and does not guard would be worse than none",
                    name,
                )
            return value
        case "pii_entities":
            return _texts(value, name, _is_entity, "names of entities such as EMAIL_ADDRESS")
        case "sentinel_blocklist":
            return _texts(value, name, _is_term, f"terms of 1 to {MAX_TERM} printable characters")
        case "system_prompt":
            return read_settings({name: value}, ProjectSettings()).system_prompt or ""
        case _:
            return read_settings({name: value}, ProjectSettings()).provider_model


def _whole(value: object, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid(f"{name} is a whole number from {least} to {most}", name)
    return value


def _is_entity(text: str) -> bool:
    return _ENTITY.fullmatch(text) is not None


def _is_term(text: str) -> bool:
    return 0 < len(text) <= MAX_TERM and text.isprintable()


def _texts(value: object, name: str, is_good: Callable[[str], bool], what: str) -> tuple[str, ...]:
    items = cast("list[object] | tuple[object, ...]", value) if isinstance(value, (list, tuple)) else None
    if items is None or len(items) > MAX_LIST:
        raise invalid(f"{name} is a list of at most {MAX_LIST} {what}", name)
    texts = [item for item in items if isinstance(item, str) and is_good(item)]
    if len(texts) != len(items):
        raise invalid(f"{name} has {what}", name)
    return tuple(dict.fromkeys(texts))


def clean_tier_name(name: str) -> str:
    """Return a name that a tier of a project's own may have.

    Raises:
        GatewayError: 400 when it is no such name, 409 when it is a built-in tier's.
    """
    if _NAME.fullmatch(name) is None:
        raise invalid("name has up to 32 lower-case letters, digits, _ and -, and begins with a letter", "name")
    if name in PUBLISHED:
        raise GatewayError("conflict", f"{name} is a built-in tier; PUT its overrides instead.", param="name")
    return name


class Tiers:
    """Makes, changes and ends tiers.

    Args:
        sells_plans: Tiers of a project's own need a paid plan of its tenant, as on a platform that sells plans.
    """

    def __init__(
        self, store: PublishedStore, projects: Projects, publishing: Publishing, clock: Clock, *, sells_plans: bool
    ) -> None:
        self._store = store
        self._projects = projects
        self._publishing = publishing
        self._clock = clock
        self._sells_plans = sells_plans

    def list(self, actor: Actor, project_id: str) -> list[TierView]:
        """The built-in tiers, then the project's own, oldest first."""
        settings = self._projects.get(actor, project_id).deployed
        return [_view(settings, tier) for tier in tiers_of(self._store.tiers(project_id))]

    def get(self, actor: Actor, project_id: str, tier: str) -> TierView:
        """One tier, by its id, number or name.

        Raises:
            GatewayError: 404 when the project has no such tier.
        """
        settings = self._projects.get(actor, project_id).deployed
        key = tier_key(tier)
        for found in tiers_of(self._store.tiers(project_id)):
            if key in (found.id, found.name):
                return _view(settings, found)
        raise GatewayError("not_found", "There is no tier of this id, number or name.")

    def create(self, actor: Actor, project_id: str, *, name: str, overrides: Mapping[str, object]) -> TierView:
        """Make a tier of the project's own.

        Raises:
            GatewayError: 400 for a field, 403 when the tenant's plan has none, 409 when the name is taken or the
                project has as many as it may.
        """
        project = self._projects.get(actor, project_id)
        tenant = self._store.tenant(project.tenant_id)
        if self._sells_plans and (tenant is None or tenant.plan == "free"):
            raise GatewayError("forbidden", "Tiers of a project's own need a tenant of plan pro or above.")
        tier = Tier(
            id=new_id(),
            name=clean_tier_name(name),
            overrides=read_overrides(overrides, TierValues()),
            created_at=self._clock.now_us(),
        )
        own = [known.name for known in self._store.tiers(project_id) if known.number is None]
        if tier.name in own:
            raise GatewayError("conflict", f"There is a tier {tier.name} already; PUT its overrides.", param="name")
        if len(own) >= MAX_CUSTOM:
            raise GatewayError(
                "conflict", f"A project has at most {MAX_CUSTOM} tiers of its own: {', '.join(own)}. Delete one first."
            )
        return self._put(project_id, project.deployed, tier)

    def change(self, actor: Actor, project_id: str, tier: str, *, overrides: Mapping[str, object]) -> TierView:
        """Lay overrides over those of a tier; null takes one away.

        Raises:
            GatewayError: 400 for a field, 404 when the project has no such tier.
        """
        settings = self._projects.get(actor, project_id).deployed
        known = self.get(actor, project_id, tier).tier
        return self._put(project_id, settings, replace(known, overrides=read_overrides(overrides, known.overrides)))

    def delete(self, actor: Actor, project_id: str, tier: str) -> None:
        """End a tier: its users count as the lowest. A built-in one goes back to what is published of it."""
        known = self.get(actor, project_id, tier).tier
        self._store.delete_tier(project_id, known.name, self._clock.now_us())
        self._publishing.project(project_id)

    def _put(self, project_id: str, settings: ProjectSettings, tier: Tier) -> TierView:
        if tier.number is None:
            self._store.put_tier(project_id, tier)
        else:
            self._store.put_tier(project_id, replace(tier, id=new_id(), created_at=self._clock.now_us()))
        self._publishing.project(project_id)
        return _view(settings, tier)


def _view(settings: ProjectSettings, tier: Tier) -> TierView:
    return TierView(tier=tier, resolved=resolved(settings, tier))
