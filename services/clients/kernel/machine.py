"""What this machine has (CPU, memory, disk, GPUs through NVML when there is a driver) and how busy it is. No Django."""

from __future__ import annotations

import os
import platform
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pynvml

GIB = 1 << 30


@dataclass(frozen=True)
class Gpu:
    product: str
    """As a label: spaces become dashes ("NVIDIA-H200")."""
    memory_gib: float
    memory_used_gib: float
    utilisation: int
    """Percent."""


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
    devices: tuple[Gpu, ...]

    @property
    def gpus(self) -> Mapping[str, int]:
        return Counter(device.product for device in self.devices)


def read(home: Path) -> Facts:
    """`home`: the directory on whose disk the store lies."""
    memory = psutil.virtual_memory()
    existing = next(path for path in (home, *home.parents) if path.exists())
    disk = shutil.disk_usage(existing)
    return Facts(
        hostname=platform.node(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=memory.total / GIB,
        memory_free_gib=memory.available / GIB,
        load=os.getloadavg()[0],
        disk_gib=disk.total / GIB,
        disk_free_gib=disk.free / GIB,
        devices=tuple(_devices()),
    )


def _devices() -> list[Gpu]:
    """No driver, no library or no device: no GPUs, and that is not an error."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_device(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _device(handle: Any) -> Gpu:
    name = pynvml.nvmlDeviceGetName(handle)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        product=str(name.decode() if isinstance(name, bytes) else name).replace(" ", "-"),
        memory_gib=memory.total / GIB,
        memory_used_gib=memory.used / GIB,
        utilisation=int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
    )


def labels(facts: Facts) -> dict[str, str]:
    """The labels that affinity rules match. Whole numbers, so that Gt and Lt work."""
    node_labels = {
        "hostname": facts.hostname,
        "arch": platform.machine(),
        "os": platform.system().lower(),
        "cpu": str(facts.cores),
        "memory_gib": str(int(facts.memory_gib)),
        "gpu.count": str(len(facts.devices)),
    }
    if facts.devices:
        node_labels["gpu.product"] = facts.devices[0].product
        node_labels["gpu.memory_gib"] = str(int(facts.devices[0].memory_gib))
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
        "gpus": [vars(device) for device in facts.devices],
    }
