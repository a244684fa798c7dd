"""What was seen of a replica that is suspected to hang, and for how long it may go on so. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services import wiring
from services.clients.kernel import activity
from services.clients.kernel.activity import Usage
from services.gateway.snapshot import Limits
from services.models import Replica

FRAME_BYTES = 100
"""More than acknowledgements and window updates for one request; less than a message of a stream."""
STARTS = 4
"""A process that never answered may rest so many times longer than one that did: it may wait for something to load."""
LONGEST = 4
"""One that computes and answers nothing hangs after so many times as long, at the least."""


@dataclass(frozen=True)
class Load:
    """What the gateway has had to do with one replica, over all its ports."""

    requests: int = 0
    answered: int = 0
    active: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(self.requests + other.requests, self.answered + other.answered, self.active + other.active)

    def __sub__(self, other: Load) -> Load:
        return Load(self.requests - other.requests, self.answered - other.answered, self.active - other.active)


@dataclass(frozen=True)
class Bounds:
    """Seconds without an answer."""

    idle: float
    """While its processes neither compute nor read."""
    longest: float
    """Whatever they do."""


@dataclass(frozen=True)
class Observation:
    """One process in one state. Times of time.monotonic()."""

    state: str
    pid: int
    since: float
    """It got on then, or had nothing to do."""
    idle_since: float
    """It computed, or read, then."""
    load: Load = Load()
    progress: float | None = None
    sent: int = 0
    """Bytes that replicas of its service have sent over gRPC."""
    others: Load = Load()
    """What those replicas but this one have to do: while that is nothing, it alone sends."""
    measured: bool = False
    """It had something to do at the last look. What came between two looks may be as new as the second one."""
    usage: Usage | None = None
    silences: int = 0
    """Test requests that it did not answer."""

    def is_of(self, replica: Replica) -> bool:
        return (self.state, self.pid) == (replica.state, replica.pid)

    def is_overdue(self, bounds: Bounds, now: float) -> bool:
        return now - self.since >= bounds.longest

    def is_due(self, bounds: Bounds, now: float) -> bool:
        """It is time to send a test request; after each one that was not answered, as much later again."""
        return now - self.idle_since >= bounds.idle * (1 + self.silences) or self.is_overdue(bounds, now)


def begin(replica: Replica, now: float, load: Load) -> Observation:
    has_work = replica.state != Replica.READY or load.active > 0
    return Observation(replica.state, replica.pid, now, now, load, measured=has_work)


def bounds(replica: Replica) -> Bounds:
    spec = replica.revision.parsed()
    framework = wiring.framework(spec.framework)
    seconds = spec.limits.stall_seconds or framework.stall_seconds
    if replica.state != Replica.READY and replica.well_pid != replica.pid:
        start = framework.start_seconds(spec.framework_config)
        return Bounds(min(start, seconds * STARTS * (1 + replica.attempts)), start)
    # By then each request that it was sent has timed out at the gateway.
    return Bounds(seconds, max(LONGEST * seconds, spec.limits.timeout_seconds or Limits.request_timeout_seconds))


def with_load(
    seen: Observation, load: Load, others: Load, progress: float | None, sent: int, now: float
) -> Observation:
    """A READY one that has requests. Anything that it finished or sent shows that it gets on."""
    if seen.progress is None:
        seen = replace(seen, progress=progress)
    if not seen.sent or others.active or others != seen.others:  # nobody knows which of them sent it
        seen = replace(seen, sent=sent, others=others)
    # What HTTP/2 itself says to each new request is no answer.
    has_sent = sent - seen.sent > FRAME_BYTES * (1 + load.requests - seen.load.requests)
    if has_sent or (progress is not None and progress != seen.progress):
        return replace(seen, since=now, idle_since=now, load=load, progress=progress, sent=sent, silences=0)
    return seen


def with_usage(seen: Observation, now: float) -> Observation:
    """One that computes is slow and does not hang, as far as can be told before `Bounds.longest`."""
    usage = activity.read(seen.pid)
    if not seen.measured:
        return replace(seen, measured=True, usage=usage, since=now, idle_since=now)
    busy = usage is not None and seen.usage is not None and activity.is_busy(seen.usage, usage)
    return replace(seen, usage=usage, idle_since=now if busy else seen.idle_since)


def total(loads: Iterable[Load]) -> Load:
    return sum(loads, Load())
