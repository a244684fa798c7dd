"""Shapes of queues and nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from console.web.answers import answer
from console.web.rest import Body
from services.actions.places import LONGEST_MINUTES
from services.control.queues import claims
from services.models import Node, Queue, Service
from services.policies.admission import ORDERS
from services.policies.amounts import Amount
from services.queries import devices, standing
from services.queries.devices import DeviceUse, Holder

ORDER_HELP = "fair: by team in turn, and what fits passes what does not fit yet. strict: first come, first served."
PATIENCE_HELP = "fair: after this long a service that others passed may hold the queue."
HOLD_HELP = "fair: for this long it then comes first, and what it needs is kept for it. 0: never."


class QueueOut(serializers.ModelSerializer[Queue]):
    gpus = serializers.DictField(child=serializers.IntegerField(), help_text='GPU product to count; "" is any product.')
    used = serializers.SerializerMethodField(help_text="What the replicas in it hold now.")
    order = serializers.ChoiceField(ORDERS, help_text=ORDER_HELP)
    patience_minutes = serializers.IntegerField(help_text=PATIENCE_HELP)
    hold_minutes = serializers.IntegerField(help_text=HOLD_HELP)
    waiting = serializers.SerializerMethodField(help_text="How many services wait in it, of all teams.")

    class Meta:
        model = Queue
        fields = (
            "name",
            "description",
            "cpu",
            "memory_gib",
            "gpus",
            "order",
            "patience_minutes",
            "hold_minutes",
            "used",
            "waiting",
            "created_at",
        )

    @extend_schema_field(answer(Amount))
    def get_used(self, queue: Queue) -> dict[str, Any]:
        return asdict(self._uses.get(queue.name, Amount()))

    def get_waiting(self, queue: Queue) -> int:
        return self._waiting[queue.name]

    @cached_property
    def _uses(self) -> dict[str, Amount]:
        return claims.used_by_queue()

    @cached_property
    def _waiting(self) -> Counter[str]:
        return Counter(Service.objects.waiting().values_list("target__spec__queue", flat=True))


class QueueChange(Body):
    fixed: ClassVar[tuple[str, ...]] = ("name",)

    description = serializers.CharField(required=False, allow_blank=True, max_length=200)
    cpu = serializers.FloatField(max_value=1e6, help_text="Cores.")
    memory_gib = serializers.FloatField(max_value=1e9)
    gpus = serializers.DictField(
        child=serializers.IntegerField(max_value=100_000), required=False, help_text='GPU product to count; "" is any.'
    )
    order = serializers.ChoiceField(ORDERS, required=False, help_text=ORDER_HELP)
    patience_minutes = serializers.IntegerField(
        required=False, min_value=0, max_value=LONGEST_MINUTES, help_text=PATIENCE_HELP
    )
    hold_minutes = serializers.IntegerField(required=False, min_value=0, max_value=LONGEST_MINUTES, help_text=HOLD_HELP)


class QueueBody(QueueChange):
    name = serializers.CharField(allow_blank=True, help_text="A DNS label.")


class NodeOut(serializers.ModelSerializer[Node]):
    labels = serializers.DictField(child=serializers.CharField(), help_text="What the node reports of itself.")
    extra_labels = serializers.DictField(child=serializers.CharField(), help_text="An administrator's.")
    gpus = serializers.DictField(child=serializers.IntegerField(), help_text="GPU product to count.")
    facts = serializers.DictField(
        help_text="Live readings, and `boxes` with `containment`: what keeps replicas apart here."
    )
    devices = serializers.SerializerMethodField(help_text="Each of its GPUs and MIG instances, with who has it.")
    used = serializers.SerializerMethodField(help_text="What the replicas on it hold now.")
    problem = serializers.SerializerMethodField(help_text="What is wrong with its disk right now; empty: nothing.")

    absence = serializers.CharField(help_text="Why nothing can be started on it; empty when it can.")

    class Meta:
        model = Node
        fields = (
            "name",
            "labels",
            "extra_labels",
            "cpu",
            "memory_gib",
            "gpus",
            "devices",
            "used",
            "facts",
            "problem",
            "schedulable",
            "absence",
            "reported_at",
        )

    @extend_schema_field(answer(DeviceUse)(many=True))
    def get_devices(self, node: Node) -> list[dict[str, Any]]:
        return [asdict(use) for use in devices.of(node, self._holders)]

    def get_problem(self, node: Node) -> str:
        problem = standing.problem_of("disk") if node.name == settings.NODE_NAME else None
        return f"{problem.message} {problem.hint}" if problem else ""

    @extend_schema_field(answer(Amount))
    def get_used(self, node: Node) -> dict[str, Any]:
        return asdict(self._uses.get(node.name, Amount()))

    @cached_property
    def _uses(self) -> dict[str, Amount]:
        return claims.used_by_node()

    @cached_property
    def _holders(self) -> dict[str, Holder]:
        return devices.holders(self.context["view"].actor)


class NodeChange(Body):
    fixed: ClassVar[tuple[str, ...]] = (
        "name",
        "labels",
        "cpu",
        "memory_gib",
        "gpus",
        "devices",
        "facts",
        "reported_at",
    )

    extra_labels = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)
    schedulable = serializers.BooleanField(required=False, help_text="false: no new replicas; what runs goes on.")
