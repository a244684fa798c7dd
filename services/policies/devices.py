"""Which devices does a replica get, and what is held of a node's? Pure.

No two replicas have a device in common, but for one on standby and one that takes its place: of these two, only one has
a process at a time (services/control/replicas/devices.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from services.hardware import Device, is_instance
from services.policies import amounts
from services.policies.amounts import Amount
from services.specs import Resources

Holder = tuple[int, bool, Resources, Sequence[str]]
"""One replica: its service, whether it is on standby, its resources, and the UUIDs of its devices."""


def well(devices: Iterable[Device]) -> list[Device]:
    return [device for device in devices if not device.problem]


def counts(devices: Iterable[Device]) -> dict[str, int]:
    """Product -> how many can be given out."""
    return dict(Counter(device.product for device in well(devices)))


def usable(gpus: Mapping[str, int], count: int) -> dict[str, int]:
    """Those of `gpus` (product -> count) that may be among `count` devices of one replica.

    CUDA shows a process one MIG instance, however many are named: a replica that asks for several gets whole GPUs.
    """
    return {product: number for product, number in gpus.items() if count == 1 or not is_instance(product)}


def choose(
    devices: Sequence[Device],
    taken: Set[str],
    resources: Resources,
    replicas: int,
    prefer: Set[str] = frozenset(),
) -> list[tuple[str, ...]]:
    """The UUIDs for each of `replicas` on a node with these devices; empty when there are too few.

    `taken`: UUIDs that others have. `prefer`: what the replicas that are replaced have, which nobody else can get.
    """
    free = [device for device in well(devices) if device.uuid not in taken and _suits(device, resources)]
    given: list[tuple[str, ...]] = []
    for _ in range(replicas):
        picked = _pick(free, resources.gpu, prefer)
        if len(picked) < resources.gpu:
            return []
        given.append(tuple(device.uuid for device in picked))
        free = [device for device in free if device not in picked]
    return given


def _suits(device: Device, resources: Resources) -> bool:
    is_asked_for = resources.gpu_type in ("", device.product)
    return is_asked_for and bool(usable({device.product: 1}, resources.gpu))


def _pick(free: Sequence[Device], count: int, prefer: Set[str]) -> list[Device]:
    """One product if possible, whole GPUs first; then the product of which most are left, so that others stay too."""
    left = Counter(device.product for device in free)
    liked = Counter(device.product for device in free if device.uuid in prefer)

    def order(device: Device) -> tuple[bool, int, bool, int, str, bool]:
        product = device.product
        too_few, is_other = left[product] < count, device.uuid not in prefer
        return too_few, -liked[product], is_instance(product), -left[product], product, is_other

    return sorted(free, key=order)[:count]


def held(holders: Iterable[Holder], devices: Iterable[Device]) -> Amount:
    """What replicas hold of the node that has these devices.

    GPUs count by the product of the devices, whatever was asked for. One that has fallen out counts no more: it is not
    in what the node offers either. A replica of an earlier release has none yet, and counts by what it claims.
    """
    products = {device.uuid: device.product for device in well(devices)}
    rows = list(holders)
    claims = [(key, standby, replace(each, gpu=0) if uuids else each) for key, standby, each, uuids in rows]
    amount = amounts.claimed(claims)
    uuids = {uuid for *_, named in rows for uuid in named}
    gpus = Counter(amount.gpus)
    gpus.update(products[uuid] for uuid in uuids if uuid in products)
    return Amount(amount.cpu, amount.memory_gib, dict(gpus))


def merge(before: Iterable[Device], now: Sequence[Device], held_uuids: Set[str], lost: str) -> list[Device]:
    """What a node writes down: `now`, as NVML says, and of those that it had `before`, the ones that fell out.

    These stay while a replica has them, or while NVML says that it cannot read one (`lost`, why).
    """
    earlier, listed = {device.uuid: device for device in before}, {device.uuid for device in now}
    # NVML may not even know the name of one that fails.
    current = [
        replace(earlier[device.uuid], problem=device.problem) if device.problem and device.uuid in earlier else device
        for device in now
    ]
    problem = lost or "NVML no longer lists it."
    gone = [replace(device, problem=problem) for device in earlier.values() if device.uuid not in listed]
    return [*current, *(device for device in gone if lost or device.uuid in held_uuids)]


def lacking(node: str, devices: Sequence[Device], resources: Resources) -> str:
    """Why there are no devices although there is room by numbers."""
    if not devices:
        return f"Node {node} has not reported its GPUs one by one yet."
    several = f"{resources.gpu} GPUs" if resources.gpu > 1 else "GPU"
    kind = f" {resources.gpu_type}" if resources.gpu_type else ""
    return f"Node {node} has no {several}{kind} left for each replica that is free and works."
