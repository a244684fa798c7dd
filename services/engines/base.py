"""The contract of an engine: where replicas run. No Django, and constructors do no I/O.

An engine SHALL make `apply` and `stop` idempotent, SHALL answer ABSENT (not raise) for a name it does not know, SHALL
keep logs after the process is gone, and SHALL raise only EngineError. Whether to try again is the caller's decision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.listeners import Listeners
from services.specs import ReplicaSpec

ABSENT: Final = "ABSENT"
STARTING: Final = "STARTING"
RUNNING: Final = "RUNNING"
BACKOFF: Final = "BACKOFF"
FAILED: Final = "FAILED"
STOPPED: Final = "STOPPED"


@dataclass(frozen=True)
class Observation:
    """What a replica's process is doing. RUNNING says the process is up, not that the model answers."""

    state: str
    pid: int = 0
    uptime: float = 0.0
    """Seconds."""
    message: str = ""


@dataclass(frozen=True)
class LogChunk:
    """A piece of a replica's log. Ask again with `offset=next_offset` for what came after it."""

    text: str
    next_offset: int


@dataclass(frozen=True)
class Site:
    """Where a replica finds its files, as it sees them itself."""

    models: Path
    run_dir: Path


@dataclass(frozen=True)
class Containment:
    """What a replica of this engine is kept in."""

    boxed: bool
    sentence: str
    """For people: what holds a replica, or why nothing does and what to do."""


class Engine(ABC):
    @abstractmethod
    def containment(self) -> Containment:
        """What keeps a replica that starts now from everything else here."""

    @abstractmethod
    def site(self, name: str, tree: Path) -> Site:
        """Where the replica will find the model files of `tree`, and its own. Looks at nothing."""

    @abstractmethod
    def listeners(self, name: str) -> Listeners:
        """Where the console and the gateway reach the replica. Looks at nothing."""

    @abstractmethod
    def apply(self, spec: ReplicaSpec) -> None:
        """Make the replica run as `spec` says: write its files, start it if it is not running."""

    @abstractmethod
    def observe(self, name: str) -> Observation:
        """What the replica is doing now."""

    @abstractmethod
    def restart(self, name: str, *, hangs: bool = False) -> None:
        """Stop and start the process with the same spec. One that `hangs` is killed, with its group."""

    @abstractmethod
    def stop(self, name: str) -> None:
        """Stop the process, wait for its end, forget it. Its log stays."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of all replicas this engine knows, so that strays can be found."""

    @abstractmethod
    def logged(self) -> list[str]:
        """Names of all replicas whose logs are kept, running or not."""

    @abstractmethod
    def erase(self, name: str) -> None:
        """Remove the log of a replica that was stopped."""

    @abstractmethod
    def logs(self, name: str, offset: int | None = None, limit: int = 65536) -> LogChunk:
        """Log text from `offset` (None: the last `limit` bytes). Text is UTF-8 with bad bytes replaced."""
