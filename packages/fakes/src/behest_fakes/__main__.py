"""`behest-fakes provider`: run a fake OpenAI provider on loopback until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import signal
import sys
from collections.abc import Sequence

from behest_fakes.server import FakeProvider, new_event_loop

DEFAULT_TOKEN_DELAY_MS = 15.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 after a clean end, 1 when the provider cannot start."""
    options = _parser().parse_args(argv)
    if options.token_delay_ms is None:
        options.token_delay_ms = 0.0 if options.fast else DEFAULT_TOKEN_DELAY_MS
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_provide(options))
    except KeyboardInterrupt:
        return 0
    except (OSError, OverflowError) as error:
        sys.stderr.write(
            f"behest-fakes: cannot listen on {options.host} port {options.port}: {error}. "
            "Choose another port with --port, or 0 for any that is free.\n"
        )
        return 1
    return 0


async def _provide(options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
    provider = FakeProvider(
        host=options.host,
        port=options.port,
        token_delay_ms=options.token_delay_ms,
        first_token_delay_ms=options.first_token_delay_ms,
        api_key=options.api_key,
        fast=options.fast,
        record=options.record,
    )
    async with provider:
        if options.json:
            ready = json.dumps({"base_url": provider.base_url}, separators=(",", ":"))
        else:
            ready = (
                f"Fake OpenAI provider at {provider.openai_base_url} "
                f"(bill: {provider.base_url}/_fake/bill). Ctrl+C ends it."
            )
        sys.stdout.write(ready + "\n")
        sys.stdout.flush()
        gc.freeze()
        await stopping.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="behest-fakes", description="Stateful stand-ins on loopback, for demos, tests and benchmarks."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    provider = commands.add_parser(
        "provider",
        help="run a fake OpenAI provider",
        description="Run a fake OpenAI provider. It answers /v1/chat/completions and /v1/models, keeps a bill at "
        "/_fake/bill, and does what is posted to /_fake/script. SIGINT and SIGTERM end it.",
    )
    add = provider.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    add("--port", type=_port, default=0, help="port to listen at; 0, the default, for any that is free")
    add("--json", action="store_true", help='print one line {"base_url": …} when requests are accepted')
    add("--api-key", default=None, help="answer 401 under /v1 unless this key comes as a Bearer token")
    add(
        "--token-delay-ms",
        type=_milliseconds,
        default=None,
        help=f"time that a token takes where no rule says otherwise (default: {DEFAULT_TOKEN_DELAY_MS:g}, "
        "0 with --fast)",
    )
    add(
        "--first-token-delay-ms",
        type=_milliseconds,
        default=0.0,
        help="wait before the first token, likewise (default: 0)",
    )
    add("--fast", action="store_true", help="for benchmarks: one fixed reply of 30 tokens, without delays")
    add(
        "--no-record",
        dest="record",
        action="store_false",
        help="keep counters only, no calls, so that memory does not grow",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"a delay is a number of milliseconds from 0, not {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
