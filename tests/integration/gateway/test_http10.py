"""HTTP/1.0, which `ab`, older proxies and nginx (by default) speak: answered in kind, and as strictly as HTTP/1.1."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tests.integration.gateway.doors import BOTH, CHAT, KEY, Doors
from tests.ports import free_ports
from tests.servers.gateway.rig import until

pytestmark = pytest.mark.integration
MODEL, READY, PREDICT = "/v2/models/mnist", "/v2/health/ready", "/v1/models/mnist:predict"
INFER = MODEL + "/infer"
CALLS = [(f"GET {MODEL}", ""), (f"POST {INFER}", "{}"), (f"GET {READY}", ""), (f"POST {INFER}", "{}")]
JSON = "Content-Type: application/json"
HELLO = '{"model":"llama","messages":[],"max_tokens":3}'
STREAM = '{"model":"llama","messages":[],"max_tokens":3,"stream":true,"user":"wait=50"}'
KEPT = "Connection: Keep-Alive"
TOO_LATE = 4.5
"""Seconds. An answer that ends with its connection is not kept waiting for that; a refused one may be, for five."""


def head(line: str, *lines: str, key: str = BOTH, body: str = "") -> bytes:
    own = [f"X-API-Key: {key}"] if key else []
    length = [f"Content-Length: {len(body)}"] if body else []
    return ("\r\n".join([line, *own, *lines, *length, "", ""]) + body).encode("latin-1")


def until_it_ends(doors: Doors, sent: bytes) -> tuple[bytes, bytes]:
    """Head and body, read as a client of HTTP/1.0 does: to the end of the connection."""
    with socket.create_connection(("127.0.0.1", doors.gateway.port), timeout=TOO_LATE) as connection:
        connection.sendall(sent)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    top, _, body = answer.partition(b"\r\n\r\n")
    return top.lower(), body


@pytest.mark.parametrize("host", [(), ("Host: a",), ("Host: mnist.localhost:80",)])
@pytest.mark.parametrize(
    ("line", "body"),
    [
        (f"GET {READY}", ""),
        ("GET /v2", ""),
        (f"GET {MODEL}", ""),
        (f"GET {MODEL}/ready", ""),
        (f"POST {INFER}", "{}"),
        (f"POST {PREDICT}", "{}"),
        (f"POST /services/mnist{INFER}", "{}"),
        ("GET /v1/models", ""),
    ],
)
def test_every_endpoint_answers_in_http_10_and_ends_the_connection(
    doors: Doors, line: str, body: str, host: tuple[str, ...]
) -> None:
    top, reply_body = until_it_ends(doors, head(f"{line} HTTP/1.0", JSON, *host, body=body))
    assert top.startswith(b"http/1.0 200 ok\r\n")
    assert b"connection: close" in top
    assert b"transfer-encoding" not in top
    assert isinstance(json.loads(reply_body), dict)


@pytest.mark.parametrize("kept", [(), (KEPT,)])
def test_a_stream_comes_in_pieces_without_chunks_and_ends_with_its_connection(
    doors: Doors, kept: tuple[str, ...]
) -> None:
    with socket.create_connection(("127.0.0.1", doors.gateway.port), timeout=TOO_LATE) as connection:
        connection.sendall(head(f"POST {CHAT} HTTP/1.0", JSON, *kept, body=STREAM, key=KEY))
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    assert len(parts) > 2
    top, _, body = b"".join(parts).partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.0 200 OK")
    assert b"transfer-encoding" not in top.lower()
    events = [line for line in body.split(b"\n\n") if line]
    assert all(event.startswith(b"data: ") for event in events), body
    assert (len(events), events[-1]) == (5, b"data: [DONE]")


def test_an_answer_without_a_length_ends_with_its_connection(doors: Doors) -> None:
    top, body = until_it_ends(doors, head(f"POST {CHAT} HTTP/1.0", JSON, KEPT, body=HELLO, key=KEY))
    assert (b"connection: close" in top, b"content-length" in top) == (True, False)
    assert json.loads(body)["usage"]["completion_tokens"] == 3


def test_a_connection_is_kept_for_those_who_ask(doors: Doors) -> None:
    with socket.create_connection(("127.0.0.1", doors.gateway.port), timeout=TOO_LATE) as connection:
        for line, body in CALLS:
            connection.sendall(head(f"{line} HTTP/1.0", JSON, KEPT, body=body))
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.version, answer.status) == (10, 200)
            assert answer.getheader("connection") == "keep-alive"
            answer.read()
        connection.sendall(head(f"GET {READY} HTTP/1.0", KEPT) + head(f"GET {MODEL} HTTP/1.0"))
        rest = b""
        while part := connection.recv(65536):
            rest += part
    assert rest.count(b"HTTP/1.0 200 OK") == 2


def test_pythons_client_speaks_it(doors: Doors) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", doors.gateway.port, timeout=20)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    connection.request("POST", CHAT, HELLO, headers)
    answer = connection.getresponse()
    assert (answer.version, answer.status) == (10, 200)
    assert json.loads(answer.read())["object"] == "chat.completion"
    connection.close()


@pytest.mark.parametrize(
    ("line", "lines", "status"),
    [
        (f"GET {MODEL} HTTP/1.0", ("Host: a", "Host: b"), 400),
        (f"GET {READY} HTTP/1.0", ("Host: a", "Host: a"), 400),
        (f"GET {MODEL} HTTP/1.0", ("Host:",), 400),
        (f"GET {MODEL} HTTP/1.0", ("Host: u@a",), 400),
        (f"GET {MODEL} HTTP/1.0", ("Host: small.localhost",), 400),
        (f"GET {MODEL} HTTP/1.1", (), 400),
        (f"GET {MODEL} HTTP/1.00", (), 400),
        (f"GET {MODEL} HTTP/1", (), 400),
        (f"GET {MODEL}%2fready HTTP/1.0", (), 400),
        ("GET /v2/repository/index HTTP/1.0", (), 404),
    ],
)
def test_what_is_refused_in_http_11_is_refused_here(
    doors: Doors, line: str, lines: tuple[str, ...], status: int
) -> None:
    before = doors.count()
    with socket.create_connection(("127.0.0.1", doors.gateway.port), timeout=10) as connection:
        connection.sendall(head(line, *lines))
        assert int(connection.recv(65536).split()[1]) == status
    assert doors.count() == before


def test_a_body_without_a_length_is_refused_and_ends_its_connection(doors: Doors) -> None:
    """HTTP/1.0 has no chunks: another server may take what follows for the next request (RFC 9112, section 6.1).

    All at once: a refused connection stays for five seconds.
    """
    before = doors.count()
    chunks = b"2\r\n{}\r\n0\r\n\r\n" + head(f"GET {MODEL} HTTP/1.0")
    with ExitStack() as opened:
        waiting = []
        for path, key in product((INFER, PREDICT, CHAT), (BOTH, "isk_bad")):
            for lines, body in (((KEPT, "Transfer-Encoding: chunked"), chunks), ((KEPT,), b"")):
                client = socket.create_connection(("127.0.0.1", doors.gateway.port), timeout=60)
                connection = opened.enter_context(client)
                connection.sendall(head(f"POST {path} HTTP/1.0", JSON, *lines, key=key) + body)
                waiting.append((connection, b"HTTP/1.0 411 Length Required" if key == BOTH else b"HTTP/1.0 401 "))
        for connection, status in waiting:
            answer = b""
            while part := connection.recv(65536):
                answer += part
            assert answer.startswith(status)
            assert answer.count(b"server: ") == 1, answer
            assert b"connection: close" in answer
    assert doors.count() == before


def test_a_key_with_a_limit_of_requests_at_once_may_use_it(fresh_doors: Doors) -> None:
    keys = tuple(replace(key, max_concurrent=2) for key in fresh_doors.snapshot.keys)
    fresh_doors.gateway.publish(replace(fresh_doors.snapshot, keys=keys))
    sent = head(f"POST {INFER} HTTP/1.0", JSON, body="{}")
    until(lambda: b"200 ok" in until_it_ends(fresh_doors, sent)[0])
    top, body = until_it_ends(fresh_doors, head(f"POST {CHAT} HTTP/1.0", JSON, body=STREAM, key=KEY))
    assert (b"transfer-encoding" in top, body.endswith(b"data: [DONE]\n\n")) == (False, True)


def test_ab_measures_it(doors: Doors, tmp_path: Path) -> None:
    ab = shutil.which("ab")
    if ab is None:
        pytest.skip("no ab: apt install apache2-utils")
    body = tmp_path / "body.json"
    body.write_text("{}")
    for more in ((), ("-k",)):
        command = [
            ab,
            "-n",
            "40",
            "-c",
            "4",
            *more,
            "-p",
            str(body),
            "-T",
            "application/json",
            "-H",
            f"X-API-Key: {BOTH}",
            f"http://{doors.gateway.address}{INFER}",
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert "Failed requests:        0" in output
        assert "Non-2xx" not in output
    output = subprocess.run(
        [ab, "-n", "40", f"http://{doors.gateway.address}{READY}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert float(output.split("Time taken for tests:")[1].split()[0]) < TOO_LATE


NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://{target}; proxy_http_version 1.0; proxy_buffering off; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, target: str) -> Iterator[int]:
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip("no nginx: apt install nginx-light")
    [port] = free_ports(1)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, target=target))
    process = subprocess.Popen([path, "-c", str(config), "-e", "stderr"], env={**os.environ, "LC_ALL": "C"})
    try:
        until(lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close() is None)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def test_nginx_in_front_needs_no_setting(doors: Doors, tmp_path: Path) -> None:
    with nginx(tmp_path, doors.gateway.address) as port:
        for path, body, key in ((INFER, "{}", BOTH), (CHAT, HELLO, KEY), (CHAT, STREAM, KEY), (READY, None, BOTH)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            headers = {"X-API-Key": key, "Content-Type": "application/json"}
            connection.request("POST" if body else "GET", path, body, headers)
            began, answer = time.monotonic(), connection.getresponse()
            assert answer.status == 200
            reply_body = answer.read()
            assert reply_body.endswith(b"[DONE]\n\n") if body == STREAM else json.loads(reply_body)
            assert time.monotonic() - began < TOO_LATE
            connection.close()
