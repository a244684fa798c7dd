"""Shape of the dashboard."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from services.api.serializers.services import EventOut


class UseOut(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]  # a field of ours, not DRF's label
    used = serializers.FloatField()
    total = serializers.FloatField()
    unit = serializers.CharField()


class QueueUseOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    uses = UseOut(many=True)
    running = serializers.IntegerField(help_text="Replicas that hold a share.")
    waiting = serializers.IntegerField(help_text="Services that wait for one.")


class NodeUseOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    labels = serializers.DictField(child=serializers.CharField())
    schedulable = serializers.BooleanField()
    alive = serializers.BooleanField(help_text="It reported lately.")
    reported_at = serializers.DateTimeField(allow_null=True)
    uses = UseOut(many=True, help_text="What replicas claim of what the node offers.")
    live = UseOut(many=True, help_text="What the machine itself measures.")
    replicas = serializers.IntegerField()


class GatewayOut(serializers.Serializer[Any]):
    state = serializers.CharField(help_text="current, behind or away.")
    sentence = serializers.CharField()
    revision = serializers.IntegerField(allow_null=True)
    published_at = serializers.DateTimeField(allow_null=True)
    services = serializers.IntegerField()
    keys = serializers.IntegerField()
    error = serializers.CharField(help_text="Why the newest configuration was refused.")


class ProblemOut(serializers.Serializer[Any]):
    part = serializers.CharField(help_text="disk, gateway, bridge, redis, worker, preheat, beat or supervisor.")
    message = serializers.CharField()
    hint = serializers.CharField(help_text="What to do about it.")


class AttentionOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    state = serializers.CharField()
    message = serializers.CharField()
    since = serializers.DateTimeField()


class RecentEventOut(EventOut):
    service = serializers.CharField(source="service.name")

    class Meta(EventOut.Meta):
        fields = ("service", *EventOut.Meta.fields)  # type: ignore[assignment]


class DashboardOut(serializers.Serializer[Any]):
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="State to how many services.")
    total = serializers.IntegerField()
    attention = AttentionOut(many=True, help_text="Services that wait, or are not well, and why.")
    queues = QueueUseOut(many=True)
    nodes = NodeUseOut(many=True)
    gateway = GatewayOut()
    problems = ProblemOut(many=True, help_text="Parts of the console that are not well, from asking them now.")
    events = RecentEventOut(many=True, help_text="The newest ones.")
    gpu_seconds_saved = serializers.FloatField(
        help_text="GPU-seconds not held because files are prepared first: GPUs x replicas x time of each preheat."
    )
