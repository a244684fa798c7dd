"""Where servers listen: unix sockets, and ports of hosts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Address:
    """The unix socket at `path` or, where that is empty, a TCP port of a host."""

    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def at(cls, path: Path | str) -> Address:
        return cls(path=str(path))

    def __str__(self) -> str:
        """As Envoy spells it."""
        return self.path or f"{self.host}:{self.port}"

    @property
    def target(self) -> str:
        """As gRPC spells it."""
        return f"unix:{self.path}" if self.path else str(self)


@dataclass(frozen=True)
class Listeners:
    """Where one replica listens. vLLM has all that it has at `http`."""

    http: Address
    grpc: Address
    metrics: Address

    @classmethod
    def in_folder(cls, folder: Path | str = "") -> Listeners:
        """Three unix sockets in a folder; without one, in the working directory of the server."""
        return cls(*(Address.at(Path(folder) / name) for name in ("http.sock", "grpc.sock", "metrics.sock")))

    @classmethod
    def on_ports(cls, http: int, grpc: int, metrics: int, host: str = "127.0.0.1") -> Listeners:
        return cls(*(Address(host=host, port=port) for port in (http, grpc, metrics)))


WORKING_DIRECTORY = Listeners.in_folder()
