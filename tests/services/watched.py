"""What the watchdog sees of replicas, as numbers that a test sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from services.clients.kernel.activity import Usage
from services.control.replicas import hung as hung_replicas
from services.errors import GatewayError
from services.gateway.status import ReplicaHealth
from services.models import Replica
from services.specs import Ports


@dataclass
class Numbers:
    """The same of every replica, but of those in `well`, which have nothing to do."""

    requests: int = 0
    answered: int = 0
    active: int = 0
    progress: float = 0.0
    sent: int = 0
    answers: bool = True
    probed_ports: list[int] = field(default_factory=list)
    down: bool = False
    """The gateway is."""
    cores: float = 0.0
    """How busy its process is."""
    clock: float = 0.0
    well: set[int] = field(default_factory=set)
    """HTTP ports."""

    def health(self) -> list[ReplicaHealth]:
        if self.down:
            raise GatewayError("The gateway is not running.")
        return [
            ReplicaHealth("echo", "http", f"127.0.0.1:{port}", True, 0, 0, 0, 0)
            if port in self.well
            else ReplicaHealth("echo", "http", f"127.0.0.1:{port}", True, self.requests, 0, self.active, self.answered)
            for port in Replica.objects.values_list("http_port", flat=True)
        ]

    def usage(self, pid: int) -> Usage:
        """As of the last look."""
        return Usage(self.clock, {(pid, pid): self.cores * self.clock})

    def answer(self, host: str, ports: Ports, service: str, timeout: float) -> bool:
        self.probed_ports.append(ports.http)
        return self.answers or ports.http in self.well


def hung_at(numbers: Numbers, *moments: float, change: Callable[[int], None] = lambda step: None) -> list[float]:
    """At which of these moments a replica was found hung."""
    hung_moments = []
    for step, moment in enumerate(moments):
        change(step)
        numbers.clock = moment
        if hung_replicas.end_hung(moment):
            hung_moments.append(moment)
    return hung_moments
