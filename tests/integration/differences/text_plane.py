"""The real gateway and bridge in front of the real vLLM, which logs what it reads: what each made of one request."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from services.gateway.envoy import names
from services.gateway.snapshot import Endpoint, Snapshot
from tests.integration.differences.both import Answer, Headers
from tests.integration.fuzz.arena import KEY, start_bridge
from tests.servers.gateway.rig import Gateway, until
from tests.servers.vllm import ADAPTER, SHARED, Reading, RunningVllm
from tests.services.gateway import snapshots

CHAT = "/v1/chat/completions"
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """`readings`: vLLM's, of what came through. `line`: of the access log."""

    answer: Answer
    streamed: bool
    readings: list[Reading]
    line: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether it went on to vLLM."""
        return bool(self.line["upstream"]) and self.line["upstream"] != "-"


@dataclass
class TextPlane:
    """`other` is a service whose replica knows no model of that name: whatever is led there wrongly is 404 there."""

    gateway: Gateway
    bridge: subprocess.Popen[bytes]
    bridge_log: Path
    server: RunningVllm
    _logged: int = 0

    def through(self, body: bytes, headers: Headers, path: str = CHAT) -> Outcome:
        (answer, given), readings = self.watched(
            lambda: post(self.gateway.port, path, [("X-API-Key", KEY), *headers], body)
        )
        streamed = given["content-type"].startswith("text/event-stream")
        return Outcome(answer, streamed, readings, self.line(given["x-request-id"]))

    def direct(self, body: bytes, headers: Headers, path: str = CHAT) -> tuple[Answer, list[Reading]]:
        (answer, _), readings = self.watched(lambda: post(self.server.listeners.http.port, path, headers, body))
        return answer, readings

    def watched(self, call: Callable[[], T]) -> tuple[T, list[Reading]]:
        before = self.server.log_path.stat().st_size
        return call(), self.server.requests_since(before)

    def line(self, request_id: str) -> dict[str, Any]:
        """A request's line of the access log, once it is written."""

        def find() -> dict[str, Any] | None:
            with (self.gateway.directory / names.ACCESS_LOG).open("rb") as log:
                log.seek(self._logged)
                *lines, _ = log.read().split(b"\n")
            for line in lines:
                self._logged += len(line) + 1
                entry: dict[str, Any] = json.loads(line)
                if entry["request_id"] == request_id:
                    return entry
            return None

        line = until(find)
        assert line is not None
        return line

    def is_well(self) -> bool:
        """Whether all three live, and the bridge has logged no failure of its own."""
        assert self.gateway.process is not None
        processes = (self.gateway.process, self.bridge, self.server.process)
        return {each.poll() for each in processes} == {None} and "Traceback" not in self.bridge_log.read_text()


class OpenTextPlane(ExitStack):
    """Ends what was started, in reverse, however far the start came."""

    def __init__(self, directory: Path, server: RunningVllm) -> None:
        super().__init__()
        self.directory, self.server = directory, server

    def enter_all(self) -> TextPlane:
        endpoint = Endpoint(self.server.listeners.http, self.server.listeners.grpc)
        services = (
            snapshots.text(SHARED, endpoint, adapters=(ADAPTER,), max_model_len=256),
            snapshots.text("other", endpoint, max_model_len=256),
        )
        snapshot = Snapshot(services=services, keys=(snapshots.key(KEY, "*"),))
        gateway = Gateway.prepared(self.directory / "g", snapshot)
        self.callback(gateway.kill)
        bridge = start_bridge(self, self.directory)
        gateway.run()
        plane = TextPlane(gateway, bridge, self.directory / "bridge.log", self.server)
        until(lambda: gateway.call("GET", "/v1/models", X_API_Key=KEY).status == 200)
        until(lambda: gateway.call("GET", f"/v2/models/{SHARED}/ready", X_API_Key=KEY).status == 200)
        return plane


def post(port: int, path: str, headers: Headers, body: bytes) -> tuple[Answer, dict[str, str]]:
    """The whole answer and its headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest("POST", path, skip_accept_encoding=True)
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(body)
        response = connection.getresponse()
        given = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.read()), given
    finally:
        connection.close()
