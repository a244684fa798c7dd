"""Queues and nodes: an administrator's verbs, and what a node reports about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields, NotFound
from datasets.actions.rounds import cancel_on
from services import states, wiring
from services.clients.kernel import machine
from services.engines.base import Containment
from services.hardware import Device
from services.models import Node, Queue, Replica, Service
from services.parsing import NAME
from services.policies import devices
from services.policies.admission import FAIR, ORDERS
from services.schema.labels import LABEL

CPU_OVERCOMMIT = 4
"""A node offers this many CPUs per core: model servers mostly wait. GPUs and memory are never offered twice."""


LONGEST_MINUTES = 7 * 24 * 60
"""Upper bound of a queue's patience and holds, in minutes."""
TURNS = {"order": FAIR, "patience_minutes": 10, "hold_minutes": 5}
"""Who is granted a share next, as queues have it that do not say."""


def note_sweep() -> None:
    """A sweep has ended. A file's time, not a row: a full disk must not make it look as if nobody swept."""
    with suppress(OSError):
        settings.HOME.swept.touch(mode=0o600)


def create_queue(
    *,
    name: str,
    description: str = "",
    cpu: float,
    memory_gib: float,
    gpus: Mapping[str, int],
    actor: Principal,
    **turns: Any,
) -> Queue:
    """`turns`: of TURNS."""
    actor.require_admin()
    errors = _amount_errors(cpu, memory_gib, gpus) | _turn_errors(TURNS | turns)
    if not NAME.fullmatch(name):
        errors["name"] = ["Use lower-case letters, digits and dashes, starting with a letter, at most 63."]
    if errors:
        raise InvalidFields(errors)
    try:
        with transaction.atomic():
            return Queue.objects.create(
                name=name,
                description=description,
                cpu=cpu,
                memory_gib=memory_gib,
                gpus=dict(gpus),
                **{field: turns.get(field, default) for field, default in TURNS.items()},
            )
    except IntegrityError:
        raise InvalidFields({"name": f"There is already a queue named {name}."}) from None


def edit_queue(queue: Queue, changes: Mapping[str, Any], *, actor: Principal) -> Queue:
    """Change description, quota or order. Lowering a quota below its use ends no replica."""
    actor.require_admin()
    editable = ("description", "cpu", "memory_gib", "gpus", *TURNS)
    fields = {name: changes[name] for name in editable if name in changes}
    errors = _amount_errors(
        fields.get("cpu", queue.cpu), fields.get("memory_gib", queue.memory_gib), fields.get("gpus", queue.gpus)
    ) | _turn_errors({name: fields.get(name, getattr(queue, name)) for name in TURNS})
    if errors:
        raise InvalidFields(errors)
    for name, value in fields.items():
        setattr(queue, name, value)
    queue.save(update_fields=list(fields))
    return queue


def delete_queue(queue: Queue, *, actor: Principal, confirm: str | None = None) -> None:
    actor.require_admin()
    if confirm is not None and confirm != queue.name:
        raise InvalidFields({"confirm": f"Type the name of the queue, {queue.name}, to delete it."})
    with transaction.atomic():
        # Verbs that put a service into it lock it too: from here on none does.
        if not Queue.objects.select_for_update().filter(pk=queue.pk).exists():
            raise NotFound(f"Queue {queue.name} was deleted meanwhile.")
        users = list(
            Service.objects.exclude(state=states.STOPPED)
            .filter(target__spec__queue=queue.name)
            .values_list("name", flat=True)[:5]
        )
        if users or Replica.objects.in_queue(queue.name).exists():
            raise Conflict(
                f"Queue {queue.name} is used by {', '.join(users) or 'replicas that are ending'}.",
                hint="Move or stop those services first.",
            )
        queue.delete()


def _amount_errors(cpu: Any, memory_gib: Any, gpus: Any) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    for name, value in (("cpu", cpu), ("memory_gib", memory_gib)):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            errors[name] = ["Must be a number, 0 or more."]
    if not isinstance(gpus, Mapping) or not all(
        isinstance(kind, str) and isinstance(count, int) and not isinstance(count, bool) and count >= 0
        for kind, count in gpus.items()
    ):
        errors["gpus"] = ['Must be an object of GPU type and count, such as {"NVIDIA-H200": 8}; the type "" is any.']
    return errors


def _turn_errors(turns: Mapping[str, Any]) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if turns["order"] not in dict(ORDERS):
        errors["order"] = [f"Choose one of {', '.join(dict(ORDERS))}."]
    for name in ("patience_minutes", "hold_minutes"):
        minutes = turns[name]
        if isinstance(minutes, bool) or not isinstance(minutes, int) or not 0 <= minutes <= LONGEST_MINUTES:
            errors[name] = [f"Must be a whole number of minutes, 0 to {LONGEST_MINUTES}."]
    return errors


def edit_node(
    node: Node, *, extra_labels: Mapping[str, str] | None = None, schedulable: bool | None = None, actor: Principal
) -> Node:
    """Add labels of your own, or keep new replicas away (`schedulable` False); what runs goes on."""
    actor.require_admin()
    changed = []
    if extra_labels is not None:
        wrong = [
            key for key, value in extra_labels.items() if not LABEL.fullmatch(str(key)) or not isinstance(value, str)
        ]
        if wrong:
            raise InvalidFields({"extra_labels": f"Not a label and a text: {', '.join(map(str, wrong))}."})
        node.extra_labels = dict(extra_labels)
        changed.append("extra_labels")
    if schedulable is not None:
        node.schedulable = schedulable
        changed.append("schedulable")
    node.save(update_fields=changed)  # another administrator may have changed the other one since it was read
    return node


def delete_node(node: Node, *, actor: Principal, confirm: str | None = None) -> None:
    """Forget a node that is gone, with the preheats that wait for it. Raises Conflict while it is in use."""
    actor.require_admin()
    if confirm is not None and confirm != node.name:
        raise InvalidFields({"confirm": f"Type the name of the node, {node.name}, to delete it."})
    if not node.absence:
        raise Conflict(f"Node {node.name} reports itself.", hint="End its worker first: it would be back in seconds.")
    with transaction.atomic():
        Node.objects.select_for_update().get(pk=node.pk)
        names = set(Replica.objects.filter(node=node.name).values_list("service__name", flat=True))
        if names:
            raise Conflict(
                f"Replicas on node {node.name} belong to {', '.join(sorted(names)[:5])}.",
                hint="Restart or stop those services first.",
            )
        cancel_on(node.name, actor=actor)
        node.delete()


def report_node() -> Node:
    """This machine writes down what it has and how it is doing; the row is its heartbeat."""
    facts, containment = machine.read(settings.HOME.root), wiring.engine().containment()
    now = [gpu.device for gpu in facts.gpus]
    with transaction.atomic():
        row = Node.objects.select_for_update().filter(name=settings.NODE_NAME).first()  # claims lock it too
        before = row.parsed_devices if row else ()
        return _write(facts, containment, devices.merge(before, now, Replica.objects.all().devices(), facts.lost))


def _write(facts: machine.Facts, containment: Containment, known: Sequence[Device]) -> Node:
    node, _ = Node.objects.update_or_create(
        name=settings.NODE_NAME,
        defaults={
            "labels": machine.labels(facts),
            "cpu": facts.cores * CPU_OVERCOMMIT,
            "memory_gib": round(facts.memory_gib, 1),
            "gpus": devices.counts(known),
            "devices": [device.to_json() for device in known],
            "facts": {**machine.live(facts), "boxes": containment.boxed, "containment": containment.sentence},
            "reported_at": timezone.now(),
        },
    )
    return node


def ensure_default_queue() -> Queue:
    """The queue of a fresh installation holds all that the nodes offer that take services."""
    nodes = [node for node in Node.objects.all() if not node.absence]
    gpus: dict[str, int] = {}
    for node in nodes:
        for kind, count in node.gpus.items():
            gpus[kind] = gpus.get(kind, 0) + count
    queue, _ = Queue.objects.get_or_create(
        name="default",
        defaults={
            "description": f"All there is; a core counts as {CPU_OVERCOMMIT} CPUs, since model servers mostly wait.",
            "cpu": sum(node.cpu for node in nodes),
            "memory_gib": round(sum(node.memory_gib for node in nodes), 1),
            "gpus": gpus,
        },
    )
    return queue
