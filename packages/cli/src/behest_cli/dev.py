"""The whole product on loopback: a provider, a gateway, and a tenant, a project, an API key and a signing key in it.

    with behest_cli.dev.running() as ready:
        client = Behest(key=ready["api_key"], base_url=ready["base_url"])

What was seeded is remembered in `<data-dir>/dev.json` (mode 600), so that the next start on the same data directory
says the same: the same ids, secrets and, where they are free, ports. Every step of seeding looks first whether its
result is there already, so that a start that was killed half-way is simply carried on by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, cast
from urllib.parse import urlsplit

from behest_cli.children import Child
from behest_cli.errors import CliError
from behest_cli.management import Management
from behest_cli.profiles import write_private

DEFAULT_PORT = 8080
START_SECONDS = 60.0
"""How long provider and gateway together may take to get ready, on a slow machine."""

NAME = "Behest dev"
SLUG = "dev"
MODEL = "gpt-4o-mini"
ORIGINS = ("http://localhost:8000", "http://127.0.0.1:8000")
SETTINGS: dict[str, Any] = {"provider_model": MODEL, "rpm_limit": 600, "user_rpm_limit": 60}
OPENAI_URL = "https://api.openai.com/v1"


class SigningKey(TypedDict):
    """A tenant's signing key, the private half included."""

    kid: str
    private_key_pem: str


class Ready(TypedDict):
    """What `behest dev --json` prints.

    Attributes:
        base_url: The gateway.
        slug_url: The same, by the project's own host name; browsers find it, Python does not.
        provider_url: The fake provider (`GET {provider_url}/_fake/bill` says what it billed), or None for a real one.
    """

    base_url: str
    slug_url: str
    tenant_id: str
    project_id: str
    api_key: str
    admin_token: str
    signing_key: SigningKey
    provider_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider other than the fake one: an OpenAI-compatible base URL, `/v1` included, and its key."""

    base_url: str
    key: str | None = field(default=None, repr=False)


def openai_from_environment() -> Provider | None:
    """OpenAI itself, when `OPENAI_API_KEY` is set."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    return Provider(base_url=OPENAI_URL, key=key) if key else None


@dataclass(slots=True, kw_only=True)
class Remembered:
    """What `dev.json` keeps from one start to the next."""

    admin_token: str = field(default="", repr=False)
    gateway_port: int = 0
    provider_port: int = 0
    tenant_id: str = ""
    project_id: str = ""
    project_host: str = ""
    api_key_id: str = ""
    api_key: str = field(default="", repr=False)
    kid: str = ""
    private_key_pem: str = field(default="", repr=False)


class DevStack:
    """Provider and gateway as child processes, seeded; entering starts them, leaving stops them.

    Args:
        data_dir: Where everything is kept; made when missing, readable by its owner only.
        host: The address that the gateway listens on. The fake provider always listens on 127.0.0.1.
        port: The gateway's port; 0 means the remembered one or any free one; None means the remembered one or 8080.
        allow_origins: Web pages that may call the project, beside those on port 8000 and those allowed before.
        provider: A provider to use in place of the fake one.
        timeout: Seconds that the start may take.
    """

    ready: Ready

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        allow_origins: Sequence[str] = (),
        provider: Provider | None = None,
        timeout: float = START_SECONDS,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._host = host
        self._port = port
        self._allow_origins = tuple(allow_origins)
        self._provider = provider
        self._timeout = timeout
        self._exits: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start everything.

        Raises:
            CliError: A child did not get ready, a port is taken, or another `behest dev` has the data directory.
        """
        with contextlib.ExitStack() as stack:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            stack.enter_context(_only_one(self.data_dir))
            remembered = _remember(self.data_dir)
            deadline = time.monotonic() + self._timeout
            provider, provider_url = self._start_provider(stack, remembered, deadline)
            base_url = self._start_gateway(stack, remembered, provider, deadline)
            with Management(base_url=base_url, token=remembered.admin_token) as management:
                _seed(management, remembered, (*ORIGINS, *self._allow_origins), self._save)
            self.ready = Ready(
                base_url=base_url,
                slug_url=f"http://{remembered.project_host}:{remembered.gateway_port}",
                tenant_id=remembered.tenant_id,
                project_id=remembered.project_id,
                api_key=remembered.api_key,
                admin_token=remembered.admin_token,
                signing_key=SigningKey(kid=remembered.kid, private_key_pem=remembered.private_key_pem),
                provider_url=provider_url,
            )
            write_private(self.env_file, _env_text(self.ready))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def env_file(self) -> Path:
        """A file for the shell's `source`: what the other commands and the SDK read from the environment."""
        return self.data_dir / "dev.env"

    def wait_for_exit(self) -> Child:
        """Wait until a child ends by itself, and say which. A signal's handler may raise out of this."""
        while True:
            # In turns, because on Windows no signal would reach us while we wait without end.
            child = self.ended_within(1.0)
            if child is not None:
                return child

    def ended_within(self, seconds: float) -> Child | None:
        """Say which child ended by itself, waiting for it a while; None when all of them run."""
        try:
            return self._exits.get(timeout=seconds)
        except queue.Empty:
            return None

    def add_child(self, name: str, module: str, arguments: list[str], *, env: dict[str, str], cwd: Path) -> Child:
        """Start one more child beside provider and gateway; it is stopped before them and watched like them."""
        child = Child(name, module, arguments, env=env, log=self.data_dir / f"{name}.log", exits=self._exits, cwd=cwd)
        self._stack.callback(child.stop)
        return child

    def _save(self, remembered: Remembered) -> None:
        write_private(self.data_dir / "dev.json", json.dumps(asdict(remembered), indent=2) + "\n")

    def _start_provider(
        self, stack: contextlib.ExitStack, remembered: Remembered, deadline: float
    ) -> tuple[Provider, str | None]:
        if self._provider is not None:
            return self._provider, None
        port = remembered.provider_port if is_free("127.0.0.1", remembered.provider_port) else 0
        child = Child(
            "provider",
            "behest_fakes",
            ["provider", "--port", str(port), "--json"],
            env=dict(os.environ),
            log=self.data_dir / "provider.log",
            exits=self._exits,
        )
        stack.callback(child.stop)
        url = str(child.wait_ready(deadline)["base_url"])
        remembered.provider_port = _port_of(url)
        return Provider(base_url=f"{url}/v1", key="sk-fake"), url

    def _start_gateway(
        self, stack: contextlib.ExitStack, remembered: Remembered, provider: Provider, deadline: float
    ) -> str:
        settings = {
            "BEHEST_ADMIN_TOKEN": remembered.admin_token,
            "BEHEST_GATEWAY_HOST": self._host,
            "BEHEST_GATEWAY_PORT": str(self._gateway_port(remembered)),
            "BEHEST_GATEWAY_DATA_DIR": str(self.data_dir / "gateway"),
            "BEHEST_GATEWAY_OPENAI_BASE_URL": provider.base_url,
            "BEHEST_GATEWAY_OPENAI_API_KEY": provider.key or "",
            "BEHEST_GATEWAY_WEBHOOKS_ALLOW_PRIVATE": "true",
        }
        child = Child(
            "gateway",
            "behest_gateway",
            ["--json"],
            env={**os.environ, **settings},
            log=self.data_dir / "gateway.log",
            exits=self._exits,
        )
        stack.callback(child.stop)
        base_url = _local(str(child.wait_ready(deadline)["base_url"]))
        remembered.gateway_port = _port_of(base_url)
        self._save(remembered)
        return base_url

    def _gateway_port(self, remembered: Remembered) -> int:
        wanted = self._port or remembered.gateway_port
        if self._port is None and not wanted:
            wanted = DEFAULT_PORT
        if is_free(self._host, wanted):
            return wanted
        if self._port == 0:
            return 0
        raise CliError(
            f"Port {wanted} is taken by another program.",
            hint="Choose another with --port N, or any free one with --port 0.",
        )


@contextlib.contextmanager
def running(
    data_dir: Path | None = None,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    allow_origins: Sequence[str] = (),
    provider: Provider | None = None,
    timeout: float = START_SECONDS,
) -> Generator[Ready, None, None]:
    """Run the whole product for a while, for a test: a gateway, a fake provider, and everything seeded.

    Nothing of the environment's `OPENAI_API_KEY` is used; a real provider is only what `provider` names.

    Args:
        data_dir: Where everything is kept; a temporary folder, removed afterwards, when None.
        port: The gateway's port; 0 means the remembered one or any free one.
        host: The address that the gateway listens on.
        allow_origins: Web pages that may call the project.
        provider: A provider to use in place of the fake one.
        timeout: Seconds that the start may take.

    Yields:
        What `behest dev --json` prints, parsed.

    Raises:
        CliError: It did not start.
    """
    folder = data_dir or Path(tempfile.mkdtemp(prefix="behest-dev-"))
    try:
        with DevStack(
            folder, host=host, port=port, allow_origins=allow_origins, provider=provider, timeout=timeout
        ) as stack:
            yield stack.ready
    finally:
        if data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


def _seed(management: Management, remembered: Remembered, origins: Sequence[str], save: Any) -> None:
    """Make what is missing of tenant, project, API key and signing key, and remember each as soon as it is there."""
    tenants = management.get("/v1/tenants").rows
    tenant = _found(tenants, id=remembered.tenant_id) or _found(tenants, name=NAME)
    tenant = tenant or management.post("/v1/tenants", {"name": NAME}).data
    remembered.tenant_id = str(tenant["id"])

    project = _ensure_project(management, remembered, origins)
    remembered.project_id = str(project["id"])
    remembered.project_host = str(project["host"])
    save(remembered)

    path = f"/v1/projects/{remembered.project_id}/keys"
    if not _found(management.get(path).rows, id=remembered.api_key_id):
        key = management.post(path, {"name": NAME}).data
        remembered.api_key_id, remembered.api_key = str(key["id"]), str(key["key"])
        save(remembered)

    signing_keys = management.get("/v1/signing-keys", tenant_id=remembered.tenant_id).rows
    if not _found(signing_keys, kid=remembered.kid):
        made = management.post("/v1/signing-keys", {"tenant_id": remembered.tenant_id, "name": NAME}).data
        remembered.kid, remembered.private_key_pem = str(made["kid"]), str(made["private_key_pem"])
        save(remembered)


def _ensure_project(management: Management, remembered: Remembered, origins: Sequence[str]) -> dict[str, Any]:
    projects = management.get("/v1/projects", tenant_id=remembered.tenant_id).rows
    project = _found(projects, id=remembered.project_id) or _found(projects, slug=SLUG)
    if project is None:
        body: dict[str, Any] = {"tenant_id": remembered.tenant_id, "name": NAME, "slug": SLUG}
        body["settings"] = {**SETTINGS, "allowed_origins": list(dict.fromkeys(origins))}
        return cast("dict[str, Any]", management.post("/v1/projects", body).data)
    path = f"/v1/projects/{project['id']}"
    deployed = management.get(f"{path}/settings").data["deployed"]
    missing = [origin for origin in dict.fromkeys(origins) if origin not in deployed["allowed_origins"]]
    if missing:
        management.put(f"{path}/settings", {**deployed, "allowed_origins": [*deployed["allowed_origins"], *missing]})
        management.post(f"{path}/deploy")
    return project


def _found(rows: list[dict[str, Any]], **wanted: str) -> dict[str, Any] | None:
    return next((row for row in rows if all(value and row.get(name) == value for name, value in wanted.items())), None)


def _remember(data_dir: Path) -> Remembered:
    """Read `dev.json`, or begin anew with a fresh operator's secret."""
    file = data_dir / "dev.json"
    saved: dict[str, Any] = {}
    if file.exists():
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            known = {entry.name: entry for entry in fields(Remembered)}
            remembered = Remembered(**{name: value for name, value in saved.items() if name in known})
        except (ValueError, TypeError, AttributeError) as error:
            raise CliError(f"{file} cannot be read: {error}", hint=f"Start anew with `rm -r {data_dir}`.") from error
    else:
        remembered = Remembered()
    # A secret of its own, not the environment's: that one may belong to a gateway that matters.
    remembered.admin_token = remembered.admin_token or f"behest_admin_{secrets.token_urlsafe(32)}"
    write_private(file, json.dumps(asdict(remembered), indent=2) + "\n")
    return remembered


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Generator[None, None, None]:
    """Hold the data directory, so that two starts on it cannot seed it both.

    Raises:
        CliError: Another one holds it.
    """
    if sys.platform == "win32":
        yield  # The gateway's own lock still keeps the data whole.
        return
    import fcntl

    with (data_dir / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CliError(
                f"Another `behest dev` is running on {data_dir}.",
                hint="Use that one, stop it, or give this one another --data-dir.",
            ) from None
        yield


def is_free(host: str, port: int) -> bool:
    """Say whether a port can be listened on now."""
    if not port:
        return False
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _port_of(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise CliError(f"A child said it is ready at {url}, which names no port.")
    return port


def _local(base_url: str) -> str:
    """Name an address of a gateway that listens on all of them."""
    return base_url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _env_text(ready: Ready) -> str:
    values = {
        "BEHEST_BASE_URL": ready["base_url"],
        "BEHEST_KEY": ready["api_key"],
        "BEHEST_PROJECT_ID": ready["project_id"],
        "BEHEST_ADMIN_TOKEN": ready["admin_token"],
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
