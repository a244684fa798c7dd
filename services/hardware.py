"""A GPU, or one of the instances that a GPU is cut into (MIG): what a replica is given. No Django."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

MIG: Final = "-MIG-"
"""Part of the product of an instance, as NVIDIA's device plugin names it: NVIDIA-A100-SXM4-80GB-MIG-3g.40gb."""


@dataclass(frozen=True)
class Device:
    uuid: str
    """As CUDA_VISIBLE_DEVICES takes it."""
    product: str
    """As a label: spaces become dashes ("NVIDIA-H200")."""
    memory_gib: float
    minor: int
    """Number in the name of its file, /dev/nvidia<minor>; for a MIG instance, that of its GPU."""
    parent: str = ""
    """UUID of the GPU that a MIG instance is part of."""
    capabilities: tuple[int, ...] = ()
    """For a MIG instance: minors of the files in /dev/nvidia-caps that open it, and none beside it."""
    problem: str = ""
    """Why it cannot be used, a sentence; "" when it can."""

    @property
    def short(self) -> str:
        return shorten(self.uuid)

    @property
    def files(self) -> tuple[Path, ...]:
        """What a process must open to use it, beside the files that all of NVIDIA's devices share."""
        capabilities = (Path(f"/dev/nvidia-caps/nvidia-cap{minor}") for minor in self.capabilities)
        return Path(f"/dev/nvidia{self.minor}"), *capabilities

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "capabilities": list(self.capabilities)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Device:
        return cls(**{**data, "capabilities": tuple(data.get("capabilities", ()))})


def shorten(uuid: str) -> str:
    """Enough of it to tell a device from others: GPU-1a2b3c4d."""
    return "-".join(uuid.split("-")[:2])


def is_instance(product: str) -> bool:
    """Whether devices of this product are MIG instances."""
    return MIG in product
