"""Where everything that the product writes lives: one directory, CONSOLE_HOME (default `var/` in the checkout).

Paths only: nothing here creates a file. No Django, so the stack, the engines and the tests share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from console import env

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Home:
    root: Path
    runtimes: Path
    """Runtime environments (`triton/`, `vllm/`); shared between homes when CONSOLE_RUNTIMES says so."""

    @property
    def database(self) -> Path:
        return self.root / "console.sqlite3"

    @property
    def credentials(self) -> Path:
        return self.root / "credentials.json"

    @property
    def secret_key(self) -> Path:
        return self.root / "secret_key"

    @property
    def secrets_key(self) -> Path:
        """Encrypts the credentials of datasets, unless CONSOLE_SECRETS_KEY does."""
        return self.root / "secrets_key"

    @property
    def run(self) -> Path:
        """Sockets, pid files, supervisord.conf and the working directory of each child."""
        return self.root / "run"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def supervisor_conf(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def programs(self) -> Path:
        """One supervisord program file per replica, written by the local engine."""
        return self.run / "programs"

    @property
    def replicas(self) -> Path:
        """Working directory of each replica."""
        return self.run / "replicas"

    @property
    def mounts(self) -> Path:
        """Where NFS exports are mounted, on machines where the console may mount any."""
        return self.run / "nfs"

    @property
    def redis_socket(self) -> Path:
        return self.run / "redis.sock"

    @property
    def swept(self) -> Path:
        """Empty; its time is when the last sweep ended."""
        return self.run / "swept"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def store(self) -> Path:
        """Preheated model files of this node."""
        return self.root / "store"

    @property
    def spool(self) -> Path:
        """Archives of datasets, unpacked to be read; beside the store, so that there is as much room."""
        return self.root / "spool"

    @property
    def gateway(self) -> Path:
        """The files Envoy reads."""
        return self.root / "gateway"

    @property
    def bridge(self) -> Path:
        """The bridge's two sockets: what may open a file here is the gateway."""
        return self.root / "bridge"

    @property
    def bridge_http(self) -> Path:
        return self.bridge / "http.sock"

    @property
    def bridge_grpc(self) -> Path:
        return self.bridge / "grpc.sock"

    @property
    def bridge_table(self) -> Path:
        """Which services there are; the publisher writes it, the bridge reads it."""
        return self.gateway / "bridge.json"

    @property
    def gateway_egress(self) -> Path:
        """Where the gateway takes the bridge's requests to the backends."""
        return self.gateway / "egress.sock"

    @property
    def samples(self) -> Path:
        """The generated sample dataset."""
        return self.root / "samples"


def from_environment() -> Home:
    root = Path(env.text("CONSOLE_HOME") or CHECKOUT / "var").expanduser().resolve()
    runtimes = env.text("CONSOLE_RUNTIMES")
    return Home(root=root, runtimes=Path(runtimes).expanduser().resolve() if runtimes else root / "runtimes")
