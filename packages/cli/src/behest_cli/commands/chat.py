"""`behest chat`: one question to the project's model, as one user, through the gateway."""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated, Any

import typer

from behest_cli import render
from behest_cli.commands.usage import left
from behest_cli.connection import BaseUrl, Json, Key, ProfileName, User, sdk


def chat(
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    user: User = "default",
    model: Annotated[str | None, typer.Option("--model", help="Another model than the project's.")] = None,
    system: Annotated[str | None, typer.Option("--system", help="A system message to go first.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="The longest answer to take.")] = None,
    key: Key = None,
    base_url: BaseUrl = None,
    profile: ProfileName = "default",
    json: Json = False,
) -> None:
    """Chat as a user: the answer streams to the terminal, and its cost and what is left follow."""
    said = sys.stdin.read() if text == "-" else text
    messages = [{"role": "user", "content": said}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    given: dict[str, Any] = {"model": model, "max_tokens": max_tokens}
    call: dict[str, Any] = {"messages": messages} | {name: value for name, value in given.items() if value is not None}
    with sdk(base_url, key, profile) as behest:
        person = behest.for_user(user)
        if json:
            render.line(json_module.dumps(person.chat.completions.create(**call)))
            return
        cost, is_cut = stream(
            person.chat.completions.create(**call, stream=True, stream_options={"include_usage": True})
        )
        report = person.usage.get()
    if is_cut:
        render.note("The answer was cut at the length that was asked for, or that the budget still allowed.")
    remains = "; ".join(left(budget) for budget in report.budgets or [])
    render.note(f"This cost {render.usd(cost)}." + (f" {remains}." if remains else ""))


def stream(chunks: Any) -> tuple[float | None, bool]:
    """Print an answer as it comes.

    Returns:
        What it cost in US dollars, None when the gateway did not say; and whether it was cut before its end.
    """
    cost, is_cut = None, False
    try:
        for chunk in chunks:
            sys.stdout.write(chunk.text)
            sys.stdout.flush()
            is_cut = is_cut or any(choice.finish_reason == "length" for choice in chunk.choices)
            if chunk.usage is not None and chunk.usage.cost_usd is not None:
                cost = chunk.usage.cost_usd
    finally:
        sys.stdout.write("\n")
        sys.stdout.flush()
    return cost, is_cut
