"""A real Envoy with real backends behind it, for the tests: started on free ports, ended by pid."""

from __future__ import annotations

import atexit
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from services.clients.unix_http import UnixConnection
from services.gateway import credentials
from services.gateway.binary import argv, find_envoy
from services.gateway.envoy import names
from services.gateway.envoy.tls import Tls
from services.gateway.publish import deliver, prepare, publish
from services.gateway.render import render
from services.gateway.snapshot import Endpoint, Snapshot
from services.listeners import Address
from tests.environment import HOME
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


_idle: dict[tuple[type[Null], str], list[Any]] = {}
"""Those that wait for the next test, by their kinds and names."""


def endpoint_on(http: int, grpc: int, index: int = 0) -> Endpoint:
    """At these ports."""
    return Endpoint(Address(host="127.0.0.1", port=http), Address(host="127.0.0.1", port=grpc), index)


def _start(module: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", f"tests.servers.gateway.{module}", *words], cwd=CHECKOUT)


@dataclass
class Null:
    """A process that answers anything, and tells what it was sent."""

    process: subprocess.Popen[bytes]

    def seen(self, since: int = 0) -> list[dict[str, Any]]:
        """Every call that reached it, but for the first `since`; of -1 the last one."""
        calls: list[dict[str, Any]] = self._get(f"/__seen?{since}")
        return calls

    def count(self) -> int:
        """How many calls those are: cheap, however many."""
        return int(self._get("/__count"))

    def last(self) -> dict[str, Any]:
        return self.seen(-1)[-1]

    def _connect(self) -> http.client.HTTPConnection:
        raise NotImplementedError

    def _get(self, path: str) -> Any:
        connection = self._connect()
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    @classmethod
    def start_anywhere(cls, name: str) -> Self:
        raise NotImplementedError

    @classmethod
    @contextmanager
    def borrow(cls, name: str = "") -> Iterator[Self]:
        """One that may have served other tests, and has forgotten them."""
        idle = _idle.setdefault((cls, name), [])
        borrowed: Self = idle.pop() if idle else cls.start_anywhere(name)
        borrowed.forget()
        yield borrowed
        if borrowed.process.poll() is None:
            idle.append(borrowed)

    def forget(self) -> None:
        self._get("/__forget")

    def answer_or_kill(self) -> None:
        try:
            until(lambda: self.seen() is not None)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass
class Backend(Null):
    name: str
    endpoint: Endpoint

    @classmethod
    def start(cls, name: str, endpoint: Endpoint | None = None) -> Backend:
        endpoint = endpoint or endpoint_on(*free_ports(2))
        backend = cls(_start("backend", name, str(endpoint.http.port), str(endpoint.grpc.port)), name, endpoint)
        backend.answer_or_kill()
        return backend

    @classmethod
    def start_anywhere(cls, name: str) -> Backend:
        return cls.start(name)

    def feel(self, state: str) -> None:
        """`ill`: its health probe fails from now on, though it answers; `well` ends that."""
        self._get(f"/__{state}")

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.endpoint.http.port, timeout=2)


@atexit.register
def _end_idle() -> None:
    for borrowed in itertools.chain(*_idle.values()):
        borrowed.kill()


@dataclass
class Bridge(Null):
    """The stand-in of bridge.py, in the folder where a gateway expects the bridge."""

    directory: Path

    @classmethod
    def start(cls, directory: Path) -> Bridge:
        directory.mkdir(mode=0o700)
        bridge = cls(_start("bridge", str(directory)), directory)
        bridge.answer_or_kill()
        return bridge

    @classmethod
    def start_anywhere(cls, name: str) -> Bridge:
        return cls.start(Path(tempfile.mkdtemp(dir=HOME)) / "bridge")

    def _connect(self) -> http.client.HTTPConnection:
        return UnixConnection(self.directory / "http.sock", 2)


@dataclass
class Gateway:
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    """None until `run`."""
    bootstrap: str = ""
    """As it was prepared, once `restart` has changed it."""

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
        publish(render(snapshot), directory)  # unchecked: the Envoy that reads it will see
        credentials.deliver(snapshot.for_keys, directory)
        return gateway

    @classmethod
    @contextmanager
    def started(cls, directory: Path, snapshot: Snapshot, **more: Any) -> Iterator[Gateway]:
        """As `prepared`, running until the end of the block."""
        gateway = cls.prepared(directory, snapshot, **more)
        try:
            gateway.run()
            yield gateway
        finally:
            gateway.kill()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self) -> None:
        self.spawn()
        until(lambda: self.call("GET", "/v2/health/ready").status == 200)

    def restart(self, change: Callable[[dict[str, Any]], None]) -> None:
        """With its HTTP connection manager, as it was prepared, changed."""
        self.kill()
        path = self.directory / names.BOOTSTRAP
        self.bootstrap = self.bootstrap or path.read_text()
        bootstrap = json.loads(self.bootstrap)
        change(bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"])
        path.write_text(json.dumps(bootstrap))
        (self.directory / "envoy.log").unlink()
        self.run()

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
