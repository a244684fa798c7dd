"""nginx and HAProxy as plain reverse proxies: one worker, keep-alive to the backend, no keys, no log.

What a proxy written in C and set up for nothing else costs; the gateway looks at keys, services and bodies besides.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.python import Peer
from bench.targets import servers
from bench.targets.null import nginx, nginx_head

NGINX = """
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend door
  bind 127.0.0.1:{port}
  default_backend backend
backend backend
  server one 127.0.0.1:{backend}
"""


def missing() -> list[str]:
    return [name for name in ("nginx", "haproxy") if shutil.which(name) is None]


@contextmanager
def nginx_proxy(directory: Path, backend_port: int) -> Iterator[Peer]:
    at = directory / "nginx-proxy"
    at.mkdir()
    port = servers.free_ports(1)[0]
    with nginx(at, nginx_head(at) + NGINX.format(backend=backend_port, port=port), port) as pids:
        yield Peer(port, pids, _version("nginx", "-v"))


@contextmanager
def haproxy(directory: Path, backend_port: int) -> Iterator[Peer]:
    at = directory / "haproxy"
    at.mkdir()
    port = servers.free_ports(1)[0]
    (at / "haproxy.cfg").write_text(HAPROXY.format(backend=backend_port, port=port))
    command = ("haproxy", "-db", "-f", str(at / "haproxy.cfg"))
    with servers.process(command, at, servers.answers(f"http://{servers.HOST}:{port}/health")) as running:
        yield Peer(port, [running.pid], _version("haproxy", "-v"))


def _version(program: str, flag: str) -> str:
    done = subprocess.run([program, flag], capture_output=True, text=True, check=True, timeout=10)
    first = (done.stdout + done.stderr).strip().splitlines()[0]
    name = first.removeprefix("nginx version: ").replace("HAProxy version", "HAProxy")
    return name.split(" - ")[0].split("~")[0].split(" 20")[0][:40]
