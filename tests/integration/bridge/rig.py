"""The real bridge process in a folder of its own, behind no gateway: the tests say what the gateway would have added.

The egress socket is a real Envoy that looks at `x-service` and at nothing else.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from console.files import replace
from console.home import CHECKOUT
from services.clients.unix_http import UnixConnection
from services.gateway.binary import find_envoy
from services.gateway.envoy.names import Json, typed
from tests.integration.engine_home import wait_for

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclass
class Bridge:
    root: Path
    services: dict[str, Json] = field(default_factory=dict)
    """The table's entries by name."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def http(self) -> Path:
        return self.root / "bridge" / "http.sock"

    @property
    def grpc(self) -> Path:
        return self.root / "bridge" / "grpc.sock"

    @property
    def log(self) -> str:
        return (self.root / "bridge.log").read_text()

    def publish(self) -> None:
        table = {"version": str(len(self.log)) if self.process else "0", "services": self.services}
        replace(self.root / "bridge.json", json.dumps(table).encode())

    def start(self) -> None:
        paths = {"--folder": "bridge", "--table": "bridge.json", "--egress": "egress.sock"}
        options = [word for option, name in paths.items() for word in (option, self.root / name)]
        command = [sys.executable, "-m", "services.bridge", *options]
        with (self.root / "bridge.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_well, bool)

    def is_well(self) -> bool:
        assert self.process is None or self.process.poll() is None, self.log
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False

    def end(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def get(self, path: str, service: str = "", caller: str = "") -> Answer:
        return self.call("GET", path, None, service, caller)

    def post(self, path: str, body: Any, service: str) -> Answer:
        return self.call("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), service)

    def call(self, method: str, path: str, body: bytes | None, service: str = "", caller: str = "") -> Answer:
        connection = UnixConnection(self.http, 60)
        try:
            headers = {"x-console-service": service, "x-console-caller": caller, "x-request-id": "a-request"}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"unix:{self.grpc}", options=[("grpc.use_local_subchannel_pool", 1)])


def entry(framework: str, **more: Any) -> Json:
    """One service of the table, as services/gateway/bridge_table.py writes it."""
    return {
        "uid": "17",
        "team": "vision",
        "public": False,
        "ready": True,
        "revision": 1,
        "framework": framework,
        "task": "",
        "adapters": [],
        "max_model_len": None,
        "created": 1_700_000_000,
        **more,
    }


@contextmanager
def running(services: dict[str, Json], backends: Mapping[str, int]) -> Iterator[Bridge]:
    """`backends`: the HTTP port of each service. Envoy and the bridge end with the block."""
    root = Path(tempfile.mkdtemp(prefix="br-", dir="/tmp"))  # short: a socket's path has 107 bytes at most
    bridge = Bridge(root, services)
    (root / "envoy.json").write_text(json.dumps(_envoy(root / "egress.sock", backends)))
    command = [
        find_envoy(),
        "-c",
        root / "envoy.json",
        *["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"],
    ]
    with (root / "envoy.log").open("wb") as log:
        envoy = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for((root / "egress.sock").exists, bool)
        bridge.publish()
        bridge.start()
        yield bridge
    finally:
        if bridge.process is not None:
            bridge.end(signal.SIGKILL)
        envoy.kill()
        envoy.wait(10)
        shutil.rmtree(root)


def _envoy(socket: Path, backends: Mapping[str, int]) -> Json:
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": "x-service", "string_match": {"exact": name}}]},
            "route": {"cluster": name, "timeout": "0s"},
        }
        for name in backends
    ]
    manager = typed(
        HCM,
        stat_prefix="egress",
        codec_type="AUTO",
        route_config={"name": "all", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[{"name": "router", "typed_config": typed(ROUTER)}],
    )
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "egress",
                    "address": {"pipe": {"path": str(socket)}},
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {"name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": _only(name, port)}
                for name, port in backends.items()
            ],
        }
    }


def _only(name: str, port: int) -> Json:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
