"""vLLM, announced but not served yet: it says so wherever it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from services.clients import openai_health, prometheus
from services.clients.loopback import ProbeResult
from services.errors import ModelError
from services.frameworks.base import Availability, Framework
from services.specs import Launch, LaunchContext, ModelDescription, Ports

REASON: Final = "The vLLM runtime is not installed: it arrives in a later release."

FINISHED_WORK: Final = frozenset({"vllm:prompt_tokens", "vllm:generation_tokens", "vllm:request_success"})


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

    def needs_administrator(self, config: Mapping[str, Any]) -> list[str]:
        return []

    def start_seconds(self, config: Mapping[str, Any]) -> int:
        return 600

    def probe(self, host: str, ports: Ports, service: str, timeout: float) -> ProbeResult:
        return openai_health.probe(host, ports.http, service, timeout)

    def answers(self, host: str, ports: Ports, service: str, timeout: float) -> bool:
        return openai_health.answers(host, ports.http, service, timeout)

    def progress(self, host: str, ports: Ports, timeout: float) -> float:
        """Tokens read, tokens written, requests ended."""
        return prometheus.total(host, ports.http, FINISHED_WORK.__contains__, timeout)
