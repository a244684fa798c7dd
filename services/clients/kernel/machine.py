"""What this machine has (CPU, memory, disk, GPUs through NVML when there is a driver) and how busy it is. No Django."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from services.clients.kernel import gpus
from services.clients.kernel.gpus import GIB, Gpu


@dataclass(frozen=True)
class Facts:
    hostname: str
    cores: int
    memory_gib: float
    memory_free_gib: float
    load: float
    """One-minute load average."""
    disk_gib: float
    disk_free_gib: float
    gpus: tuple[Gpu, ...] = ()
    """MIG instances among them, and not the GPUs that are cut into these."""
    lost: str = ""
    """Why NVML cannot say which device one of them is; "" when it can."""


def read(home: Path) -> Facts:
    """`home`: the directory on whose disk the store lies."""
    memory = psutil.virtual_memory()
    existing = next(path for path in (home, *home.parents) if path.exists())
    disk = shutil.disk_usage(existing)
    readings, lost = gpus.read()
    return Facts(
        hostname=platform.node(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=memory.total / GIB,
        memory_free_gib=memory.available / GIB,
        load=os.getloadavg()[0],
        disk_gib=disk.total / GIB,
        disk_free_gib=disk.free / GIB,
        gpus=tuple(readings),
        lost=lost,
    )


def labels(facts: Facts) -> dict[str, str]:
    """The labels that affinity rules match. Whole numbers, so that Gt and Lt work."""
    working = [gpu.device for gpu in facts.gpus if not gpu.device.problem]
    node_labels = {
        "hostname": facts.hostname,
        "arch": platform.machine(),
        "os": platform.system().lower(),
        "cpu": str(facts.cores),
        "memory_gib": str(int(facts.memory_gib)),
        "gpu.count": str(len(working)),
    }
    if working:
        node_labels["gpu.product"] = working[0].product
        node_labels["gpu.memory_gib"] = str(int(working[0].memory_gib))
    return node_labels


def live(facts: Facts) -> dict[str, Any]:
    """Readings that change, as JSON."""
    return {
        "hostname": facts.hostname,
        "cores": facts.cores,
        "load": round(facts.load, 2),
        "memory_gib": round(facts.memory_gib, 1),
        "memory_free_gib": round(facts.memory_free_gib, 1),
        "disk_gib": round(facts.disk_gib, 1),
        "disk_free_gib": round(facts.disk_free_gib, 1),
        "gpus": [gpu.to_json() for gpu in facts.gpus],
    }
