"""The GPUs of a node, one by one: what NVML measures of each, and whose replica has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from console.accounts.principal import Principal
from services.hardware import shorten
from services.models import Node, Replica, Service

Holder = tuple[str, int | None]
"""Service and index of the replica that has a device; ("", None) when the actor may not see it."""


@dataclass(frozen=True)
class DeviceUse:
    uuid: str
    product: str
    parent: Annotated[str, "UUID of the GPU that it is an instance of (MIG); empty for a whole GPU."]
    memory_gib: float
    memory_used_gib: Annotated[float | None, "As NVML measures it; null when it does not."]
    utilisation: Annotated[int | None, "Percent; null when NVML does not say it, such as of a MIG instance."]
    problem: Annotated[str, "Why it is given to nobody; empty when it works."]
    taken: Annotated[bool, "A replica has it."]
    service: Annotated[str, "The service that has it, if you may see that one."]
    replica: Annotated[int | None, "Index of the replica that has it, likewise."]

    @property
    def short(self) -> str:
        return shorten(self.uuid)


def holders(actor: Principal) -> dict[str, Holder]:
    """UUID -> who has it. Of a replica on standby and the one in its place, that one."""
    visible = set(Service.objects.visible_to(actor).values_list("pk", flat=True))
    rows = Replica.objects.order_by("pk").values_list("devices", "service_id", "service__name", "index", "state")
    by_device: dict[str, Holder] = {}
    for uuids, service, name, index, _ in sorted(rows, key=lambda row: row[-1] != Replica.STANDBY):
        by_device |= dict.fromkeys(uuids, (name, index) if service in visible else ("", None))
    return by_device


def of(node: Node, held_by: Mapping[str, Holder]) -> tuple[DeviceUse, ...]:
    live = {reading.get("uuid"): reading for reading in node.facts.get("gpus", ())}
    uses = []
    for device in node.parsed_devices:
        reading = {} if device.problem else live.get(device.uuid, {})
        service, replica = held_by.get(device.uuid, ("", None))
        uses.append(
            DeviceUse(
                uuid=device.uuid,
                product=device.product,
                parent=device.parent,
                memory_gib=round(device.memory_gib, 1),
                memory_used_gib=round(reading["memory_used_gib"], 1) if reading else None,
                utilisation=reading.get("utilisation"),
                problem=device.problem,
                taken=device.uuid in held_by,
                service=service,
                replica=replica,
            )
        )
    return tuple(uses)
