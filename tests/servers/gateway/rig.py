"""A real Envoy with real backends behind it, for the tests: started on free ports, ended by pid."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from services.gateway import credentials
from services.gateway.binary import argv, find_envoy
from services.gateway.envoy import names
from services.gateway.envoy.tls import Tls
from services.gateway.publish import deliver, prepare
from services.gateway.snapshot import Endpoint, Snapshot
from tests.ports import free_ports

T = TypeVar("T")
CHECKOUT = Path(__file__).resolve().parents[3]


def until(look: Callable[[], T], seconds: float = 60, every: float = 0.02) -> T:
    """What `look` says once that is true; the last thing it said fails the test otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        result: Any
        try:
            result = look()
        except (OSError, http.client.HTTPException) as error:
            result = error
        else:
            if result:
                return result  # type: ignore[no-any-return]
        assert time.monotonic() < deadline, f"still {result!r} after {seconds} s"
        time.sleep(every)


@dataclass
class Backend:
    name: str
    endpoint: Endpoint
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, endpoint: Endpoint | None = None) -> Backend:
        if endpoint is None:
            endpoint = Endpoint("127.0.0.1", *free_ports(2))
        ports = [str(endpoint.http_port), str(endpoint.grpc_port)]
        command = [sys.executable, "-m", "tests.servers.gateway.backend", name, *ports]
        backend = cls(name, endpoint, subprocess.Popen(command, cwd=CHECKOUT))
        try:
            until(lambda: backend.seen() is not None)
        except BaseException:
            backend.kill()
            raise
        return backend

    def seen(self, since: int = 0) -> list[dict[str, Any]]:
        """Every call that reached it, but for the first `since`."""
        calls: list[dict[str, Any]] = self._get(f"/__seen?{since}")
        return calls

    def count(self) -> int:
        """How many calls those are: cheap, however many."""
        return int(self._get("/__count"))

    def feel(self, state: str) -> None:
        """`ill`: its health probe fails from now on, though it answers; `well` ends that."""
        self._get(f"/__{state}")

    def _get(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.endpoint.http_port, timeout=2)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass
class Bridge:
    """The stand-in of bridge.py, in the folder where a gateway expects the bridge."""

    directory: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, directory: Path) -> Bridge:
        directory.mkdir(mode=0o700)
        command = [sys.executable, "-m", "tests.servers.gateway.bridge", str(directory)]
        bridge = cls(directory, subprocess.Popen(command, cwd=CHECKOUT))
        try:
            until(lambda: bridge.seen() is not None)
        except BaseException:
            bridge.kill()
            raise
        return bridge

    def seen(self) -> list[dict[str, Any]]:
        connection = http.client.HTTPConnection("bridge", timeout=2)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.directory / "http.sock"))
            connection.request("GET", "/__seen")
            calls: list[dict[str, Any]] = json.loads(connection.getresponse().read())
            return calls
        finally:
            connection.close()

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass
class Gateway:
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    """None until `run`."""

    @classmethod
    def prepared(
        cls,
        directory: Path,
        snapshot: Snapshot,
        tls: Tls | None = None,
        host: str = "127.0.0.1",
        proxies: Sequence[str] = (),
    ) -> Gateway:
        """Not running yet, so that a failing start can be cleaned up after."""
        gateway = cls(directory, free_ports(1)[0])
        prepare(directory, host=host, port=gateway.port, limits=snapshot.limits, tls=tls, proxies=proxies)
        gateway.publish(snapshot)
        return gateway

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self) -> None:
        self.spawn()
        until(lambda: self.call("GET", "/v2/health/ready").status == 200)

    def spawn(self) -> None:
        command = argv(self.directory, find_envoy(), concurrency=1)
        with (self.directory / "envoy.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory)

    def publish(self, snapshot: Snapshot) -> bool:
        """Keys as well: those with a limit of requests at once come after their limit."""
        delivered = deliver(lambda: snapshot, self.directory, find_envoy())
        assert delivered.refused == {}, delivered.refused
        return credentials.deliver(snapshot.for_keys, self.directory) or delivered.changed

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One call on a connection of its own. Header names: `_` stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=named)
            response = connection.getresponse()
            return Answer(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})
        finally:
            connection.close()

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / names.ACCESS_LOG).read_text().splitlines()]

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def error(self) -> str:
        """The sentence, in either shape."""
        error: Any = json.loads(self.body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
