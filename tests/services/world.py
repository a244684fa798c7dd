"""An engine that only remembers, so that each arrow of the state machine can be tested without waiting for processes.

The real engine, the real Triton and the real Envoy are in tests/integration.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from datasets.jobs import rounds
from datasets.models import Round
from services.clients.probes.kserve_v2 import ProbeResult
from services.control import reconcile
from services.engines import base
from services.engines.base import Engine, LogChunk, Observation
from services.models import Replica, Service
from services.specs import ReplicaSpec


@dataclass
class RecordingEngine(Engine):
    running: dict[str, Observation] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    """For each launch: how often the engine may retry."""
    stopped: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    log: str = ""

    def apply(self, spec: ReplicaSpec) -> None:
        self.applied.append(spec.name)
        self.retries.append(spec.start_retries)
        self.running[spec.name] = Observation(base.RUNNING, pid=1000 + len(self.applied), uptime=10)

    def observe(self, name: str) -> Observation:
        return self.running.get(name, Observation(base.ABSENT))

    def restart(self, name: str, *, hangs: bool = False) -> None:
        self.running[name] = Observation(base.RUNNING, pid=self.running[name].pid + 1)

    def stop(self, name: str) -> None:
        self.stopped.append(name)
        self.running.pop(name, None)

    def names(self) -> list[str]:
        return list(self.running)

    def logged(self) -> list[str]:
        return sorted({*self.applied, *self.running} - set(self.erased))

    def erase(self, name: str) -> None:
        self.erased.append(name)

    def logs(self, name: str, offset: int | None = None, limit: int = 65536) -> LogChunk:
        return LogChunk(self.log, len(self.log))


@dataclass
class World:
    engine: RecordingEngine
    deaf: set[int] = field(default_factory=set)
    """HTTP ports of replicas that do not answer."""

    def probe(self, host: str, http_port: int, model: str, timeout: float = 2.0) -> ProbeResult:
        return (
            ProbeResult(False, "Nobody answers.", listening=False) if http_port in self.deaf else ProbeResult(True, "")
        )

    def settle(self, service: Service, steps: int = 20) -> Service:
        """Reconcile until a step changes nothing any more; the row as it is then."""
        for _ in range(steps):
            if not reconcile.reconcile(service.pk):
                break
        return Service.objects.filter(pk=service.pk).first() or service

    def preheat(self, service: Service) -> Service:
        """Until its files are on disk and verified; the next step looks at them."""
        self.settle(service)
        preheat_all()
        return service

    def converge(self, service: Service, rounds_: int = 5) -> Service:
        """As the sweep and the preheat worker would, over and over: until all that was asked for is so."""
        for _ in range(rounds_):
            before = self._facts()
            preheat_all()
            if not Service.objects.filter(pk=service.pk).exists():
                break
            service = self.settle(service)
            if self._facts() == before:
                break
        return service

    def _facts(self) -> tuple[object, ...]:
        """What a step moves: while it stays, the next one would find nothing to do either."""
        return (
            list(
                Service.objects.values_list("state", "message", "target", "serving", "queued_at", "passed", "held_at")
            ),
            list(Replica.objects.values_list("pk", "state", "message", "drain_until", "retry_at")),
            list(Round.objects.values_list("state", flat=True)),
            (len(self.engine.applied), list(self.engine.stopped)),
        )


def preheat_all() -> None:
    for job in Round.objects.active():
        rounds.run(job.pk)
