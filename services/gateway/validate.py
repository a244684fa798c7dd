"""Asks the real Envoy whether it would take a configuration, before it is published.

`envoy --mode validate` does not read the dynamic files, so they are put inline into a copy of the bootstrap:
clusters and routes are then checked as strictly as the rest.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from services.errors import GatewayError, GatewayRefused
from services.gateway.envoy import names
from services.gateway.envoy.auth import credentials
from services.gateway.envoy.bootstrap import descriptors
from services.gateway.envoy.names import Json
from services.gateway.render import Files


def validate(files: Files, bootstrap: bytes, envoy: Path, timeout: float = 60) -> None:
    """Raises GatewayRefused with Envoy's own reason, and GatewayError when it could not be asked.

    Touches nothing but a temporary directory.
    """
    with tempfile.TemporaryDirectory(prefix="gateway-validate-") as directory:
        config = Path(directory) / names.BOOTSTRAP
        (Path(directory) / names.DESCRIPTORS).write_bytes(descriptors())
        config.write_bytes(names.dump(inline(files, json.loads(bootstrap), Path(directory))))
        argv = [
            str(envoy),
            "--mode",
            "validate",
            "-c",
            str(config),
            "--disable-hot-restart",
            "--log-level",
            "error",
            "--concurrency",
            "1",
        ]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, cwd=directory)
        except subprocess.TimeoutExpired as error:
            raise GatewayError(f"Envoy did not finish checking the configuration within {timeout:g} s.") from error
        except OSError as error:
            raise GatewayError(f"Envoy could not be run to check the configuration: {error.strerror}.") from error
    if done.returncode != 0:
        raise GatewayRefused(f"Envoy refuses the configuration: {_reason(done.stderr)}")


def inline(files: Files, bootstrap: Json, directory: Path) -> Json:
    """The bootstrap with the dynamic files in it, and with nothing in it that points to the live gateway."""
    # Keys are published on their own: any will do.
    files = {**files, names.KEYS: credentials((), keyless=True)}
    discovered_files = (names.CLUSTERS, names.ROUTES, names.KEYS)
    resources = {name: json.loads(files[name].content)["resources"] for name in discovered_files}
    static = bootstrap["static_resources"]
    static["clusters"] = [*static.get("clusters", []), *map(_untyped, resources[names.CLUSTERS])]
    bootstrap.pop("dynamic_resources", None)
    bootstrap.pop("admin", None)
    outer = static["listeners"][0]
    # Once without TLS is enough: what is checked here is what changes, and the certificate is checked elsewhere.
    outer.pop("listener_filters", None)
    outer["filter_chains"] = [{"filters": outer["filter_chains"][0]["filters"]}]
    managers = [chain["filters"][0]["typed_config"] for each in static["listeners"] for chain in each["filter_chains"]]
    for inner in managers[1:]:
        if inner.pop("rds", None):  # they use the same routes, and once is enough to check them
            inner["route_config"] = {}
    manager = managers[0]
    manager.pop("rds")
    manager["route_config"] = _untyped(resources[names.ROUTES][0])
    discovered = {r["name"]: r["typed_config"] for r in resources[names.KEYS]}
    for http_filter in manager["http_filters"]:
        if http_filter.pop("config_discovery", None):
            http_filter["typed_config"] = discovered[http_filter["name"]]
        if http_filter["name"] == names.FIELDS:
            http_filter["typed_config"]["descriptor_set"]["filename"] = str(directory / names.DESCRIPTORS)
    for log in manager["access_log"]:
        log["typed_config"]["path"] = str(directory / Path(names.ACCESS_LOG).name)
    return bootstrap


def _untyped(resource: dict[str, Any]) -> Json:
    return {key: value for key, value in resource.items() if key != "@type"}


def _reason(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    if not lines:
        return "it gave no reason."
    # [time][thread][level][logger] [place] error initializing configuration '<path>': <reason>
    reason = re.sub(r"^\[.*?error initializing configuration '[^']*': ", "", lines[-1])
    # After some reasons comes the whole configuration, with the digests of keys in it.
    return reason.partition(': {"')[0][:1000]
