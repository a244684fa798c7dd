"""A service, its revisions, the replicas that run, and what happened to it."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models

from services import states
from services.hardware import shorten
from services.querysets import ReplicaQuerySet, ServiceQuerySet
from services.specs import ROLLING, STRATEGIES, ServiceSpec, process_name

NAME = RegexValidator(
    r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
    "Use lower-case letters, digits and dashes, starting with a letter and ending with a letter or digit, at most 63.",
)
RUNNING = "running"
STOPPED = "stopped"
DELETED = "deleted"


class Service(models.Model):
    """What people asked for (`desired`, `replicas`, `target`) and how far the console has come (`state`, `serving`)."""

    team = models.ForeignKey("console.Team", on_delete=models.PROTECT, related_name="services")
    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    desired = models.CharField(max_length=8, choices=[(d, d) for d in (RUNNING, STOPPED, DELETED)], default=RUNNING)
    replicas = models.PositiveSmallIntegerField(default=1)
    serving_replicas = models.PositiveSmallIntegerField(null=True)
    """How many replicas the serving revision keeps while one with another number replaces it; null is `replicas`."""
    target = models.ForeignKey("Revision", null=True, on_delete=models.SET_NULL, related_name="+")
    """The revision that should run."""
    serving = models.ForeignKey("Revision", null=True, on_delete=models.SET_NULL, related_name="+")
    """The revision that the gateway sends requests to; differs from `target` while an edit rolls out."""
    state = models.CharField(max_length=10, choices=states.CHOICES, default=states.PREHEATING)
    message = models.TextField(blank=True)
    """One sentence: what it waits for, or why it failed."""
    gateway_message = models.TextField(blank=True)
    """Why the gateway refuses the service, and goes on without it; empty when it does not."""
    queued_at = models.DateTimeField(null=True)
    passed = models.PositiveIntegerField(default=0)
    """How many services went ahead of it since it waits."""
    held_at = models.DateTimeField(null=True)
    """When it held its queue last (services/policies/holding.py), since it waits."""
    state_since = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    """Held by the one reconcile that works on this row."""
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar = ServiceQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["state"])]

    def __str__(self) -> str:
        return self.name

    @property
    def target_revision(self) -> Revision:
        """`target`: every service has one from its first transaction on."""
        assert self.target is not None
        return self.target

    def count_of(self, revision: Revision) -> int:
        """How many replicas of it there should be."""
        is_replaced = revision.pk == self.serving_id != self.target_id
        return (is_replaced and self.serving_replicas) or self.replicas


class Revision(models.Model):
    """One frozen ServiceSpec. Its number counts up within the service."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    launch = models.PositiveIntegerField(null=True)
    """Number of the revision that its processes were started as, if it took over those of an earlier one."""
    spec = models.JSONField()
    # The dataset that `spec` names. Another one that takes its name later is not meant.
    dataset = models.ForeignKey("datasets.Dataset", null=True, on_delete=models.SET_NULL, related_name="+")
    round = models.ForeignKey("datasets.Round", null=True, on_delete=models.SET_NULL, related_name="+")
    tree = models.CharField(max_length=64, blank=True)
    """Digest of the preheated files, once they are on disk and verified."""
    # Where the files of `tree` came from: Dataset.location at that time. "" for trees of earlier releases.
    location = models.CharField(max_length=64, blank=True)
    # What an administrator allowed for this revision, if it needs one: {"by", "location", "code"}.
    permission = models.JSONField(null=True)
    described = models.JSONField(null=True)
    """What the gateway must know of the model: see model_files; read once from the files."""
    strategy = models.CharField(max_length=8, choices=[(name, name) for name in STRATEGIES], default=ROLLING)
    """Where there is no room for two revisions at once: `rolling` waits beside the one that serves, `recreate` ends it
    first and takes its place."""
    failed = models.TextField(blank=True)
    """Why this revision could not be rolled out; the one before it went on serving."""
    # When it, or the one whose processes it took over, first answered callers. Its replicas are then never given up.
    served_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=200, blank=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["service", "number"], name="revision_numbers_count_up")]

    def __str__(self) -> str:
        return f"{self.service} revision {self.number}"

    @property
    def process_number(self) -> int:
        """In the names of its processes; two revisions of one number share them."""
        return self.launch or self.number

    def parsed(self) -> ServiceSpec:
        return ServiceSpec.from_json(self.spec)


class Replica(models.Model):
    """One process of one revision. The row is made when quota was granted and removed when the process is gone."""

    PENDING = "PENDING"
    STARTING = "STARTING"
    READY = "READY"
    UNREADY = "UNREADY"
    BACKOFF = "BACKOFF"
    """It ends each time it is started, of a revision that has served: started again at `retry_at`."""
    FAILED = "FAILED"
    """It never answered, of a revision that never served: no further try is made."""
    DRAINING = "DRAINING"
    STANDBY = "STANDBY"
    """Replaced by a revision that has not answered yet. Its process ends, and its claim is kept: it comes back if that
    revision fails. `drain_until` is set while the process finishes its requests."""
    LEAVING = (DRAINING, STANDBY)
    """No new requests are sent to these."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="replica_set")
    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="replica_set")
    index = models.PositiveSmallIntegerField()
    node = models.CharField(max_length=63)
    devices = models.JSONField(default=list)
    """UUIDs of its GPUs: nobody else gets them while the row is there (see services/policies/devices.py)."""
    state = models.CharField(max_length=10, default=PENDING)
    message = models.TextField(blank=True)
    pid = models.PositiveIntegerField(default=0)
    hung_pid = models.PositiveIntegerField(default=0)
    """The process last found hung. It no longer counts as READY, whatever its health check says."""
    well_pid = models.PositiveIntegerField(default=0)
    """PID of the last healthy process; 0 after it exited."""
    restarts = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    """Starts by the control loop since it last stayed up; the pause before the next one grows with it."""
    retry_at = models.DateTimeField(null=True)
    """When a replica in BACKOFF is started again. Kept until the series of starts is over."""
    started_at = models.DateTimeField(null=True)
    drain_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar = ReplicaQuerySet.as_manager()

    class Meta:
        ordering = ["revision__number", "index"]
        constraints = [models.UniqueConstraint(fields=["revision", "index"], name="one_replica_of_an_index")]

    def __str__(self) -> str:
        return self.process_name

    @property
    def process_name(self) -> str:
        """The engine's name for it; also the name of its log."""
        return process_name(self.service.name, self.revision.process_number, self.index)

    @property
    def short_devices(self) -> list[str]:
        return [shorten(uuid) for uuid in self.devices]


class Event(models.Model):
    """Something that happened to a service. Written in the transaction that made it happen."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=20)
    """state, created, edited, scaled, replica, access, gateway, deleted ..."""
    old = models.CharField(max_length=10, blank=True)
    new = models.CharField(max_length=10, blank=True)
    message = models.TextField()
    detail = models.TextField(blank=True)
    """Longer text that belongs to it: the last lines of a crashed replica's log."""
    actor = models.CharField(max_length=150)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%F %T} {self.service}: {self.message}"
