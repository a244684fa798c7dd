"""Tables of the datasets app: where files come from, and the rounds that copied them. No logic: see actions/."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models

from datasets import states
from datasets.querysets import DatasetQuerySet, RoundQuerySet

NAME = RegexValidator(
    r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    "Use lower-case letters, digits and dashes, at most 63, a letter or digit at both ends.",
)


class Dataset(models.Model):
    """A place that model files are read from. Nothing is copied until a service, or a person, asks for a path of it."""

    team = models.ForeignKey("console.Team", on_delete=models.PROTECT, related_name="datasets")
    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    kind = models.CharField(max_length=20)
    options = models.JSONField(default=dict)
    """What the kind needs, as its source declares: for `local` {"path": "/abs/dir"}."""
    credentials = models.JSONField(default=dict)
    """The secret ones of these, sealed (credentials.py): name -> text. Nothing outside of the app needs them."""
    description = models.CharField(max_length=200, blank=True)
    # Who gave trust last, or took it back. What is trusted is in the table Trust.
    trusted_by = models.CharField(max_length=150, blank=True)
    trusted_at = models.DateTimeField(null=True)
    bytes_of_pruned = models.PositiveBigIntegerField(default=0)
    """Bytes copied by pruned rounds, so that the counter never decreases (jobs/pruning.py)."""
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def location(self) -> str:
        """Digest of where the files come from: the kind and every option that is no secret."""
        place = {name: value for name, value in self.options.items() if value}
        return hashlib.sha256(json.dumps([self.kind, place], sort_keys=True).encode()).hexdigest()

    @property
    def trust(self) -> Trust | None:
        """The trust in the place that the dataset points to now."""
        location = self.location
        return next((trust for trust in self.trusts.all() if trust.location == location), None)

    @property
    def trusted(self) -> bool:
        return self.trust is not None

    @property
    def trust_covers_changes(self) -> bool:
        return self.trust is not None and self.trust.later_changes


class Trust(models.Model):
    """An owner's word that the team trusts the code at one location of a dataset. The verbs are in actions/trust.py.

    It is compared with the location whenever it is used, so a dataset that is pointed elsewhere is not trusted there,
    and files copied from the old location still are.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="trusts")
    location = models.CharField(max_length=64)
    # Whether it covers code that changes at the location later. Otherwise only the files in `copies` are trusted.
    later_changes = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dataset", "location"], name="one_trust_in_a_location")]

    def __str__(self) -> str:
        return f"{self.dataset} at {self.location[:12]}"


class TrustedCopy(models.Model):
    """The files of one copied path as they were when trust was given, or when the path was copied first after it."""

    trust = models.ForeignKey(Trust, on_delete=models.CASCADE, related_name="copies")
    path = models.CharField(max_length=1024, blank=True)
    # Path in the dataset -> SHA-256. All files: which of them run depends on the service that loads them.
    files = models.JSONField()

    def __str__(self) -> str:
        return f"{self.trust}: {self.path or 'all of it'}"


class Round(models.Model):
    """One preheat of one path: the row is the truth, the Celery message only a hint.

    A worker owns a round while `lease_until` lies ahead and `lease_token` is its own; what it has copied is in the
    journal on disk, so that the next owner goes on where it stopped.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="rounds")
    path = models.CharField(max_length=1024, blank=True)
    node = models.CharField(max_length=63)
    state = models.CharField(max_length=12, choices=states.CHOICES, default=states.PENDING)
    message = models.TextField(blank=True)
    mode = models.CharField(max_length=8, choices=states.MODES, default=states.MIRROR)
    fingerprint = models.CharField(max_length=64, blank=True)
    # Dataset.location as it was when the files were listed: where the tree came from.
    location = models.CharField(max_length=64, blank=True)
    files_total = models.PositiveIntegerField(default=0)
    files_done = models.PositiveIntegerField(default=0)
    bytes_total = models.PositiveBigIntegerField(default=0)
    bytes_done = models.PositiveBigIntegerField(default=0)
    bytes_copied = models.PositiveBigIntegerField(default=0)
    """Bytes that really moved; less than bytes_done when content was in the store, or a round was resumed."""
    bytes_per_second = models.FloatField(default=0)
    tree = models.CharField(max_length=64, blank=True)
    """Digest of the published tree, once DONE."""
    attempts = models.PositiveIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    pause_requested = models.BooleanField(default=False)
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    requested_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    seated_at = models.DateTimeField(null=True)
    """When a worker took it last: it has had a seat (jobs/seats.py) since then, or until it gave it up."""
    planned_at = models.DateTimeField(null=True)
    """When its files were listed last."""
    slow_yields = models.PositiveIntegerField(default=0)
    """How often it gave its seat up because its source was slow."""
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar = RoundQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "lease_until"])]
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "path", "node"],
                condition=models.Q(state__in=sorted(states.ACTIVE)),
                name="one_active_round_for_a_path",
            )
        ]

    def __str__(self) -> str:
        return f"{self.dataset}/{self.path} #{self.pk}"


class Refusal(models.Model):
    """How often something harmful was refused, by what it was (errors.REFUSED). Only ever grows."""

    reason = models.CharField(max_length=20, primary_key=True)
    count = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.reason}: {self.count}"


class RoundLine(models.Model):
    """One line of a round's log: what happened, in words for people. Never with a secret in it."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="lines")
    at = models.DateTimeField(auto_now_add=True)
    text = models.CharField(max_length=1000)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.text}"
