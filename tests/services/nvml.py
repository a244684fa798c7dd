"""NVML's calls, as far as the console makes them, of eight GPUs that are not there: two are cut into MIG instances.

The one place that stands in for a GPU: nothing of this product has been run on one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from services.clients.kernel import gpus

GIB = 1 << 30
PRODUCT = "NVIDIA A100-SXM4-80GB"
WHOLE = "NVIDIA-A100-SXM4-80GB"
HALF = f"{WHOLE}-MIG-3g.40gb"
QUARTER = f"{WHOLE}-MIG-2g.20gb"
CALLS = (
    "nvmlInit",
    "nvmlShutdown",
    "nvmlDeviceGetCount",
    "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMinorNumber",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetAttributes",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetComputeInstanceId",
)


@dataclass
class Part:
    """A handle: of a GPU, or of an instance. What fails or is not known raises as NVML does."""

    uuid: str
    name: str
    memory: int
    minor: int = 0
    used: int = 0
    utilisation: int = 0
    error: int = 0
    instances: list[Part] = field(default_factory=list)
    slices: int = 0
    is_instance: bool = False
    gi: int = 0


def gpu_uuid(number: int) -> str:
    return f"GPU-{number:08x}-0000-4000-8000-000000000000"


def mig_uuid(number: int, instance: int) -> str:
    return f"MIG-{number:04x}{instance:04x}-0000-5000-8000-000000000000"


class FakeNvml:
    """Six whole GPUs; the seventh has two halves, the eighth a half and two quarters: eleven devices."""

    def __init__(self, cut: bool = True) -> None:
        self.init_error = 0
        self.unreachable: set[int] = set()
        """Indexes without a handle."""
        self.gpus = [Part(gpu_uuid(n), PRODUCT, 80 * GIB, minor=n, used=n * GIB, utilisation=n) for n in range(8)]
        for number, sizes in ((6, (3, 3)), (7, (3, 2, 2))) if cut else ():
            self.gpus[number].instances = [
                Part(
                    mig_uuid(number, index),
                    f"{PRODUCT} MIG {slices}g.{40 if slices == 3 else 20}gb",
                    (40 if slices == 3 else 20) * GIB - 100 * (1 << 20),
                    slices=slices,
                    is_instance=True,
                    gi=index + 1,
                )
                for index, slices in enumerate(sizes)
            ]

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path | None = None) -> FakeNvml:
        for name in CALLS:
            monkeypatch.setattr(pynvml, name, getattr(self, name))
        if folder is not None:
            minors = folder / "mig-minors"
            lines = ["config 1", "monitor 2"]
            for number, gi in ((6, 1), (6, 2), (7, 1), (7, 2), (7, 3)):
                lines += [f"gpu{number}/gi{gi}/access {number * 10 + gi}"]
                lines += [f"gpu{number}/gi{gi}/ci0/access {number * 100 + gi}"]
            minors.write_text("\n".join(lines) + "\n")
            monkeypatch.setattr(gpus, "MIG_MINORS", minors)
        return self

    def fail(self, uuid: str, error: int = pynvml.NVML_ERROR_GPU_IS_LOST) -> None:
        for gpu in self.gpus:
            for part in (gpu, *gpu.instances):
                if part.uuid == uuid:
                    part.error = error

    def _check(self, part: Part) -> Part:
        if part.error:
            raise pynvml.NVMLError(part.error)
        return part

    def nvmlInit(self) -> None:
        if self.init_error:
            raise pynvml.NVMLError(self.init_error)

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Part:
        if index in self.unreachable:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, part: Part) -> str:
        return part.uuid

    def nvmlDeviceGetName(self, part: Part) -> str:
        return self._check(part).name

    def nvmlDeviceGetMinorNumber(self, part: Part) -> int:
        return self._check(part).minor

    def nvmlDeviceGetMemoryInfo(self, part: Part) -> Any:
        self._check(part)
        return SimpleNamespace(total=part.memory, used=part.used)

    def nvmlDeviceGetUtilizationRates(self, part: Part) -> Any:
        if part.is_instance or part.instances:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=self._check(part).utilisation)

    def nvmlDeviceGetMigMode(self, part: Part) -> list[int]:
        mode = int(bool(self._check(part).instances))
        return [mode, mode]

    def nvmlDeviceGetMaxMigDeviceCount(self, part: Part) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, part: Part, index: int) -> Part:
        if index >= len(part.instances):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return part.instances[index]

    def nvmlDeviceGetAttributes(self, part: Part) -> Any:
        return SimpleNamespace(
            gpuInstanceSliceCount=part.slices, computeInstanceSliceCount=part.slices, memorySizeMB=part.memory >> 20
        )

    def nvmlDeviceGetGpuInstanceId(self, part: Part) -> int:
        return part.gi

    def nvmlDeviceGetComputeInstanceId(self, part: Part) -> int:
        return 0
