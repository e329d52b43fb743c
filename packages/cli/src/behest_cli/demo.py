"""`python -m behest_cli.demo`: everything at once, up to a URL to open in a browser.

It starts what `behest dev` starts, scaffolds `templates/fastapi` beside it, gives every user a budget small enough to
see its end, starts the app, and says where it is. Ctrl-C ends all of it. `--once`, or `BEHEST_DEMO_ONCE=1`, ends it as
soon as the app has answered, for a machine that only wants to know that it works.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from behest_cli.children import Child
from behest_cli.commands.dev import supervise, until_signal
from behest_cli.dev import DEFAULT_PORT, DevStack, is_free, openai_from_environment
from behest_cli.errors import CliError
from behest_cli.main import show
from behest_cli.management import Management
from behest_cli.profiles import write_private
from behest_cli.scaffold import scaffold

DATA_DIR = Path(".behest/demo")
APP_PORT = 8000
APP_SECONDS = 60.0
EACH_USER_USD = "0.0003"
"""Enough for some short answers of the default model, and soon used up."""

STEPS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        The exit code: 0 when it was ended by Ctrl-C or, with `--once`, by itself; 1 when something failed.
    """
    parser = argparse.ArgumentParser(prog="demo", description="A gateway, a provider and an app with a chat page.")
    parser.add_argument("--once", action="store_true", help="stop as soon as the app has answered")
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, help=f"where everything is kept ({DATA_DIR})")
    options = parser.parse_args(arguments)
    once = options.once or os.environ.get("BEHEST_DEMO_ONCE", "") not in ("", "0")
    try:
        with until_signal():
            demo(options.data_dir, once=once)
    except CliError as error:
        show(error)
        return 1
    return 0


def demo(data_dir: Path, *, once: bool) -> None:
    """Start everything, say where it is, and stay until a signal comes or, with `once`, not at all.

    Raises:
        CliError: Something did not start, or ended by itself.
    """
    app_port = APP_PORT if is_free("127.0.0.1", APP_PORT) else 0
    app_port = app_port or _any_port()
    origins = [f"http://localhost:{app_port}", f"http://127.0.0.1:{app_port}"]
    port = DEFAULT_PORT if is_free("127.0.0.1", DEFAULT_PORT) else 0
    provider = openai_from_environment()
    with DevStack(data_dir, port=port, allow_origins=origins, provider=provider) as stack:
        whose = "a fake provider that costs nothing" if provider is None else "OpenAI (this costs real money)"
        say(1, f"the gateway answers at {stack.ready['base_url']}, with {whose}")

        app = stack.data_dir / "app"
        scaffold(app, answers=_answers(stack), overwrite=True)
        say(2, f"an app is scaffolded from templates/fastapi in {app}")

        limit = _small_budget(stack)
        say(3, f"each user may spend {limit} USD a day, and is then stopped")

        child = stack.add_child("app", "uvicorn", _uvicorn(app_port), env=_environment(stack, app), cwd=app)
        _wait_until_it_answers(stack, child, f"http://127.0.0.1:{app_port}/")
        say(4, "the app answers")

        _line(f"\nOpen http://localhost:{app_port} and sign in as anybody.\n")
        if once:
            return
        _line("Ctrl-C ends everything.")
        supervise(stack)


def say(step: int, text: str) -> None:
    """Print a line of progress."""
    _line(f"[{step}/{STEPS}] {text}")


def _answers(stack: DevStack) -> dict[str, Any]:
    return {"template": "fastapi", "auth": "dev", "project_name": "behest-demo", "gateway_url": stack.ready["base_url"]}


def _small_budget(stack: DevStack) -> str:
    """Give each user a small budget, or leave the one that is there."""
    ready = stack.ready
    path = f"/v1/projects/{ready['project_id']}/budgets"
    with Management(base_url=ready["base_url"], token=ready["admin_token"]) as management:
        listed = management.get(path).rows
        there = [each for each in listed if each["scope"] == "each_user" and each["limit_usd"] is not None]
        if not there:
            body = {"scope": "each_user", "window": "day", "limit_usd": EACH_USER_USD}
            there = [management.post(path, body).data]
    return str(there[0]["limit_usd"])


def _environment(stack: DevStack, app: Path) -> dict[str, str]:
    """Fill in the app's `.env` from its `.env.example`, and read it as `uv run --env-file .env` would."""
    example = (app / ".env.example").read_text(encoding="utf-8")
    text = example.replace("\nBEHEST_KEY=\n", f"\nBEHEST_KEY={stack.ready['api_key']}\n")
    write_private(app / ".env", text)
    lines = [line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BEHEST_")}
    return {**inherited, **dict(lines)}


def _uvicorn(port: int) -> list[str]:
    return ["app:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]


def _wait_until_it_answers(stack: DevStack, child: Child, url: str) -> None:
    deadline = time.monotonic() + APP_SECONDS
    with httpx.Client(timeout=5.0, trust_env=False, follow_redirects=True) as client:
        while time.monotonic() < deadline:
            try:
                response = client.get(url)
            except httpx.TransportError:
                ended = stack.ended_within(0.1)
                if ended is not None:
                    raise CliError(f"The {ended.name} ended by itself. Its log ends:\n{ended.tail()}") from None
                continue
            if response.is_success and "<html" in response.text:
                return
            raise CliError(f"The app answers HTTP {response.status_code}. Its log ends:\n{child.tail()}")
    raise CliError(f"The app did not answer in {APP_SECONDS:.0f} seconds. Its log ends:\n{child.tail()}")


def _any_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
