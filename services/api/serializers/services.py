"""Shapes of a service, its revisions, events, logs and metrics."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from console.web.answers import answer
from datasets.queries.progress import Progress
from services.api.serializers.probe import EndpointsOut
from services.api.serializers.shape import Shaped
from services.api.serializers.usage import UsedOut
from services.models import Event, Revision
from services.parsing import MAX_REPLICAS
from services.queries.service_status import Condition
from services.specs import ServedModel, ServiceSpec


class ServiceBody(Shaped):
    """A service, as a client sends it."""

    shape = ServiceSpec
    name = serializers.CharField(help_text="A DNS label that no other service has.")
    team = serializers.CharField(required=False, help_text="Optional if you can create in one team only.")
    replicas = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_REPLICAS, help_text="1 when left out."
    )


class StrategyBody(serializers.Serializer[Any]):
    strategy = serializers.CharField(
        required=False,
        help_text="Where two revisions do not fit at once: rolling (default) waits beside the one that serves until "
        "there is room; recreate ends that one first, takes its place in the queue, and brings it back if it fails.",
    )


class ServiceChange(StrategyBody, ServiceBody):
    """Fields left out stay; resources, auth, cors, limits are merged. Anything but `replicas` makes a new revision."""

    name = None  # type: ignore[assignment]
    team = None  # type: ignore[assignment]


class ReplicaOut(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    revision = serializers.IntegerField()
    name = serializers.CharField(help_text="Name of its process and of its log.")
    node = serializers.CharField()
    devices = serializers.ListField(child=serializers.CharField(), help_text="UUIDs of its GPUs; it sees no others.")
    state = serializers.CharField(help_text="PENDING, STARTING, READY, UNREADY, BACKOFF, FAILED, DRAINING or STANDBY.")
    message = serializers.CharField()
    pid = serializers.IntegerField(allow_null=True)
    restarts = serializers.IntegerField(help_text="How often it ended unexpectedly and was started again.")
    attempts = serializers.IntegerField(help_text="Starts since it last stayed up for a while.")
    retry_at = serializers.DateTimeField(allow_null=True, help_text="In BACKOFF: the time of the next start.")
    started_at = serializers.DateTimeField(allow_null=True, help_text="When it answered for the first time.")
    created_at = serializers.DateTimeField()


class PreheatOut(answer(Progress)):  # type: ignore[misc]  # a class that is made
    round = serializers.IntegerField()
    dataset = serializers.CharField()
    path = serializers.CharField()


class ServiceOut(ServiceBody):
    """A service, as the API returns it."""

    team = serializers.CharField()
    desired = serializers.CharField(help_text="running, stopped or deleted.")
    state = serializers.CharField(
        help_text="PREHEATING, QUEUED, STARTING, READY, DEGRADED, STOPPING, STOPPED or FAILED."
    )
    message = serializers.CharField(help_text="What it waits for, or why it failed.")
    conditions = answer(Condition)(many=True)
    models = answer(ServedModel)(
        many=True, help_text="Loaded models of a Triton repository; empty for a single model, or before a preheat."
    )
    revision = serializers.IntegerField(allow_null=True, help_text="The revision that should run.")
    serving_revision = serializers.IntegerField(allow_null=True, help_text="The revision that answers requests.")
    endpoints = EndpointsOut()
    replica_list = ReplicaOut(many=True)
    preheat = PreheatOut(allow_null=True)
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    state_since = serializers.DateTimeField()


class EventOut(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = ("id", "at", "kind", "old", "new", "message", "detail", "actor")


class RevisionOut(serializers.ModelSerializer[Revision]):
    number = serializers.IntegerField()  # a model's field would bring the bounds of the database in use
    is_target = serializers.SerializerMethodField(help_text="It is the one that should run.")
    is_serving = serializers.SerializerMethodField(help_text="It is the one that answers requests.")

    class Meta:
        model = Revision
        fields = (
            "number",
            "note",
            "spec",
            "strategy",
            "failed",
            "tree",
            "is_target",
            "is_serving",
            "created_by",
            "created_at",
        )

    def get_is_target(self, revision: Revision) -> bool:
        return revision.pk == revision.service.target_id

    def get_is_serving(self, revision: Revision) -> bool:
        return revision.pk == revision.service.serving_id


class RolloutBody(serializers.Serializer[Any]):
    action = serializers.CharField(help_text="replace_now or cancel.")


class RollbackBody(StrategyBody):
    revision = serializers.IntegerField(required=False, help_text="The one before the present one when left out.")


class LogOut(serializers.Serializer[Any]):
    replica = serializers.CharField(help_text="Name of the process.")
    replicas = serializers.ListField(child=serializers.CharField(), help_text="Processes that there are now.")
    text = serializers.CharField()
    next_offset = serializers.IntegerField(help_text="Ask again with offset=next_offset for what came after.")


class ReplicaMetricsOut(ReplicaOut):
    uptime_seconds = serializers.FloatField(allow_null=True, help_text="Since it answered for the first time.")


class MetricsOut(serializers.Serializer[Any]):
    state = serializers.CharField()
    seconds_in_state = serializers.FloatField()
    gpu_seconds_saved = serializers.FloatField(
        help_text="GPUs x replicas x time of each preheat: they were not held meanwhile."
    )
    replicas_wanted = serializers.IntegerField()
    replicas_ready = serializers.IntegerField()
    restarts = serializers.IntegerField(help_text="Restarts of the current replicas.")
    replicas = ReplicaMetricsOut(many=True)
    last_hour = UsedOut(help_text="What was used of it, as far as you have access to it.")
    not_collected = serializers.ListField(
        child=serializers.CharField(), help_text="Facts that the console does not collect yet."
    )


SENT = {
    "name": "example-mnist-isvc",
    "framework": "triton",
    "dataset": "samples",
    "model_path": "mnist-svm",
    "queue": "default",
    "replicas": 1,
    "resources": {"cpu": 1, "memory_gib": 1, "gpu": 0, "gpu_type": ""},
    "auth": {"policy": "api_key"},
    "affinity": {"required": [], "preferred": []},
    "framework_config": {},
}
LANGUAGE = {
    "name": "assistant",
    "framework": "vllm",
    "dataset": "models",
    "model_path": "llama-3.1-8b",
    "queue": "gpu",
    "resources": {"cpu": 8, "memory_gib": 32, "gpu": 1},
    "auth": {"policy": "api_key", "header": "x-tenant-key", "parameters": [{"name": "x-tenant", "value": "blue"}]},
    "limits": {"concurrency": 64, "timeout_seconds": 600},
    "framework_config": {
        "task": "chat",
        "max_model_len": 8192,
        "lora_modules": [{"name": "support", "path": "adapters/support"}],
    },
}
CREATE_EXAMPLES = [
    OpenApiExample("The sample model", value=SENT, request_only=True),
    OpenApiExample(
        "On certain GPUs only",
        request_only=True,
        value={
            **SENT,
            "name": "detector",
            "replicas": 2,
            "resources": {"cpu": 4, "memory_gib": 16, "gpu": 1, "gpu_type": "NVIDIA-H200"},
            "affinity": {
                "required": [{"key": "gpu.product", "operator": "In", "values": ["NVIDIA-H200"]}],
                "preferred": [{"weight": 50, "key": "zone", "operator": "In", "values": ["a"]}],
            },
            "framework_config": {"max_batch_size": 8, "dynamic_batching": {"enabled": True}},
        },
    ),
    OpenApiExample("A language model on vLLM", value=LANGUAGE, request_only=True),
]
