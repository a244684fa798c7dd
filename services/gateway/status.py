"""What the running gateway has loaded, and which replicas it sees. For the dashboard; decides nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path

from services.clients.envoy_admin import EnvoyAdmin
from services.errors import GatewayError, GatewaySilent
from services.gateway.envoy import names
from services.gateway.envoy.document import version
from services.gateway.envoy.routes.route import ROUTE_NAME

_STATISTICS = {
    names.CLUSTERS: "cluster_manager.cds.version_text",
    names.ROUTES: f"http.gateway.rds.{ROUTE_NAME}.version_text",
    names.KEYS: f"extension_config_discovery.http_filter.{names.API_KEY}.version_text",
}

SOON_SECONDS = 0.25
KEYS_SECONDS = 1.0
"""Somebody waits for a page."""
_END_BYTES = 64


@dataclass(frozen=True)
class Loaded:
    """Per dynamic file the version that Envoy runs with, and the version that is published."""

    running: dict[str, str]
    published: dict[str, str]

    @property
    def current(self) -> bool:
        return self.running == self.published


@dataclass(frozen=True)
class ReplicaHealth:
    """One replica as the gateway sees it over one protocol ("http" or "grpc"). `address` is host:port or a path."""

    service: str
    protocol: str
    address: str
    healthy: bool
    requests: int
    errors: int
    active: int = 0
    """Requests under way."""
    answered: int = 0
    """Requests whose answer began, and was no 5xx. This and `requests` count since Envoy learned of the address."""


def ready(gateway_dir: Path) -> bool:
    """Whether Envoy takes requests. False when it is not running."""
    return _admin(gateway_dir).ready()


def unanswered(gateway_dir: Path, host: str, port: int, timeout: float) -> str:
    """What a caller would meet now, when that is no answer; "" when the gateway takes requests."""
    try:
        socket.create_connection((host, port), timeout).close()
    except ConnectionRefusedError:
        return "The gateway does not answer: every request is refused, connection refused"
    except OSError as error:
        return f"The gateway does not answer: no request is served, {error.strerror or error}"
    try:
        started = EnvoyAdmin(gateway_dir / names.ADMIN_SOCKET, timeout).started()
    except GatewaySilent:
        return "The gateway hangs: it takes connections and does not answer"
    except GatewayError:
        return "The gateway cannot be asked: something listens in its place, or its administration socket is gone"
    return "" if started else "The gateway is starting, or ending: it takes no requests at the moment"


def loaded(gateway_dir: Path) -> Loaded:
    """Raises GatewayError when the gateway is not running."""
    return _loaded(gateway_dir, _admin(gateway_dir))


def running_keys(gateway_dir: Path) -> str:
    """The version of keys that Envoy runs with. Raises GatewayError when it does not say soon."""
    admin = EnvoyAdmin(gateway_dir / names.ADMIN_SOCKET, KEYS_SECONDS)
    return admin.versions().get(_STATISTICS[names.KEYS], "")


def _loaded(gateway_dir: Path, admin: EnvoyAdmin) -> Loaded:
    versions = admin.versions()
    running = {file: versions.get(statistic, "") for file, statistic in _STATISTICS.items()}
    return Loaded(running, {file: _published(gateway_dir / file) for file in _STATISTICS})


def follows(gateway_dir: Path, files: Iterable[str]) -> bool:
    """Whether no Envoy runs with anything older than what is published of `files`.

    True when none runs: the next one starts with that. False when it does not answer soon: nobody knows, and whoever
    asks has a change to publish.
    """
    try:
        now = _loaded(gateway_dir, EnvoyAdmin(gateway_dir / names.ADMIN_SOCKET, SOON_SECONDS))
    except GatewaySilent:
        return False
    except GatewayError:
        return True
    return all(now.running[file] == now.published[file] for file in files)


def is_warm(gateway_dir: Path, clusters: str) -> bool:
    """Whether routes may lead to every cluster of that version: Envoy has it, and has probed its replicas once.

    True when no Envoy runs: one that starts listens only then. False when it does not answer soon.
    """
    admin = EnvoyAdmin(gateway_dir / names.ADMIN_SOCKET, SOON_SECONDS)
    try:
        return admin.versions().get(_STATISTICS[names.CLUSTERS]) == clusters and admin.warming() == 0
    except GatewaySilent:
        return False
    except GatewayError:
        return True


def failed_writes(gateway_dir: Path) -> int:
    """Failed writes of the access log since the gateway started; 0 when it is not running."""
    try:
        return _admin(gateway_dir).failed_writes()
    except GatewayError:
        return 0


def replicas(gateway_dir: Path) -> list[ReplicaHealth]:
    """Health of each replica of every routed service. Raises GatewayError when the gateway is not running."""
    rows = []
    for host in _admin(gateway_dir).hosts():
        service, _, protocol = host.cluster.rpartition("-")
        # Also no more than a service's clusters end in -http or -grpc, and have addresses: see envoy/names.py.
        if protocol in {"http", "grpc"} and host.address:
            counts = (host.requests, host.errors, host.active, host.answered)
            rows.append(ReplicaHealth(service, protocol, host.address, host.healthy, *counts))
    return rows


def received(gateway_dir: Path, service: str) -> int:
    """Bytes that came from the replicas of a service over gRPC. Raises GatewayError when the gateway does not say."""
    return _admin(gateway_dir).received(names.grpc_cluster(service))


def _admin(gateway_dir: Path) -> EnvoyAdmin:
    return EnvoyAdmin(gateway_dir / names.ADMIN_SOCKET)


def _published(path: Path) -> str:
    """Read at the end, where it is: there may be megabytes in front."""
    try:
        with path.open("rb") as file:
            file.seek(-min(_END_BYTES, file.seek(0, SEEK_END)), SEEK_END)
            return version(file.read())
    except OSError:
        return ""
