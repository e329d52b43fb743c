"""Nothing in a test run leaves this machine, and the gateway and the command line never call out by themselves."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ..support.processes import Server, environment
from .conftest import Refused

ELSEWHERE = "192.0.2.1"
"""An address of the block that is for documentation: nobody has it."""

ASYNC = """
import asyncio, sys
async def main():
    try:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, sys.argv[1], 9)
    except OSError as refusal:
        print(type(refusal).__name__)
{run}
"""


def test_a_connection_to_another_machine_is_refused(refused: Refused) -> None:
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError, match="stay on this machine"):
        sock.connect((ELSEWHERE, 9))
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(ConnectionRefusedError):
        sock.sendto(b"x", (ELSEWHERE, 9))
    with pytest.raises(ConnectionRefusedError):
        socket.getaddrinfo("example.com", 443)

    assert [line.split(" from ")[0] for line in refused()] == [
        f"socket.connect '{ELSEWHERE}'", f"socket.sendto '{ELSEWHERE}'", "socket.getaddrinfo 'example.com'",
    ]  # fmt: skip


def test_http_to_another_machine_is_refused(refused: Refused) -> None:
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get("https://example.com/")

    assert len(refused()) == 1


async def test_a_loop_that_looks_for_another_machine_is_refused(refused: Refused) -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, "example.com", 443)

    assert len(refused()) == 1


@pytest.mark.parametrize("run", ["asyncio.run(main())", "import uvloop; uvloop.run(main())"], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("host", [ELSEWHERE, "example.com"])
def test_a_process_that_a_test_starts_is_refused_as_well(run: str, host: str, refused: Refused) -> None:
    if "uvloop" in run and sys.platform == "win32":
        pytest.skip("uvloop is not for Windows")
    done = subprocess.run(
        [sys.executable, "-c", ASYNC.format(run=run), host],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "EgressError\n"
    assert len(refused()) == 1


def test_loopback_is_reached(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass

    assert refused() == []


def test_a_gateway_with_every_default_calls_nobody(tmp_path: Path, refused: Refused) -> None:
    """Its provider is on the internet; starting, minting, managing and refusing must not need it."""
    server = Server(
        "behest_gateway",
        "--json",
        env={
            "BEHEST_GATEWAY_PORT": "0",
            "BEHEST_GATEWAY_DATA_DIR": str(tmp_path / "data"),
            "BEHEST_ADMIN_TOKEN": "operator-of-this-test",
        },
        log=tmp_path / "gateway.log",
    )
    try:
        operator = {"Authorization": "Bearer operator-of-this-test"}
        with httpx.Client(base_url=server.base_url, timeout=30, trust_env=False) as client:
            tenant = client.post("/v1/tenants", json={"name": "Acme"}, headers=operator).json()
            project = client.post(
                "/v1/projects", json={"tenant_id": tenant["id"], "name": "P"}, headers=operator
            ).json()
            key = client.post(f"/v1/projects/{project['id']}/keys", headers=operator).json()
            minted = client.post(
                "/v1/auth/mint", json={"user_id": "u"}, headers={"Authorization": f"Bearer {key['key']}"}
            )
            user = {"Authorization": f"Bearer {minted.json()['jwt']}"}
            answers = [
                client.get(path, headers=user)
                for path in ("/ready", "/v1/models", "/v1/usage", "/.well-known/jwks.json")
            ]
            assert [answer.status_code for answer in answers] == [200] * 4
            assert refused() == []

            asked = {"messages": [{"role": "user", "content": "Hello"}]}
            chat = client.post("/v1/chat/completions", json=asked, headers=user)
            assert (chat.status_code, chat.json()["code"]) == (502, "upstream_error")
    finally:
        assert server.stop() == 0

    # The one thing that leaves is a chat, to the provider, and it was stopped here.
    assert [line.split(" from ")[0] for line in refused()] == ["uvloop connects to 'api.openai.com'"]


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["gateway", "--help"]])
def test_the_command_line_calls_nobody(arguments: list[str], refused: Refused) -> None:
    subprocess.run(
        [sys.executable, "-m", "behest_cli", *arguments],
        env=environment(),
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )

    assert refused() == []


def test_a_refused_attempt_fails_the_test_that_made_it(tmp_path: Path) -> None:
    """Also when the program caught the refusal: the log remembers."""
    (tmp_path / "conftest.py").write_text((Path(__file__).parents[2] / "conftest.py").read_text(encoding="utf-8"))
    guard = tmp_path / "tests/architecture/egress"
    guard.mkdir(parents=True)
    real = Path(__file__).parent / "egress/sitecustomize.py"
    (guard / "sitecustomize.py").write_text(real.read_text(encoding="utf-8"))
    (tmp_path / "test_quiet.py").write_text(
        "import socket\n\n\ndef test_it():\n    try:\n        socket.getaddrinfo('example.com', 1)\n"
        "    except OSError:\n        pass\n"
    )
    without = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NO_EGRESS_LOG")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=without,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1, done.stdout
    assert "something tried to leave this machine" in done.stdout
