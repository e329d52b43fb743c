# pyright: reportUnknownMemberType=false
"""This gateway as a subject: with users' tokens, a hard budget for each user, holds and the ledger."""

from __future__ import annotations

import http.client
import json
import secrets
import site
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
import jwt
from behest_protocol.claims import AUDIENCE
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from benchmarks import processes, wire
from benchmarks.subject import Place, Running

USERS = 1000
"""Users with a token each, asked for in turn, so that no token's verification is measured as if there were one user."""

_TOKEN_SECONDS = 7200
_OTHER_PYTHON = Path("/usr/bin/python3")
_BOOT = (
    "import runpy, site, sys; [site.addsitedir(folder) for folder in sys.argv.pop(1).split(':')]; "
    "sys.argv[0] = 'behest_gateway'; runpy.run_module('behest_gateway', run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """How the gateway is started: by this interpreter, or by another of the same version that was built otherwise."""

    name: str
    command: tuple[str, ...]
    built: str

    @contextmanager
    def run(self, place: Place) -> Generator[Running]:
        """Run it with everything on: users' tokens, a hard budget for each user, holds and the ledger."""
        folder = place.scratch / self.name
        folder.mkdir()
        admin = secrets.token_urlsafe(32)
        env = gateway_environment(folder / "data", admin, f"http://127.0.0.1:{place.upstream}/v1")
        log = folder / "log"
        with processes.running([*self.command, "--json"], core=place.core, env=env, log=log, speaks=True) as process:
            base_url = json.loads(processes.read_line(process, 30, log))["base_url"]
            port = int(base_url.rpartition(":")[2])
            tokens = seed(port, admin)
            yield Running(
                name=self.name,
                port=port,
                process=process,
                versions=f"behest-gateway {version('behest-gateway')}, {self.built}",
                headers=[{"Authorization": f"Bearer {token}"} for token in tokens],
                warm_seconds=1.0,
                warm_requests=2 * USERS,
                audit=lambda running: audit(folder / "data" / "behest.db", running),
            )


def gateway_environment(data: Path, admin_token: str, provider: str) -> dict[str, str]:
    """The environment of a gateway on a data directory; everything else is as it comes."""
    return processes.clean_environment(
        {
            "BEHEST_GATEWAY_PORT": "0",
            "BEHEST_GATEWAY_DATA_DIR": str(data),
            "BEHEST_GATEWAY_OPENAI_BASE_URL": provider,
            "BEHEST_GATEWAY_OPENAI_API_KEY": "sk-mock",
            "BEHEST_ADMIN_TOKEN": admin_token,
        }
    )


def built_with(config_args: str) -> str:
    """How an interpreter was configured. A distribution may have optimised it in a way of its own."""
    return f"configured {'with' if '--enable-optimizations' in config_args else 'without'} --enable-optimizations"


def gateways() -> list[Gateway]:
    """The gateway under this interpreter, and under the system's when that is the same version in another build."""
    mine = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    release = "{}.{}.{}".format(*sys.version_info[:3])
    found = [
        Gateway(
            name="behest",
            command=tuple(processes.python_module("behest_gateway")),
            built=f"CPython {release}, {built_with(mine)}",
        )
    ]
    if _OTHER_PYTHON.exists() and _OTHER_PYTHON.resolve() != Path(sys.executable).resolve():
        ask = "import platform, sys, sysconfig; print(sys.implementation.cache_tag, platform.python_version());"
        ask += "print(sysconfig.get_config_var('CONFIG_ARGS'))"
        said = subprocess.run([_OTHER_PYTHON, "-I", "-c", ask], capture_output=True, text=True, timeout=20)
        tag, _, rest = said.stdout.partition(" ")
        other, _, theirs = rest.partition("\n")
        if said.returncode == 0 and tag == sys.implementation.cache_tag and theirs.strip() != mine:
            # -S: the system's own packages stay out; the environment's are found all the same.
            folders = ":".join(site.getsitepackages())
            found.append(
                Gateway(
                    name="behest-system",
                    command=(str(_OTHER_PYTHON), "-I", "-S", "-c", _BOOT, folders),
                    built=f"the system's CPython {other}, {built_with(theirs)}",
                )
            )
    return found


def ask_json(port: int, method: str, path: str, *, token: str, body: object = None) -> Any:
    """One call to a management API.

    Raises:
        processes.StartError: It was refused.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), fields)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise processes.StartError(f"{method} {path} was answered with {answer.status}: {text[:300]!r}")
    return json.loads(text) if text else None


def seed(port: int, admin: str) -> list[str]:
    """Make a tenant, a project with a large hard budget for each user, and a signing key; sign the users' tokens."""
    tenant = ask_json(port, "POST", "/v1/tenants", token=admin, body={"name": "Bench"})
    rates = {"rpm_limit": 1_000_000, "user_rpm_limit": 1_000_000}
    project = ask_json(
        port, "POST", "/v1/projects", token=admin, body={"tenant_id": tenant["id"], "name": "Bench", "settings": rates}
    )
    budget = {"scope": "each_user", "window": "day", "limit_usd": 10_000}
    ask_json(port, "POST", f"/v1/projects/{project['id']}/budgets", token=admin, body=budget)
    key = ask_json(port, "POST", "/v1/signing-keys", token=admin, body={"tenant_id": tenant["id"]})
    private_key = load_pem_private_key(key["private_key_pem"].encode(), None)
    if not isinstance(private_key, RSAPrivateKey):
        raise processes.StartError("the gateway made a signing key that is not RSA")
    now = int(time.time())
    tokens: list[str] = []
    for number in range(USERS):
        claims: dict[str, Any] = {
            "tid": tenant["id"],
            "pid": project["id"],
            "uid": f"user_{number:04d}",
            "role": "user",
            "scp": [],
            "iss": "behest",
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + _TOKEN_SECONDS,
            "jti": str(uuid.uuid4()),
            "sid": str(uuid.uuid4()),
        }
        tokens.append(jwt.encode(claims, private_key, algorithm="RS256", headers={"kid": key["kid"]}))
    return tokens


def audit(path: Path, running: Running) -> str:
    """Compare the ledger with the answers that were counted: a row for each, each with its tokens, nothing held.

    Raises:
        AssertionError: They differ; the message has both sides.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(5000)
    rows, users, into, out, spent = next(
        connection.execute(
            "select count(*), count(distinct user_ref), sum(input_tokens), sum(output_tokens), sum(cost_nano)"
            " from ledger where state = 'settled' and status = 200"
        )
    )
    others = next(connection.execute("select count(*) from ledger where state <> 'settled' or status <> 200"))[0]
    held = next(connection.execute("select count(*) from holds"))[0]
    counted = next(
        connection.execute(
            "select coalesce(sum(spent), 0) from counters join budgets on budgets.id = budget_id where unit = 'usd'"
        )
    )[0]
    connection.close()
    answers = running.answered
    expected = (answers, answers * wire.INPUT_TOKENS, answers * wire.OUTPUT_TOKENS, 0, 0, spent)
    if (rows, into, out, others, held, counted) != expected:
        raise AssertionError(
            f"{running.name}: {answers} answers were counted, but the ledger has {rows} settled rows with {into} and "
            f"{out} tokens, {others} other rows, and {held} holds; budgets say {counted} nano-USD, rows {spent}"
        )
    return f"{running.name}: {rows} answers, {rows} ledger rows of {users} users, {spent / 1e9:.2f} USD, nothing held"
