"""`behest gateway`: the gateway, its settings as options."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from behest_cli.commands.gateway import SECRETS
from behest_gateway.settings import Settings

from .calling import Behest


def test_every_setting_that_is_no_secret_is_an_option(behest: Behest) -> None:
    said = behest("gateway", "--help", COLUMNS="200", TERMINAL_WIDTH="200").out
    for setting in dataclasses.fields(Settings):
        assert (f"--{setting.name.replace('_', '-')} " in said) == (setting.name not in SECRETS), setting.name


def test_it_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "behest_cli", "gateway", "--json", "--port", "0", "--data-dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        status = httpx.get(f"{ready['base_url']}/ready", trust_env=False).status_code
        process.send_signal(signal.SIGINT)
    except BaseException:
        process.kill()
        raise
    finally:
        _, err = process.communicate(timeout=30)

    assert (status, process.returncode) == (200, 0)
    assert "BEHEST_ADMIN_TOKEN" in err
    assert (tmp_path / "behest.db").exists()


@pytest.mark.parametrize(
    ("env", "sent"),
    [
        ({"OPENAI_API_KEY": "sk-bare"}, "sk-bare"),
        ({"OPENAI_API_KEY": "sk-bare", "BEHEST_GATEWAY_OPENAI_API_KEY": "sk-own"}, "sk-own"),
        ({"OPENAI_API_KEY": "sk-bare", "BEHEST_GATEWAY_OPENAI_BASE_URL": "https://other.example/v1"}, ""),
    ],
)
def test_openais_key_is_never_sent_to_somebody_else(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], sent: str
) -> None:
    from behest_cli.commands import gateway

    ran: list[tuple[str, list[str]]] = []

    def run(module: str, arguments: list[str]) -> None:
        ran.append((module, arguments))

    monkeypatch.setattr(gateway, "run_module", run)
    monkeypatch.setenv("BEHEST_GATEWAY_OPENAI_API_KEY", "")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    gateway.gateway(json=True)

    assert ran == [("behest_gateway", ["--json"])]
    assert os.environ["BEHEST_GATEWAY_OPENAI_API_KEY"] == sent
