"""An engine that only remembers, so that each arrow of the state machine can be tested without waiting for processes.

The real engine, the real Triton and the real Envoy are in tests/integration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from datasets.jobs import rounds
from datasets.models import Round
from services.clients.probes.kserve_v2 import ProbeResult
from services.control import reconcile
from services.engines import base
from services.engines.base import Containment, Engine, LogChunk, Observation, Site
from services.listeners import Address, Listeners
from services.models import Replica, Service
from services.specs import ReplicaSpec

BOXED = Containment(True, "Each replica is in a box of its own.")
ALL = "*"
ALL_BUT_THE_FIRST = "!svc-*-r1-0"


def process_at(address: Address) -> str:
    """The name of the process that listens there."""
    return Path(address.path).parent.name


@dataclass
class RecordingEngine(Engine):
    running: dict[str, Observation] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    """For each launch: how often the engine may retry."""
    stopped: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    log: str = ""
    contained: Containment = BOXED

    def containment(self) -> Containment:
        return self.contained

    def site(self, name: str, tree: Path) -> Site:
        return Site(tree, Path("/run") / name)

    def listeners(self, name: str) -> Listeners:
        return Listeners.in_folder(Path("/sockets") / name)

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
    deaf: set[str] = field(default_factory=set)
    """Patterns of names of processes that do not answer; of one with ! in front, all others."""

    def probe(self, address: Address, model: str, timeout: float = 2.0) -> ProbeResult:
        name = process_at(address)
        if any(fnmatch(name, pattern.lstrip("!")) != pattern.startswith("!") for pattern in self.deaf):
            return ProbeResult(False, "Nobody answers.", listening=False)
        return ProbeResult(True, "")

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
