"""Read layer of services, shared by pages and the REST API: a service with its state, conditions and replicas.

What changes anything is in services/actions. `gateway_host` is the gateway's `host:port` as the caller reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from django.conf import settings
from django.db.models import Prefetch, QuerySet, Subquery

from datasets import states as rounds
from datasets.queries import progress
from services import states
from services.access.addresses import address_of
from services.models import GatewayRevision, Replica, Revision, Service
from services.queries import standing

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
RELATED: Final = ("team", "target__round__dataset", "serving")


@dataclass(frozen=True)
class Condition:
    """One question about a service. `reason`: one word for programs."""

    type: Annotated[str, "FilesReady, QuotaGranted, ReplicasReady, RolledOut or Ready."]
    status: Annotated[str, "True, False or Unknown."]
    reason: str
    message: str
    last_transition: datetime | None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "last_transition": _iso(self.last_transition)}


def with_related(services: QuerySet[Service]) -> QuerySet[Service]:
    """Everything that `summary` reads, in two queries however many services there are.

    The revision of a replica is joined: Django would prefetch it with one `OR` a row, and SQLite refuses a thousand.
    """
    replicas = Prefetch("replica_set", Replica.objects.select_related("revision"))
    newest = GatewayRevision.objects.order_by("-id").values("error")[:1]
    return services.annotate(gateway_error=Subquery(newest)).select_related(*RELATED).prefetch_related(replicas)


def gateway_host(request_host: str) -> str:
    """Where somebody who reaches the console as `request_host` (`10.0.0.5:8000`, `[::1]:8000`) reaches the gateway."""
    bracketed = request_host.startswith("[")
    host = request_host.partition("]")[0] + "]" if bracketed else request_host.partition(":")[0]
    return f"{host}:{settings.GATEWAY_PORT}"


def summary(service: Service, *, gateway_host: str) -> dict[str, Any]:
    """What GET /api/v1/services/{name}/ returns. Times are ISO 8601 in UTC; sizes are bytes."""
    target = service.target
    return {
        "name": service.name,
        "team": service.team.name,
        **(target.parsed().to_json() if target else {}),
        "replicas": service.replicas,
        "desired": service.desired,
        "state": service.state,
        "message": service.message,
        "conditions": [condition.to_json() for condition in conditions(service)],
        "models": (target.described or {}).get("models", []) if target else [],
        "revision": target.number if target else None,
        "serving_revision": service.serving.number if service.serving else None,
        "endpoints": address_of(service, gateway_host).to_json(),
        "replica_list": [replica_json(replica) for replica in service.replica_set.all()],
        "preheat": preheat(target),
        "created_by": service.created_by,
        "created_at": _iso(service.created_at),
        "updated_at": _iso(service.updated_at),
        "state_since": _iso(service.state_since),
    }


def replica_json(replica: Replica) -> dict[str, Any]:
    return {
        "index": replica.index,
        "revision": replica.revision.number,
        "name": replica.process_name,
        "node": replica.node,
        "devices": list(replica.devices),
        "state": replica.state,
        "message": replica.message,
        "pid": replica.pid or None,
        "restarts": replica.restarts,
        "attempts": replica.attempts,
        "retry_at": _iso(replica.retry_at if replica.state == Replica.BACKOFF else None),
        "started_at": _iso(replica.started_at),
        "created_at": _iso(replica.created_at),
    }


def preheat(revision: Revision | None) -> dict[str, Any] | None:
    """Progress of the round that prepares the revision's files; None when none was asked for yet."""
    job = revision.round if revision else None
    if job is None:
        return None
    return {"round": job.pk, "dataset": job.dataset.name, "path": job.path, **progress.progress(job)}


def conditions(service: Service) -> list[Condition]:
    return [
        _files(service),
        _quota(service),
        _replicas(service),
        _rolled_out(service),
        _ready(service),
        _reachable(service),
    ]


def _files(service: Service) -> Condition:
    target = service.target
    job = target.round if target else None
    if target is not None and target.tree:
        since = job.finished_at if job else None
        message = "Model files are on disk and verified."
        return Condition("FilesReady", TRUE, "Verified", message, since or target.created_at)
    if job is None:
        return Condition("FilesReady", UNKNOWN, "NotAsked", "", service.created_at)
    message, since = progress.progress(job)["sentence"], job.finished_at or job.started_at or job.created_at
    if job.state in {rounds.FAILED, rounds.CANCELLED}:
        return Condition("FilesReady", FALSE, "PreheatFailed", message, since)
    return Condition("FilesReady", FALSE, "Preheating", message, since)


def _quota(service: Service) -> Condition:
    rows = list(service.replica_set.all())
    if rows:
        return Condition("QuotaGranted", TRUE, "Claimed", "", min(row.created_at for row in rows))
    if service.state == states.QUEUED:
        return Condition("QuotaGranted", FALSE, "Queued", service.message, service.queued_at or service.state_since)
    return Condition("QuotaGranted", FALSE, "NotAsked", "", service.state_since)


def _replicas(service: Service) -> Condition:
    rows = [row for row in service.replica_set.all() if row.state not in Replica.LEAVING]
    ready = sum(row.state == Replica.READY for row in rows)
    message = f"{ready} of {service.replicas} replicas answer."
    started = [row.started_at for row in rows if row.started_at]
    since = max(started) if started else service.state_since
    if ready >= service.replicas:
        return Condition("ReplicasReady", TRUE, "AllAnswer", message, since)
    return Condition("ReplicasReady", FALSE, "SomeAnswer" if ready else "NoneAnswers", message, since)


def _rolled_out(service: Service) -> Condition:
    target, since = service.target, service.target.created_at if service.target else service.created_at
    if target is not None and service.serving_id == target.pk:
        return Condition("RolledOut", TRUE, "Serving", f"Revision {target.number} serves.", since)
    if service.serving is not None and target is not None:
        if any(row.state == Replica.STANDBY for row in service.replica_set.all()):
            made_room = f"Revision {service.serving.number} has ended to make room for revision {target.number}."
            return Condition("RolledOut", FALSE, "Replacing", made_room, since)
        message = f"Revision {service.serving.number} serves until revision {target.number} answers."
        return Condition("RolledOut", FALSE, "RollingOut", message, since)
    return Condition("RolledOut", FALSE, "NothingServes", "", service.state_since)


def _ready(service: Service) -> Condition:
    status = TRUE if service.state in states.ROUTABLE else FALSE
    return Condition("Ready", status, service.state.title(), service.message, service.state_since)


def not_published(service: Service) -> str:
    """Why the gateway does not do what is said of the service here; "" when it does. Rows of `with_related` know."""
    if service.gateway_message:
        return f"The gateway goes without this service, and callers are answered 503. {service.gateway_message}"
    error = getattr(service, "gateway_error", None) or ""
    if not error or error.startswith(GatewayRevision.LEFT_OUT):
        return ""
    return f"The gateway goes on with what was published before the last changes. {error}"


def _reachable(service: Service) -> Condition:
    """Whether callers get to the gateway now, and meet there what is said here. From asking it: the state of a service
    says nothing about that.
    """
    if unpublished := not_published(service):
        reason = "Refused" if service.gateway_message else "NotPublished"
        return Condition("Reachable", FALSE if service.gateway_message else UNKNOWN, reason, unpublished, None)
    problem = standing.problem_of("gateway")
    if problem is None:
        return Condition("Reachable", TRUE, "GatewayAnswers", "The gateway takes requests.", None)
    return Condition("Reachable", FALSE, "GatewayAway", problem.message, None)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
