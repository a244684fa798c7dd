"""CPU, memory and GPU amounts: adding, comparing, and saying them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.specs import Resources


@dataclass(frozen=True)
class Amount:
    """An amount of everything. `gpus` counts by product; the product "" stands for GPUs of any type."""

    cpu: float = 0.0
    memory_gib: float = 0.0
    gpus: Mapping[str, int] = field(default_factory=dict)

    def plus(self, resources: Resources) -> Amount:
        gpus = dict(self.gpus)
        if resources.gpu:
            gpus[resources.gpu_type] = gpus.get(resources.gpu_type, 0) + resources.gpu
        return Amount(self.cpu + resources.cpu, self.memory_gib + resources.memory_gib, gpus)

    def minus(self, part: Amount) -> Amount:
        """`part` is part of it."""
        gpus = {kind: count - part.gpus.get(kind, 0) for kind, count in self.gpus.items()}
        return Amount(self.cpu - part.cpu, self.memory_gib - part.memory_gib, gpus)


def total(claims: Iterable[Resources]) -> Amount:
    amount = Amount()
    for claim in claims:
        amount = amount.plus(claim)
    return amount


def larger(first: Amount, second: Amount) -> Amount:
    """The larger amount of each kind."""
    kinds = {*first.gpus, *second.gpus}
    return Amount(
        max(first.cpu, second.cpu),
        max(first.memory_gib, second.memory_gib),
        {kind: max(first.gpus.get(kind, 0), second.gpus.get(kind, 0)) for kind in kinds},
    )


def sum_up(parts: Iterable[Amount]) -> Amount:
    cpu, memory_gib, gpus = 0.0, 0.0, dict[str, int]()
    for part in parts:
        cpu, memory_gib = cpu + part.cpu, memory_gib + part.memory_gib
        for kind, count in part.gpus.items():
            gpus[kind] = gpus.get(kind, 0) + count
    return Amount(cpu, memory_gib, gpus)


ReplicaClaim = tuple[int, bool, Resources]
"""One replica: its service, whether it is on standby, and its resources."""


def claimed(replicas: Iterable[ReplicaClaim]) -> Amount:
    """What replicas claim.

    Replicas on standby and those that take their place hold one claim, the larger of the two.
    """
    active: dict[int, Amount] = {}
    standby: dict[int, Amount] = {}
    for service, is_standby, resources in replicas:
        side = standby if is_standby else active
        side[service] = side.get(service, Amount()).plus(resources)
    nothing = Amount()
    return sum_up(larger(active.get(key, nothing), standby.get(key, nothing)) for key in active.keys() | standby.keys())


def shortages(resources: Resources, have: Amount, used: Amount) -> list[str]:
    """What is missing for `resources`, a phrase each ("needs 2 GPU NVIDIA-H200, 1 free"); empty when it fits."""
    lacking: list[str] = []
    free_cpu, free_memory = have.cpu - used.cpu, have.memory_gib - used.memory_gib
    if resources.cpu and resources.cpu > free_cpu + 1e-9:
        lacking.append(f"needs {resources.cpu:g} CPU, {max(0.0, free_cpu):g} free")
    if resources.memory_gib and resources.memory_gib > free_memory + 1e-9:
        lacking.append(f"needs {resources.memory_gib:g} GiB of memory, {max(0.0, free_memory):.4g} GiB free")
    if resources.gpu:
        free = free_gpus(resources.gpu_type, have.gpus, used.gpus)
        if resources.gpu > free:
            kind = f" {resources.gpu_type}" if resources.gpu_type else ""
            lacking.append(f"needs {resources.gpu} GPU{kind}, {max(0, free)} free")
    return lacking


def free_gpus(product: str, have: Mapping[str, int], used: Mapping[str, int]) -> int:
    """GPUs that may still be claimed as `product` ("" is any).

    A quota or node may count GPUs by product, or under "" for any type. A claim of any type may take whatever product
    is left, so what is free for one product is bounded by what is free in all.
    """
    free_in_all = sum(have.values()) - sum(used.values())
    if not product:
        return free_in_all
    return min(free_in_all, have.get(product, 0) + have.get("", 0) - used.get(product, 0))


def share(part: Amount, whole: Amount) -> float:
    """How much of `whole` that is: of CPU, memory or GPUs, whichever it takes most of."""
    pairs = (
        (part.cpu, whole.cpu),
        (part.memory_gib, whole.memory_gib),
        (sum(part.gpus.values()), sum(whole.gpus.values())),
    )
    return max(taken / have if have else float(taken > 0) for taken, have in pairs)


def say(resources: Resources) -> str:
    """`2 CPU, 4 GiB, 1 GPU NVIDIA-H200`."""
    parts = [f"{resources.cpu:g} CPU", f"{resources.memory_gib:g} GiB"]
    if resources.gpu:
        parts.append(f"{resources.gpu} GPU {resources.gpu_type}".strip())
    return ", ".join(parts)
