"""NVIDIA Triton as a framework: each method is one module of this package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import TypeAdapter

from services.clients.probes import kserve_v2, prometheus, triton_alive
from services.clients.probes.exchange import ProbeResult
from services.frameworks import variables
from services.frameworks.base import Framework
from services.frameworks.triton import describe, explain, launch, options
from services.frameworks.triton.runtime import locate, problem
from services.listeners import Listeners
from services.specs import Launch, LaunchContext, ModelDescription

START_SECONDS: Final = 600


class Triton(Framework):
    name: ClassVar[str] = "triton"
    label: ClassVar[str] = "NVIDIA Triton"
    options: ClassVar[TypeAdapter[Any]] = options.SHAPE
    stall_seconds: ClassVar[int] = 15

    def missing(self, runtime: Path) -> str:
        return problem(runtime)

    def refused_env(self, names: Iterable[str]) -> list[str]:
        return launch.refused_env(names)

    def unlisted_env(self, env: Mapping[str, str]) -> dict[str, str]:
        return variables.unlisted(env)

    def describe(self, tree: Path, config: Mapping[str, Any], service: str = "") -> ModelDescription:
        return describe.describe(tree, config, service)

    def lacks(self, description: ModelDescription, runtime: Path) -> list[str]:
        models = [(model.name, model.backend) for model in description.models] or [("", description.backend)]
        installed = locate(runtime)
        sentences = (launch.lacking_backend(folder, backend, installed) for folder, backend in models)
        return [sentence for sentence in sentences if sentence]

    def launch(self, context: LaunchContext) -> Launch:
        return launch.render(context)

    def explain(self, log: Sequence[str]) -> str:
        return explain.explain(log)

    def start_seconds(self, config: Mapping[str, Any]) -> int:
        return START_SECONDS

    def probe(self, listeners: Listeners, service: str, timeout: float) -> ProbeResult:
        return kserve_v2.probe(listeners.http, service, timeout)

    def warm_up(self, listeners: Listeners, service: str, timeout: float) -> None:
        """Nothing: Triton itself runs the `model_warmup` of a model, and our inference could change a state."""

    def answers(self, listeners: Listeners, service: str, timeout: float) -> bool:
        return triton_alive.answers(listeners, service, timeout)

    def progress(self, listeners: Listeners, timeout: float) -> float:
        """All counters of inferences: done, failed, executed, and the time they took; not those that only wait.

        Of all its models: one request may be many to the models that it calls, and be done long after them.
        """

        def counts(name: str) -> bool:
            return name.startswith("nv_inference_") and "pending" not in name

        return prometheus.total(listeners.metrics, counts, timeout)
