"""A backend that computes nothing: nginx that gives every request its good answer at once.

What is measured in front of it is the gateway (or another proxy) alone. nginx does about ten times as many requests
with a core as the gateway, so it is never what limits.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.targets import requests, servers
from bench.targets.requests import Call
from services.gateway.snapshot import Endpoint

NGINX_HEAD = """
daemon off; worker_processes 1; pid {at}/nginx.pid; error_log {at}/error.log; {user}
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k; client_max_body_size 64m;
  client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi; open_file_cache max=10;
"""
BACKEND = """
  server {{
    listen 127.0.0.1:{http} backlog=4096; default_type application/json;
    location / {{ return 200 '{rest}'; }}
    location /v1/chat/ {{ return 200 '{chat}'; }}
    location = /health {{ return 200; }}
  }}
  server {{
    listen 127.0.0.1:{grpc} http2 backlog=4096; default_type application/grpc;
    location / {{ root {at}/www; error_page 404 405 =200 /answer; }}
  }}
}}
"""

SOCKET = """
  server {{
    listen unix:{at}/http.sock backlog=4096; listen 127.0.0.1:{port}; default_type application/json;
    location / {{ return 200 '{rest}'; }}
  }}
}}
"""


@dataclass(frozen=True)
class Null:
    endpoint: Endpoint
    pids: list[int]

    def port(self, call: Call) -> int:
        return (self.endpoint.grpc if call.wire == "gRPC" else self.endpoint.http).port


def nginx_head(at: Path) -> str:
    # Started by root it would take another user, who may not read this folder.
    return NGINX_HEAD.format(at=at, user="user root;" if os.geteuid() == 0 else "")


def available() -> bool:
    return shutil.which("nginx") is not None


@contextmanager
def null(directory: Path) -> Iterator[Null]:
    at = directory / "null"
    (at / "www").mkdir(parents=True)
    (at / "www" / "answer").write_bytes(requests.answer(requests.GRPC))
    http, grpc = servers.free_ports(2)
    rest, chat = (requests.answer(call).decode() for call in (requests.REST, requests.CHAT))
    config = nginx_head(at) + BACKEND.format(at=at, http=http, grpc=grpc, rest=rest, chat=chat)
    with nginx(at, config, http) as pids:
        yield Null(servers.endpoint(http, grpc), pids)


@contextmanager
def null_socket(directory: Path) -> Iterator[Path]:
    """A unix socket of an HTTP backend: replicas that have it under a name each do not share an address."""
    at = directory / "null-socket"
    at.mkdir()
    port = servers.free_ports(1)[0]
    rest = requests.answer(requests.REST).decode()
    with nginx(at, nginx_head(at) + SOCKET.format(at=at, port=port, rest=rest), port):
        yield at / "http.sock"


@contextmanager
def nginx(at: Path, config: str, port: int) -> Iterator[list[int]]:
    """Pids of an nginx with this configuration that answers on `port`."""
    (at / "nginx.conf").write_text(config)
    command = ("nginx", "-p", str(at), "-e", str(at / "error.log"), "-c", str(at / "nginx.conf"))
    with servers.process(command, at, servers.answers(f"http://{servers.HOST}:{port}/health")) as running:
        yield [running.pid, *(child.pid for child in psutil.Process(running.pid).children())]
