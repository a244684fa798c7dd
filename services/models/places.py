"""Where services run: nodes and queues. Both belong to the installation."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

from services.hardware import Device
from services.policies.admission import FAIR, ORDERS
from services.policies.amounts import Amount
from services.specs import NodeInfo

LOST_AFTER = timedelta(minutes=2)
"""A node reports every 10 seconds. One that is silent for so long takes no new replicas until it reports again."""


class Node(models.Model):
    """A machine that runs replicas. It reports itself; `extra_labels` are an administrator's."""

    name = models.CharField(max_length=63, unique=True)
    labels = models.JSONField(default=dict)
    extra_labels = models.JSONField(default=dict, blank=True)
    cpu = models.FloatField(default=0)
    memory_gib = models.FloatField(default=0)
    gpus = models.JSONField(default=dict)
    """GPU product -> how many of them work."""
    devices = models.JSONField(default=list)
    """Each of these GPUs, as services/hardware.py writes it, and those that have fallen out."""
    facts = models.JSONField(default=dict)
    """Live readings: load, free memory, free disk, store use."""
    schedulable = models.BooleanField(default=True)
    reported_at = models.DateTimeField(null=True, default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def absence(self) -> str:
        """Why nothing can be started on it, whatever it has, as a part of a sentence; "" when it can."""
        if self.name != settings.NODE_NAME:
            return f"services run on node {settings.NODE_NAME}, where this console is: it does not reach other machines"
        if self.reported_at is None or timezone.now() - self.reported_at > LOST_AFTER:
            return f"it has not reported for more than {LOST_AFTER.seconds // 60} minutes: what it has may have changed"
        return ""

    def info(self) -> NodeInfo:
        return NodeInfo(
            name=self.name,
            labels={**self.labels, **self.extra_labels},
            cpu=self.cpu,
            memory_gib=self.memory_gib,
            gpus=self.gpus,
            cordoned=not self.schedulable,
            absence=self.absence,
            devices=self.parsed_devices,
        )

    @property
    def parsed_devices(self) -> tuple[Device, ...]:
        return tuple(Device.from_json(data) for data in self.devices)


class Queue(models.Model):
    """A quota that services share. Who is granted a share next: services/policies/admission.py."""

    name = models.CharField(max_length=63, unique=True)
    description = models.CharField(max_length=200, blank=True)
    cpu = models.FloatField(default=0)
    memory_gib = models.FloatField(default=0)
    gpus = models.JSONField(default=dict, blank=True)
    """GPU product -> count; the key "" counts GPUs of any type."""
    order = models.CharField(max_length=6, choices=ORDERS, default=FAIR)
    patience_minutes = models.PositiveIntegerField(default=10)
    """How long a service that does not fit is passed by later ones before it may hold the queue."""
    hold_minutes = models.PositiveIntegerField(default=5)
    """How long it then comes first, and what it needs is kept for it."""
    # The service (by primary key) that holds the queue, or held it last: services/policies/holding.py.
    held_for = models.BigIntegerField(null=True)
    held_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def quota(self) -> Amount:
        return Amount(self.cpu, self.memory_gib, self.gpus)
