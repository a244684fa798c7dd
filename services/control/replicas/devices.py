"""The devices that a replica starts with. The claim has chosen them (control/queues/claims.py); here they are looked at
once more, since one may have failed meanwhile."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from services.errors import EngineError
from services.hardware import Device
from services.models import Node, Replica
from services.policies import devices
from services.specs import Resources


def of(replica: Replica) -> tuple[Device, ...]:
    """In the order of its row; those that this machine does not list are left out."""
    if not replica.devices:
        return ()
    node = Node.objects.filter(name=settings.NODE_NAME).first()
    by_uuid = {device.uuid: device for device in node.parsed_devices} if node else {}
    return tuple(by_uuid[uuid] for uuid in replica.devices if uuid in by_uuid)


def settle(replica: Replica) -> None:
    """It keeps the devices that it has. Others take the place of one that has failed, and a replica of an earlier
    release, which has none, gets its first. Raises EngineError while there are too few.
    """
    resources = Resources(**replica.revision.spec["resources"])
    if not resources.gpu:
        return
    if len(devices.well(of(replica))) != resources.gpu:
        _choose_anew(replica, resources)
    _check_alone(replica)


def _choose_anew(replica: Replica, resources: Resources) -> None:
    with transaction.atomic():
        node = Node.objects.select_for_update().filter(name=settings.NODE_NAME).first()
        on_node = node.parsed_devices if node else ()
        others = Replica.objects.exclude(pk=replica.pk)
        taken = others.exclude(pk__in=_replaced(others, replica)).devices()
        chosen = devices.choose(on_node, taken, resources, 1, prefer=set(replica.devices))
        if not chosen:
            failed = [device for device in on_node if device.uuid in replica.devices and device.problem]
            why = " ".join(f"{device.short} has failed: {device.problem}" for device in failed)
            raise EngineError(f"{why} {devices.lacking(settings.NODE_NAME, on_node, resources)}".strip())
        if Replica.objects.filter(pk=replica.pk).update(devices=list(chosen[0])):
            replica.devices = list(chosen[0])


def _replaced(others: QuerySet[Replica], replica: Replica) -> QuerySet[Replica]:
    """On standby, and without a process: their devices are those of the replicas that take their place."""
    return others.filter(service=replica.service_id, state=Replica.STANDBY, drain_until=None)


def _check_alone(replica: Replica) -> None:
    """Two revisions of one service may have a device in common, but not two processes."""
    others = Replica.objects.filter(service=replica.service_id).exclude(pk=replica.pk).exclude(state=Replica.PENDING)
    for other in others.exclude(pk__in=_replaced(others, replica)).select_related("revision"):
        if {*other.devices} & {*replica.devices}:
            raise EngineError(f"Revision {other.revision.number} still uses the GPU of replica {replica.index}.")
