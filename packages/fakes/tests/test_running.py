"""The provider in a thread, and as a process with a command line."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import behest_fakes
import httpx
import openai
import pytest
from behest_fakes import ConfigError, FakeProvider, ScriptError, running_provider

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi there"}]}


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "behest_fakes", "provider", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "behest_fakes", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_code_without_a_loop_runs_it_in_a_thread() -> None:
    with running_provider() as provider:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", provider.base_url)
        assert provider.script(reply="Hello.", when={"contains": "hi"}) == "rule_1"
        client = openai.OpenAI(base_url=provider.openai_base_url, api_key="x", timeout=10)
        with client:
            completion = client.chat.completions.create(model=ASK["model"], messages=ASK["messages"])
            assert completion.choices[0].message.content == "Hello."
        bill = provider.settled(calls=1)
        assert bill.total_nano_usd == provider.bill(since=0).total_nano_usd == 9 * 150 + 2 * 600
        provider.clear_script()
        provider.configure(token_delay_ms=1)
        assert provider.called(1).count == 1
        with pytest.raises(ScriptError):
            provider.script(replly="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        with pytest.raises(ConfigError):
            provider.configure(speed=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        with pytest.raises(TimeoutError):
            provider.settled(calls=2, timeout=0.05)
        provider.reset()
        assert provider.bill().count == 0
        with openai.OpenAI(base_url=provider.openai_base_url, api_key="x", timeout=10) as client:
            client.chat.completions.create(model=ASK["model"], messages=ASK["messages"])
    assert provider.bill().count == provider.settled(calls=1).count == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{provider.base_url}/_fake/health", timeout=5)


@pytest.mark.parametrize("delay", [0, 1])
def test_in_its_own_loop_a_cut_comes_after_what_was_written(delay: int) -> None:
    with running_provider(token_delay_ms=delay) as provider, httpx.Client(timeout=10) as http:
        for reset in (False, True):
            provider.script(completion_tokens=9, times=1, fault={"kind": "cut", "after_tokens": 4, "reset": reset})
            got = ""
            try:
                with http.stream(
                    "POST", f"{provider.openai_base_url}/chat/completions", json={**ASK, "stream": True}
                ) as answer:
                    for piece in answer.iter_text():
                        got += piece
                pytest.fail("the answer ended")
            except httpx.TransportError:
                assert reset or got.count('"delta":{"content":') == 4
        assert [(call.state, call.completion_tokens) for call in provider.settled().calls] == [("failed", 4)] * 2


def test_in_its_own_loop_a_caller_that_leaves_is_noticed() -> None:
    with running_provider(token_delay_ms=20) as provider, httpx.Client(timeout=10) as http:
        provider.script(completion_tokens=1_000)
        with http.stream(
            "POST", f"{provider.openai_base_url}/chat/completions", json={**ASK, "stream": True}
        ) as answer:
            next(answer.iter_text())
        (call,) = provider.settled().calls
        assert (call.state, call.completion_tokens < 10) == ("closed_by_client", True)


def test_a_port_in_use_is_an_error_of_the_block_that_wanted_it() -> None:
    with running_provider() as provider:
        port = int(provider.base_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), running_provider(port=port):
            pass


async def test_leaving_the_block_ends_calls_that_still_run() -> None:
    async with httpx.AsyncClient(timeout=5) as http:
        async with FakeProvider() as provider:
            provider.script(fault={"kind": "hang", "after_tokens": 1})
            request = http.build_request(
                "POST", f"{provider.openai_base_url}/chat/completions", json={**ASK, "stream": True}
            )
            answer = await http.send(request, stream=True)
        with pytest.raises(httpx.TransportError):
            await answer.aread()
        await answer.aclose()
    assert provider.bill().calls[0].state == "closed_by_client"
    with pytest.raises(RuntimeError, match="not running"):
        _ = provider.base_url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_says_where_it_is_and_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    process = start("--json", "--port", "0", "--token-delay-ms", "0")
    with process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert list(ready) == ["base_url"]
        answer = httpx.post(f"{ready['base_url']}/v1/chat/completions", json=ASK, timeout=10)
        assert answer.status_code == 200
        assert httpx.get(f"{ready['base_url']}/_fake/health", timeout=10).json() == {"status": "ok"}
        process.send_signal(number)
        assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_a_process_ends_at_once_though_a_call_hangs() -> None:
    process = start("--json")
    with process:
        assert process.stdout is not None
        base_url = json.loads(process.stdout.readline())["base_url"]
        httpx.post(f"{base_url}/_fake/script", json={"fault": {"kind": "hang"}}, timeout=10)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{base_url}/v1/chat/completions", json=ASK, timeout=0.1)
        host, port = base_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as caller:
            body = json.dumps(ASK).encode()
            caller.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
            caller.sendall(body)
            httpx.get(f"{base_url}/_fake/bill", params={"until_calls": 2}, timeout=10)
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_a_process_paces_its_tokens_asks_for_its_key_and_keeps_counters_only() -> None:
    process = start("--api-key", "sk-right", "--no-record", "--fast", "--token-delay-ms", "3")
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"Fake OpenAI provider at (http://127\.0\.0\.1:\d+)/v1 ", line)
        assert found is not None
        config = httpx.get(f"{found[1]}/_fake/config", timeout=10).json()
        del config["prices"]
        assert config == {
            "token_delay_ms": 3.0,
            "first_token_delay_ms": 0.0,
            "fast": True,
            "requires_api_key": True,
            "record": False,
        }
        assert httpx.post(f"{found[1]}/v1/chat/completions", json=ASK, timeout=10).status_code == 401
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_by_itself_a_process_takes_fifteen_milliseconds_a_token() -> None:
    process = start("--json")
    with process:
        assert process.stdout is not None
        base_url = json.loads(process.stdout.readline())["base_url"]
        assert httpx.get(f"{base_url}/_fake/config", timeout=10).json()["token_delay_ms"] == 15
        process.terminate()
        process.communicate(timeout=10)


def test_a_port_in_use_is_named_in_one_sentence() -> None:
    with running_provider() as provider:
        port = provider.base_url.rpartition(":")[2]
        ended = run("provider", "--port", port)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"behest-fakes: cannot listen on 127.0.0.1 port {port}: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [(), ("nothing",), ("provider", "--port", "x"), ("provider", "--token-delay-ms", "-1")]
)
def test_a_wrong_command_line_is_explained(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert "usage:" in ended.stderr


def test_help_names_every_option() -> None:
    text = run("provider", "--help").stdout
    for option in ("--host", "--port", "--json", "--api-key", "--token-delay-ms", "--fast", "--no-record"):
        assert option in text


def test_what_is_public_is_listed_and_sorted() -> None:
    public = {
        name
        for name, value in vars(behest_fakes).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("behest_fakes.")
    }
    assert behest_fakes.__all__ == sorted(public)


def test_the_example_in_the_readme_runs() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    example, printed = re.findall(r"```(?:python|text)\n(.*?)```", readme, re.DOTALL)[:2]
    ended = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.stderr, ended.stdout) == ("", printed)
