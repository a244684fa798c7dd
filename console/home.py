"""Where everything that the product writes lives: one directory, CONSOLE_HOME (default `var/` in the checkout).

Paths only: nothing here creates a file. No Django, so the stack, the engines and the tests share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from console import env

CHECKOUT = Path(__file__).resolve().parent.parent


class _Below:
    """A path in the home."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, home: Home, owner: type[Home]) -> Path:
        return home.root / self._path


@dataclass(frozen=True)
class Home:
    root: Path
    runtimes: Path
    """Runtime environments (`triton/`, `vllm/`); shared between homes when CONSOLE_RUNTIMES says so."""

    database = _Below("console.sqlite3")
    credentials = _Below("credentials.json")
    secret_key = _Below("secret_key")
    # Encrypts the credentials of datasets, unless CONSOLE_SECRETS_KEY does.
    secrets_key = _Below("secrets_key")
    # Sockets, pid files, supervisord.conf and the working directory of each child.
    run = _Below("run")
    supervisor_socket = _Below("run/supervisor.sock")
    supervisor_conf = _Below("run/supervisord.conf")
    # One supervisord program file per replica, written by the local engine.
    programs = _Below("run/programs")
    # Working directory of each replica.
    replicas = _Below("run/replicas")
    # The sockets of replicas, under short names: Linux allows 107 bytes for the whole path of one.
    sockets = _Below("run/s")
    # Where NFS exports are mounted, on machines where the console may mount any.
    mounts = _Below("run/nfs")
    redis_socket = _Below("run/redis.sock")
    # Empty; its time is when the last sweep ended.
    swept = _Below("run/swept")
    logs = _Below("logs")
    # Preheated model files of this node.
    store = _Below("store")
    # Archives of datasets, unpacked to be read; beside the store, so that there is as much room.
    spool = _Below("spool")
    # The files Envoy reads.
    gateway = _Below("gateway")
    # The bridge's two sockets: what may open a file here is the gateway.
    bridge = _Below("bridge")
    bridge_http = _Below("bridge/http.sock")
    bridge_grpc = _Below("bridge/grpc.sock")
    # Which services there are; the publisher writes it, the bridge reads it.
    bridge_table = _Below("gateway/bridge.json")
    # Where the gateway takes the bridge's requests to the backends.
    gateway_egress = _Below("gateway/egress.sock")
    # The generated sample dataset.
    samples = _Below("samples")


def from_environment() -> Home:
    root = Path(env.text("CONSOLE_HOME") or CHECKOUT / "var").expanduser().resolve()
    runtimes = env.text("CONSOLE_RUNTIMES")
    return Home(root=root, runtimes=Path(runtimes).expanduser().resolve() if runtimes else root / "runtimes")
