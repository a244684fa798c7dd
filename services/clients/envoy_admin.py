"""Reads Envoy's administration interface over its socket file.

Envoy is changed by publishing files; the one order given here is to open its logs again, for which there is no file.
What the numbers mean for services is in services/gateway/status.py.
"""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.clients.unix_http import UnixConnection
from services.errors import GatewayError, GatewaySilent

TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Host:
    """One address of one cluster. Requests and errors count since Envoy was told of it.

    `address` is as services/listeners.py spells it.
    `active` requests are under way; `answered` ones had an answer that was no 5xx.
    """

    cluster: str
    address: str
    healthy: bool
    requests: int
    errors: int
    active: int = 0
    answered: int = 0


class EnvoyAdmin:
    """Opens a connection per question. Raises GatewayError when Envoy cannot be asked, and GatewaySilent, which is one,
    when it says nothing for `timeout` seconds.
    """

    def __init__(self, socket_path: Path, timeout: float = TIMEOUT_SECONDS) -> None:
        self.socket_path = socket_path
        self.timeout = timeout

    def ready(self) -> bool:
        """Whether Envoy takes requests. False, not an error, when it is not running."""
        try:
            return self.started()
        except GatewayError:
            return False

    def started(self) -> bool:
        """The same of one that is running; raises when it does not say."""
        return self._get("/ready")[0] == 200

    def versions(self) -> dict[str, str]:
        """Name of the statistic -> `version_info` of the configuration that Envoy runs with."""
        return self._statistics("version_text$")

    def warming(self) -> int:
        """How many clusters wait for the first probe of their hosts. Until then routes to a new one lead nowhere."""
        return int(self._statistics("^cluster_manager.warming_clusters$").get("cluster_manager.warming_clusters", "0"))

    def failed_writes(self) -> int:
        """How often it could not write its logs since it started: what it had to write then is gone."""
        return int(self._statistics("^filesystem.write_failed$").get("filesystem.write_failed", "0"))

    def received(self, cluster: str) -> int:
        """Bytes that came from its hosts since Envoy started, those of answers to probes left out."""
        name = f"cluster.{cluster}.upstream_cx_rx_bytes_total"
        return int(self._statistics(f"^{re.escape(name)}$").get(name, "0"))

    def _statistics(self, pattern: str) -> dict[str, str]:
        stats = self._json(f"/stats?format=json&filter={quote(pattern)}")["stats"]
        return {stat["name"]: str(stat["value"]) for stat in stats if "name" in stat}

    def hosts(self) -> list[Host]:
        """Sorted by cluster and address."""
        clusters = self._json("/clusters?format=json").get("cluster_statuses", [])
        hosts = [_host(cluster["name"], each) for cluster in clusters for each in cluster.get("host_statuses", [])]
        return sorted(hosts, key=lambda host: (host.cluster, host.address))

    def reopen_logs(self) -> None:
        """Envoy holds its logs open: after a rename it goes on in the old file until it is told this."""
        status, _ = self._ask("POST", "/reopen_logs")
        if status != 200:
            raise GatewayError(f"Envoy's administration interface answered {status}.")

    def _json(self, path: str) -> Any:
        status, body = self._get(path)
        if status != 200:
            raise GatewayError(f"Envoy's administration interface answered {status}.")
        return json.loads(body)

    def _get(self, path: str) -> tuple[int, bytes]:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        connection = UnixConnection(self.socket_path, self.timeout)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        except TimeoutError as error:
            raise GatewaySilent(f"The gateway has not answered for {self.timeout:g} s.") from error
        except (OSError, http.client.HTTPException) as error:
            raise GatewayError("The gateway is not running.", hint="Its log says why it ended.") from error
        finally:
            connection.close()


def _host(cluster: str, host: dict[str, Any]) -> Host:
    stats = {stat["name"]: int(stat.get("value", 0)) for stat in host.get("stats", [])}
    status = host.get("health_status", {})
    failed = any(status.get(flag) for flag in ("failed_active_health_check", "failed_outlier_check"))
    return Host(
        cluster,
        _address(host["address"]),
        not failed,
        stats.get("rq_total", 0),
        stats.get("rq_error", 0),
        stats.get("rq_active", 0),
        stats.get("rq_success", 0),
    )


def _address(address: dict[str, Any]) -> str:
    """As `Address` spells it."""
    if pipe := address.get("pipe"):
        return str(pipe["path"])
    place = address.get("socket_address")
    return f"{place['address']}:{place['port_value']}" if place else ""
