"""What a gateway is compared with: the provider itself, and the least that a proxy can do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import processes
from benchmarks.subject import CannotRunError, Place, Running


@contextmanager
def mock(place: Place, core: int) -> Generator[Running]:
    """Run the mock provider. As a subject it is what everything else is compared with: no gateway at all."""
    log = place.scratch / "upstream.log"
    command = processes.python_module("benchmarks.upstream")
    with processes.running(command, core=core, env=processes.clean_environment(), log=log, speaks=True) as process:
        port = json.loads(processes.read_line(process, 20, log))["port"]
        yield Running(name="direct", port=port, process=process, versions="the mock provider, asked directly")


_NGINX = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 2048; multi_accept on; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 75;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream provider {{
    server 127.0.0.1:{upstream};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
"""


@contextmanager
def nginx(place: Place) -> Generator[Running]:
    """Run nginx as a plain proxy with one worker: no authentication, no accounting, no log."""
    program = shutil.which("nginx")
    if program is None:
        raise CannotRunError("there is no nginx on PATH; `apt-get install nginx-light` brings one")
    folder = place.scratch / "nginx"
    folder.mkdir(mode=0o755)
    port = processes.free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    text = _NGINX.format(folder=folder, upstream=place.upstream, port=port, user=user)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    said = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=20).stderr.strip()
    log = place.scratch / "nginx.log"
    command: list[str | Path] = [program, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]
    with processes.running(command, core=place.core, env=processes.clean_environment(), log=log) as process:
        processes.until_listening(process, port, 20, log)
        yield Running(name="nginx", port=port, process=process, versions=said.removeprefix("nginx version: "))
