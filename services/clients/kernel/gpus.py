"""The GPUs of this machine, as NVML sees them: whole ones, and the MIG instances that some are cut into. No Django.

Tested with a stand-in for NVML (tests/services/nvml.py), never on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pynvml

from services.hardware import MIG, Device

GIB = 1 << 30
MIB = 1 << 20
SLICES: Final = 8
"""The memory of a GPU is cut into so many parts."""
MIG_MINORS: Final = Path("/proc/driver/nvidia-caps/mig-minors")
"""Lines such as "gpu0/gi1/ci0/access 13": the file in /dev/nvidia-caps that opens this instance."""


@dataclass(frozen=True)
class Gpu:
    device: Device
    memory_used_gib: float = 0.0
    utilisation: int | None = None
    """Percent; None for a MIG instance, of which NVML does not say it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "uuid": self.device.uuid,
            "product": self.device.product,
            "memory_gib": self.device.memory_gib,
            "memory_used_gib": self.memory_used_gib,
            "utilisation": self.utilisation,
        }


def read() -> tuple[list[Gpu], str]:
    """All of them, and why NVML does not know one that should be there. No driver or no GPU is not an error."""
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return [], ""
    except pynvml.NVMLError as error:
        return [], _sentence(error)
    try:
        return _read_all(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError as error:
        return [], _sentence(error)
    finally:
        pynvml.nvmlShutdown()


def _read_all(count: int) -> tuple[list[Gpu], str]:
    gpus: list[Gpu] = []
    lost = ""
    for index in range(count):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
        except pynvml.NVMLError as error:
            lost = _sentence(error)
            continue
        gpus += _read_one(handle, uuid)
    return gpus, lost


def _read_one(handle: Any, uuid: str) -> Iterator[Gpu]:
    """It, or its instances. One that answers with an error is there, with its problem."""
    device = Device(uuid, "", 0.0, -1)
    try:
        device = replace(device, minor=pynvml.nvmlDeviceGetMinorNumber(handle))
        device = replace(device, product=_label(pynvml.nvmlDeviceGetName(handle)))
        memory = _or_none(pynvml.nvmlDeviceGetMemoryInfo, handle)  # none of its own where it shares that of the machine
        device = replace(device, memory_gib=memory.total / GIB if memory else 0.0)
        mode = _or_none(pynvml.nvmlDeviceGetMigMode, handle)
        if mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE:
            instances = list(_instances(handle, device, memory.total if memory else 0))
        else:
            rates = _or_none(pynvml.nvmlDeviceGetUtilizationRates, handle)
            used = memory.used / GIB if memory else 0.0
            instances = [Gpu(device, used, None if rates is None else int(rates.gpu))]
    except pynvml.NVMLError as error:
        instances = [Gpu(replace(device, problem=_sentence(error)))]
    yield from instances


def _instances(handle: Any, parent: Device, total: int) -> Iterator[Gpu]:
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError_NotFound:  # fewer than there could be
            continue
        device = Device(_text(pynvml.nvmlDeviceGetUUID(instance)), "", 0.0, parent.minor, parent.uuid)
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(instance)
            device = replace(
                device,
                product=_product(instance, parent.product, total),
                memory_gib=memory.total / GIB,
                capabilities=_capabilities(instance, parent.minor),
            )
            yield Gpu(device, memory.used / GIB)
        except pynvml.NVMLError as error:
            yield Gpu(replace(device, problem=_sentence(error)))


def _product(instance: Any, whole: str, total: int) -> str:
    """As NVIDIA's device plugin has it; newer drivers say it themselves, of older ones it is worked out likewise."""
    name = _label(pynvml.nvmlDeviceGetName(instance))
    if MIG in name:
        return name
    attributes = pynvml.nvmlDeviceGetAttributes(instance)
    part = math.ceil(attributes.memorySizeMB * MIB / total * SLICES) / SLICES if total else 0
    memory = round(part * math.ceil(total / GIB))
    computing, slices = attributes.computeInstanceSliceCount, attributes.gpuInstanceSliceCount
    share = "" if computing == slices else f"{computing}c."
    return f"{whole}{MIG}{share}{slices}g.{memory}gb"


def _capabilities(instance: Any, minor: int) -> tuple[int, ...]:
    """Minors of the files that open this instance: of the GPU's part, and of the computing part in it."""
    whole = f"gpu{minor}/gi{pynvml.nvmlDeviceGetGpuInstanceId(instance)}"
    names = f"{whole}/access", f"{whole}/ci{pynvml.nvmlDeviceGetComputeInstanceId(instance)}/access"
    try:
        minors = dict(line.rsplit(maxsplit=1) for line in MIG_MINORS.read_text().splitlines() if line.strip())
    except (OSError, ValueError):
        return ()
    return tuple(int(minors[name]) for name in names if name in minors)


def _or_none(ask: Callable[[Any], Any], handle: Any) -> Any:
    """None for what this kind of GPU does not say."""
    try:
        return ask(handle)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _label(name: str | bytes) -> str:
    return _text(name).replace(" ", "-")


def _sentence(error: Exception) -> str:
    return f"NVML: {error}."
