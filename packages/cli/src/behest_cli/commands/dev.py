"""`behest dev`: everything on this machine, seeded, until Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from behest_cli import render
from behest_cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from behest_cli.dev import DevStack, Provider


def dev(
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="The gateway's port, 0 for any; 8080 when absent.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address that the gateway listens on.")] = "127.0.0.1",
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where everything is kept.")] = Path(".behest/dev"),
    allow_origin: Annotated[
        list[str] | None, typer.Option("--allow-origin", help="A web page that may call the project, beside port 8000.")
    ] = None,
    provider_url: Annotated[
        str | None, typer.Option("--provider-url", help="A real OpenAI-compatible provider, /v1 included.")
    ] = None,
    provider_key: Annotated[
        str | None, typer.Option("--provider-key", envvar="BEHEST_PROVIDER_KEY", help="That provider's key.")
    ] = None,
    fake: Annotated[bool, typer.Option("--fake", help="Use the fake provider even if OPENAI_API_KEY is set.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when it is ready, secrets included.")
    ] = False,
) -> None:
    """Start a gateway and a provider with a tenant, a project and keys in it. Ctrl-C ends it; the data stays.

    The provider is a fake one on loopback that costs nothing, or OpenAI when OPENAI_API_KEY is set.
    """
    from behest_cli.commands.origin import check
    from behest_cli.dev import DevStack

    provider = choose_provider(provider_url, provider_key, fake=fake)
    origins = [check(origin) for origin in allow_origin or []]
    with (
        until_signal(),
        DevStack(data_dir, host=host, port=port, allow_origins=origins, provider=provider) as stack,
    ):
        if json:
            render.line(compact(stack.ready))
            sys.stdout.flush()
        else:
            welcome(stack, provider)
        supervise(stack)


def choose_provider(url: str | None, key: str | None, *, fake: bool) -> Provider | None:
    """Say which provider is meant; None is the fake one.

    Raises:
        UsageError: The options exclude each other.
    """
    from behest_cli.dev import Provider, openai_from_environment

    if url is not None and fake:
        raise UsageError("--fake and --provider-url exclude each other.")
    if url is not None:
        return Provider(base_url=url.rstrip("/"), key=key)
    if key is not None and not fake:
        raise UsageError("--provider-key needs --provider-url.", hint="For OpenAI itself, set OPENAI_API_KEY.")
    found = None if fake else openai_from_environment()
    if found is not None:
        render.note("OPENAI_API_KEY is set: calls go to OpenAI and cost real money. `--fake` uses the fake provider.")
    return found


def supervise(stack: DevStack) -> None:
    """Stay until a signal comes, or until a child ends by itself.

    Raises:
        CliError: A child ended.
    """
    child = stack.wait_for_exit()
    raise CliError(
        f"The {child.name} ended by itself, with exit code {child.exit_code}. Its log ends:\n{child.tail()}",
        hint=f"The whole log is {child.log}.",
    )


@contextmanager
def until_signal() -> Generator[None, None, None]:
    """Run a block until SIGINT or SIGTERM; either ends it as done, and more of them do not disturb the clean-up."""
    stopping = False

    def stop(number: int, frame: Any) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        render.note("Stopped.")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def compact(value: Any) -> str:
    """Write JSON on one line."""
    import json as json_module

    return json_module.dumps(value, separators=(",", ":"))


def welcome(stack: DevStack, provider: Provider | None) -> None:
    """Tell a person where everything is, and what to try first."""
    from rich.panel import Panel
    from rich.text import Text

    ready = stack.ready
    source = render_path(stack.env_file)
    # Whoever came by `uv run` has no `behest` on the PATH of another terminal.
    behest = "uv run behest" if "UV_RUN_RECURSION_DEPTH" in os.environ or not shutil.which("behest") else "behest"
    lines = {
        "Gateway": ready["base_url"],
        "Project": ready["slug_url"],
        "Provider": f"{ready['provider_url']} (fake; costs nothing)" if provider is None else provider.base_url,
        "Secrets": f"{render_path(stack.data_dir / 'dev.json')} (readable by you only)",
        "Logs": f"{render_path(stack.data_dir)}/*.log",
    }
    text = Text("\n".join(f"{name:<9} {value}" for name, value in lines.items()))
    render.console().print(Panel(text, title="Behest is running", title_align="left", expand=False))
    render.line(
        f"""
In another terminal:

  source {source}
  {behest} chat "Say hello" --user ada
  {behest} budget set --each-user --usd 0.01 --window day
  {behest} usage --user ada

or with curl:

  source {source}
  TOKEN=$({behest} token mint --user ada)
  curl {ready["base_url"]}/v1/chat/completions -H "Authorization: Bearer $TOKEN" \\
    -H "Content-Type: application/json" -d '{{"messages": [{{"role": "user", "content": "Say hello"}}]}}'

or from Python:

  from behest import Behest
  answer = Behest().for_user("ada").chat.completions.create(messages=[{{"role": "user", "content": "Say hello"}}])
  print(answer.text)

Ctrl-C stops it; the next start says the same ids and secrets."""
    )
    sys.stdout.flush()


def render_path(path: Path) -> str:
    """Write a path as short as it can be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
