"""What one process keeps in memory: the published directory."""

from __future__ import annotations

from collections.abc import Callable

from behest_gateway.core.snapshot import ApiKey, ProjectSnapshot, VerificationKey
from behest_gateway.core.switches import Switch, Switches, SwitchKey


class MemoryDirectory:
    """The published projects and keys of one process; both `Directory` and `Publisher`."""

    def __init__(self) -> None:
        self._projects: dict[str, ProjectSnapshot] = {}
        self._slugs: dict[str, str] = {}
        self._origins: set[str] = set()
        self._verification_keys: dict[str, VerificationKey] = {}
        self._api_keys: dict[str, ApiKey] = {}
        self._switches: dict[SwitchKey, Switch] = {}
        self._on_withdraw: list[Callable[[], None]] = []
        self._on_kill: list[Callable[[Switch], None]] = []

    def on_withdraw(self, forget: Callable[[], None]) -> None:
        """Call `forget` whenever a key or a project is taken away, so that caches of verified credentials empty."""
        self._on_withdraw.append(forget)

    def on_kill(self, stop: Callable[[Switch], None]) -> None:
        """Call `stop` whenever a kill switch is turned on, so that what is under way ends."""
        self._on_kill.append(stop)

    def _withdrawn(self) -> None:
        for forget in self._on_withdraw:
            forget()

    def project(self, project_id: str) -> ProjectSnapshot | None:
        return self._projects.get(project_id)

    def project_by_slug(self, slug: str) -> ProjectSnapshot | None:
        project_id = self._slugs.get(slug)
        return self._projects.get(project_id) if project_id else None

    def verification_key(self, kid: str) -> VerificationKey | None:
        return self._verification_keys.get(kid)

    def verification_keys(self) -> tuple[VerificationKey, ...]:
        return tuple(self._verification_keys.values())

    def knows_origin(self, origin: str) -> bool:
        return origin in self._origins

    def _count_origins(self) -> None:
        self._origins = {o for p in self._projects.values() for o in p.settings.allowed_origins}

    def api_key(self, lookup: str) -> ApiKey | None:
        return self._api_keys.get(lookup)

    def publish_project(self, project: ProjectSnapshot) -> None:
        before = self._projects.get(project.id)
        if before is not None and before.slug != project.slug:
            self._slugs.pop(before.slug, None)
        self._projects[project.id] = project
        self._slugs[project.slug] = project.id
        self._count_origins()

    def withdraw_project(self, project_id: str) -> None:
        project = self._projects.pop(project_id, None)
        if project is not None:
            self._slugs.pop(project.slug, None)
        self._api_keys = {k: v for k, v in self._api_keys.items() if v.project_id != project_id}
        self._count_origins()
        self._withdrawn()

    def publish_verification_key(self, key: VerificationKey) -> None:
        self._verification_keys[key.kid] = key

    def withdraw_verification_key(self, kid: str) -> None:
        self._verification_keys.pop(kid, None)
        self._withdrawn()

    def publish_api_key(self, key: ApiKey) -> None:
        self._api_keys[key.lookup] = key

    def withdraw_api_key(self, lookup: str) -> None:
        self._api_keys.pop(lookup, None)
        self._withdrawn()

    def switches(self) -> Switches:
        return self._switches

    def publish_switch(self, switch: Switch) -> None:
        self._switches[switch.key] = switch
        for stop in self._on_kill:
            stop(switch)

    def withdraw_switch(self, switch: Switch) -> None:
        self._switches.pop(switch.key, None)
