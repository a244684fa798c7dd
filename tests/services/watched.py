"""What the watchdog sees of replicas, as numbers that a test sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from services import wiring
from services.clients.kernel.activity import Usage
from services.control.replicas import hung as hung_replicas
from services.errors import GatewayError
from services.gateway.status import ReplicaHealth
from services.listeners import Listeners
from services.models import Replica
from tests.services.world import process_at


@dataclass
class Numbers:
    """The same of every replica, but of those in `well`, which have nothing to do."""

    requests: int = 0
    answered: int = 0
    active: int = 0
    progress: float = 0.0
    sent: int = 0
    answers: bool = True
    probed: list[str] = field(default_factory=list)
    """Names of processes that were sent a test request."""
    down: bool = False
    """The gateway is."""
    cores: float = 0.0
    """How busy its process is."""
    clock: float = 0.0
    well: set[str] = field(default_factory=set)
    """Names of processes."""

    def health(self) -> list[ReplicaHealth]:
        if self.down:
            raise GatewayError("The gateway is not running.")
        names = [replica.process_name for replica in Replica.objects.select_related("service", "revision")]
        return [self._health(name) for name in names]

    def _health(self, name: str) -> ReplicaHealth:
        counts = (0, 0, 0, 0) if name in self.well else (self.requests, 0, self.active, self.answered)
        return ReplicaHealth("echo", "http", str(wiring.engine().listeners(name).http), True, *counts)

    def usage(self, pid: int) -> Usage:
        """As of the last look."""
        return Usage(self.clock, {(pid, pid): self.cores * self.clock})

    def answer(self, listeners: Listeners, service: str, timeout: float) -> bool:
        name = process_at(listeners.http)
        self.probed.append(name)
        return self.answers or name in self.well


def hung_at(numbers: Numbers, *moments: float, change: Callable[[int], None] = lambda step: None) -> list[float]:
    """At which of these moments a replica was found hung."""
    hung_moments = []
    for step, moment in enumerate(moments):
        change(step)
        numbers.clock = moment
        if hung_replicas.end_hung(moment):
            hung_moments.append(moment)
    return hung_moments
