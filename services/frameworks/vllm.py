"""vLLM, announced but not served yet: it says so wherever it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from services.errors import ModelError
from services.frameworks.base import Availability, Framework
from services.specs import Launch, LaunchContext, ModelDescription

REASON: Final = "The vLLM runtime is not installed: it arrives in a later release."


class Vllm(Framework):
    name: ClassVar[str] = "vllm"
    label: ClassVar[str] = "vLLM"

    def availability(self, runtime: Path) -> Availability:
        return Availability(available=False, reason=REASON)

    def parse_config(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        raise ModelError(REASON, hint="Choose Triton.")

    def refused_env(self, names: Iterable[str]) -> list[str]:
        return []

    def describe(self, tree: Path, config: Mapping[str, Any]) -> ModelDescription:
        return ModelDescription(problems=(REASON,))

    def launch(self, context: LaunchContext) -> Launch:
        raise ModelError(REASON, hint="Choose Triton.")

    def explain(self, log: Sequence[str]) -> str:
        return ""
