"""One replica: start it, look at it, let it drain, end it. Which ones there should be: see reconcile and rollout."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from console.errors import ConsoleError
from datasets import wiring as datasets_wiring
from datasets.preheat.readahead import read_ahead
from datasets.specs import Tree
from services import wiring
from services.clients.kernel import connections
from services.control import leases, publishing
from services.control.replicas import containment, devices, retries
from services.control.transitions import log
from services.engines import base as engines
from services.engines.base import Observation
from services.errors import GatewayError, GatewaySilent, ModelError
from services.frameworks import warming
from services.gateway import status
from services.listeners import Listeners
from services.models import Replica, Service
from services.policies.admission import ordinal
from services.specs import LaunchContext, ReplicaSpec, process_of

LEAST_DRAIN = timedelta(seconds=3)
"""By then the gateway sends nothing new, and has closed its idle connections."""
LOG_LINES = 40
BOX_FAILED = "bwrap:"
"""What bubblewrap says begins so."""


def tree_of(replica: Replica) -> Tree:
    """The files that it serves. Raises ModelError when they are gone."""
    revision = replica.revision
    tree = datasets_wiring.tree(revision.tree)
    if tree is None:
        raise ModelError(
            f"The model files of revision {revision.number} are no longer in the store.",
            hint="Stop and start the service: its files are prepared again.",
        )
    return tree


def spec_of(replica: Replica, tree: Tree) -> ReplicaSpec:
    """How this replica is started. Raises ModelError when its files cannot be served."""
    spec = replica.revision.parsed()
    site = wiring.engine().site(replica.process_name, tree.path)
    launch = wiring.framework(spec.framework).launch(
        LaunchContext(
            service=replica.service.name,
            tree=tree.path,
            spec=spec,
            runtime=wiring.runtime(spec.framework),
            models=site.models,
            run_dir=site.run_dir,
            devices=tuple(replica.devices),
        )
    )
    run_dir = settings.HOME.replicas / replica.process_name
    return ReplicaSpec(
        name=replica.process_name,
        run_dir=run_dir,
        launch=launch,
        tree=tree.path,
        runtime=wiring.runtime(spec.framework),
        devices=tuple(dict.fromkeys(file for device in devices.of(replica) for file in device.files)),
        start_seconds=launch.settle_seconds,
    )


def listeners_of(replica: Replica) -> Listeners:
    return wiring.engine().listeners(replica.process_name)


def overdue(replica: Replica) -> str:
    """A sentence when it takes longer to start than its service allows; "" while there is time, or once it was up."""
    if replica.started_at or retries.has_served(replica):
        return ""
    spec = replica.revision.spec
    seconds = wiring.framework(spec["framework"]).start_seconds(spec["framework_config"])
    if replica.created_at + timedelta(seconds=seconds) > timezone.now():
        return ""
    return f"Replica {replica.index} was not ready within {seconds} s, the longest start that its service allows."


def refresh(replica: Replica) -> Observation:
    """Observe it, start it if it is not there, and bring its row up to date. Safe to call again and again."""
    engine = wiring.engine()
    before, state = _columns(replica), replica.state
    seen = engine.observe(replica.process_name)
    _note_end(replica, seen, before)
    if replica.state not in Replica.LEAVING and _is_to_be_started(replica, seen):
        try:
            _start(replica, seen)
        except ConsoleError as error:  # the files are gone, or there is no room to write: the next look tries again
            if not retries.has_served(replica):
                raise
            replica.state, replica.message, replica.pid = Replica.UNREADY, str(error), 0
            _save(replica, before)
            return seen
        seen = engine.observe(replica.process_name)
    is_first = replica.retry_at is None
    replica.state, replica.message = _judge(replica, seen)
    replica.pid = seen.pid
    if replica.state == Replica.READY:
        replica.well_pid = seen.pid
        retries.forget(replica, seen)
    if replica.state == Replica.READY and replica.started_at is None and not _answers_now(replica, before):
        return seen
    if replica.state == Replica.READY != state and (missing := _missing_at_the_gateway(replica)):
        replica.state, replica.message = (Replica.STARTING if state == Replica.PENDING else state), missing
    if _save(replica, before) and is_first and replica.retry_at is not None:
        retries.tell(replica, why_failed(replica), tail(replica))
    return seen


LOOKED_AT: Final = ("state", "message", "pid", "well_pid", "restarts", "attempts", "retry_at", "started_at")
DECIDED_BY: Final = ("state", "pid", "well_pid", "started_at")


def _columns(replica: Replica) -> dict[str, Any]:
    return {name: getattr(replica, name) for name in LOOKED_AT}


def _save(replica: Replica, before: dict[str, Any]) -> bool:
    """False when its row is not as it was read: it leaves by now, was found hung, or is gone. Then it is read again."""
    leases.check()
    changes = {name: value for name, value in _columns(replica).items() if value != before[name]}
    rows = Replica.objects.filter(pk=replica.pk)
    if not changes or rows.filter(**{name: before[name] for name in DECIDED_BY}).update(**changes):
        before.update(changes)
        return True
    for name, value in (rows.values(*LOOKED_AT).first() or before).items():
        setattr(replica, name, value)
    return False


def _answers_now(replica: Replica, before: dict[str, Any]) -> bool:
    """Written before the gateway is told, which sends requests only to replicas that have answered."""
    state, replica.state = replica.state, before["state"]
    replica.started_at = timezone.now()
    saved = _save(replica, before)
    if saved:
        replica.state = state
    return saved


def _is_to_be_started(replica: Replica, seen: Observation) -> bool:
    if seen.state == engines.FAILED:
        return retries.has_served(replica) and retries.is_due(replica)
    return seen.state in {engines.ABSENT, engines.STOPPED}


def _start(replica: Replica, seen: Observation) -> None:
    leases.check()
    containment.check(wiring.engine())
    tree = tree_of(replica)
    devices.settle(replica)
    spec = spec_of(replica, tree)
    if seen.state == engines.FAILED:
        wiring.engine().apply(replace(spec, start_retries=0))  # one start: the next one has its pause
        retries.begin(replica)
    else:
        wiring.engine().apply(spec)
    read_ahead(tree.path)


def _missing_at_the_gateway(replica: Replica) -> str:
    """For a service that was scaled, and for a replica that is back. A revision's first ones are opened together."""
    service = replica.service
    return publishing.open_up(service, [replica]) if replica.revision_id == service.serving_id else ""


def _judge(replica: Replica, seen: Observation) -> tuple[str, str]:
    if replica.state in Replica.LEAVING:
        return replica.state, replica.message
    if seen.state == engines.FAILED:
        return _judge_failed(replica, seen)
    # A hung replica was removed from the gateway but stays UNREADY, not STARTING.
    first = replica.started_at is None and replica.state in {Replica.PENDING, Replica.STARTING}
    waiting = Replica.STARTING if first else Replica.UNREADY
    if seen.pid and seen.pid == replica.hung_pid:
        return Replica.UNREADY, replica.message  # until it is started again, see hung.py
    if seen.state not in {engines.RUNNING, engines.STARTING}:
        return waiting, seen.message or f"Its process is {seen.state.lower()}."
    framework = wiring.framework(replica.revision.spec["framework"])
    probe = framework.probe(listeners_of(replica), replica.service.name, timeout=2.0)
    if probe.ready:
        is_new = seen.pid != replica.well_pid
        if is_new and not warming.is_warm(
            framework, listeners_of(replica), replica.service.name, replica.process_name, seen.pid
        ):
            return waiting, warming.SENTENCE
        return Replica.READY, ""
    if seen.pid == replica.well_pid:  # it was up before
        return waiting, probe.message
    # A port that is not open yet is nothing to worry about during a start, and the page should not sound so.
    times = f" for the {ordinal(replica.attempts)} time" if replica.attempts else ""
    return waiting, f"Starting{times}. {probe.message if probe.listening else ''}".rstrip()


def _judge_failed(replica: Replica, seen: Observation) -> tuple[str, str]:
    """The engine gave up. Once its revision has served, it is tried again for ever."""
    if not retries.has_served(replica):
        return Replica.FAILED, why_failed(replica) or seen.message
    if replica.state != Replica.BACKOFF:
        retries.plan(replica, why_failed(replica))
    return replica.state, replica.message


def _note_end(replica: Replica, seen: Observation, before: dict[str, Any]) -> None:
    """A process that was well is no longer there. Keep what its log said."""
    if not replica.well_pid or seen.pid == replica.well_pid or replica.state in Replica.LEAVING:
        return
    replica.well_pid = 0
    replica.restarts += 1
    if not _save(replica, before):
        return
    log(
        replica.service,
        "replica",
        f"Replica {replica.index} ended unexpectedly and is started again.",
        detail=tail(replica),
    )


def forget_processes() -> None:
    """For a start of the whole product: what ran before ended with it, and was not unexpected."""
    Replica.objects.update(pid=0, hung_pid=0, well_pid=0)


def why_failed(replica: Replica) -> str:
    """One sentence from the end of its log; "" when the log does not say."""
    lines = tail(replica, 400).splitlines()
    if lines and lines[-1].startswith(BOX_FAILED):
        return f"Its box could not be made. {lines[-1].removeprefix(BOX_FAILED).strip()}."
    return wiring.framework(replica.revision.spec["framework"]).explain(lines)


def tail(replica: Replica, lines: int = LOG_LINES) -> str:
    try:
        chunk = wiring.engine().logs(replica.process_name)
    except ConsoleError:
        return ""
    return "\n".join(chunk.text.splitlines()[-lines:])


def drain(replica: Replica) -> None:
    """No new requests from the next publish on; `end_drained` takes it from there."""
    leases.check()
    until = timezone.now()
    if not (replica.state == Replica.STANDBY and replica.drain_until is None):  # that one has no process
        until += _longest_drain()
    if (
        Replica.objects.filter(pk=replica.pk)
        .exclude(state=Replica.DRAINING)
        .update(state=Replica.DRAINING, drain_until=until)
    ):
        replica.state, replica.drain_until = Replica.DRAINING, until


def stand_by(replicas: QuerySet[Replica]) -> None:
    """No new requests from the next publish on; `make_room` ends the processes. The rows keep their claim."""
    rows = replicas.exclude(state__in=Replica.LEAVING)
    rows.update(state=Replica.STANDBY, drain_until=timezone.now() + _longest_drain(), message="")


def make_room(replicas: QuerySet[Replica]) -> bool:
    """End the processes of those on standby that have finished their requests. True once none is left."""
    going = replicas.filter(state=Replica.STANDBY, drain_until__isnull=False).select_related("revision", "service")
    rows = list(going)
    due = [replica for replica in rows if _is_drained(replica)]
    if due:
        _end_processes(due)
        fields = {"drain_until": None, "started_at": None, "pid": 0, "well_pid": 0, "message": "Ended to make room."}
        replicas.filter(pk__in=[replica.pk for replica in due], state=Replica.STANDBY).update(**fields)
    return len(due) == len(rows)


def return_from_standby(replicas: QuerySet[Replica]) -> int:
    """Those whose process still runs go on; the others start anew. How many there were."""
    standby = replicas.filter(state=Replica.STANDBY)
    if not standby.exists():  # asked in each step of each service, and even an UPDATE of nothing locks SQLite
        return 0
    still = standby.filter(drain_until__isnull=False).update(state=Replica.UNREADY, drain_until=None)
    return still + standby.update(
        state=Replica.PENDING, created_at=timezone.now(), message="", attempts=0, retry_at=None
    )


def end_drained(replicas: Iterable[Replica]) -> int:
    """End those that have finished what they had, or whose time is over. How many are gone."""
    due = [replica for replica in replicas if _is_drained(replica)]
    end(due)
    return len(due)


def _end_processes(due: Sequence[Replica]) -> None:
    """All at once."""
    leases.check()
    if any(replica.state in Replica.LEAVING for replica in due):
        # By now no route leads there, so this takes their clusters from the gateway too, which closes its idle
        # connections: Triton would wait for them until its exit timeout.
        publishing.publish_now()
    end_processes([replica.process_name for replica in due])


def _longest_drain() -> timedelta:
    return timedelta(seconds=settings.REPLICA_DRAIN_SECONDS)


def _is_drained(replica: Replica) -> bool:
    """A gateway that sends nothing new to a replica keeps a connection only for requests that are under way.

    It goes on sending as long as it lists the address: a cluster that changed serves once its replicas were probed.
    """
    now = timezone.now()
    if replica.drain_until is None or replica.drain_until <= now:
        return True
    if replica.drain_until - _longest_drain() + LEAST_DRAIN > now:
        return False
    if _is_listed(replica):
        return False
    listeners = listeners_of(replica)
    return not connections.held((listeners.http.path, listeners.grpc.path))


def _is_listed(replica: Replica) -> bool:
    """Whether Envoy may still choose it. False when no Envoy runs."""
    listeners = listeners_of(replica)
    addresses = {str(listeners.http), str(listeners.grpc)}
    try:
        return any(seen.address in addresses for seen in status.replicas(settings.HOME.gateway))
    except GatewaySilent:
        return True
    except GatewayError:
        return False


def erase_logs(service: Service) -> None:
    """Nothing of a deleted service is shown to whoever takes its name next."""
    engine = wiring.engine()
    for name in engine.logged():
        if process_of(service.name, name):
            engine.erase(name)


def end(replicas: Sequence[Replica]) -> None:
    """Stop the processes now, all at once, and give their share of the quota back. Their logs stay."""
    if not replicas:
        return
    _end_processes(replicas)
    leases.check()
    Replica.objects.filter(pk__in=[replica.pk for replica in replicas]).delete()


def end_processes(names: Sequence[str]) -> None:
    """All at once: each may take its time."""
    if names:
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            list(pool.map(_end_process, names))


def _end_process(name: str) -> None:
    """Stop one process and remove its working directory, which a later start writes anew. Its log stays."""
    wiring.engine().stop(name)
    shutil.rmtree(settings.HOME.replicas / name, ignore_errors=True)
