"""vLLM as a framework: each method is one module of this package, or a client's question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import TypeAdapter

from services.clients.probes import openai_health, prometheus
from services.clients.probes.exchange import ProbeResult
from services.frameworks import variables
from services.frameworks.base import Framework
from services.frameworks.vllm import describe, env, explain, launch, options
from services.frameworks.vllm.runtime import problem
from services.listeners import Listeners
from services.specs import Launch, LaunchContext, ModelDescription

LOGGED: Final = dict.fromkeys(env.ALLOWED, variables.WORDS)
FINISHED_WORK: Final = frozenset(
    {
        "vllm:prompt_tokens",
        "vllm:generation_tokens",
        "vllm:request_success",
        "vllm:iteration_tokens_total",
    }
)
REMOTE_CODE: Final = (
    "Only an administrator may set trust_remote_code: it runs Python code of the model with the rights of the console."
)


class Vllm(Framework):
    name: ClassVar[str] = "vllm"
    label: ClassVar[str] = "vLLM"
    options: ClassVar[TypeAdapter[Any]] = options.SHAPE
    stall_seconds: ClassVar[int] = 30
    warms_up: ClassVar[bool] = True

    def missing(self, runtime: Path) -> str:
        return problem(runtime)

    def refused_env(self, names: Iterable[str]) -> list[str]:
        return env.refused(names)

    def unlisted_env(self, env: Mapping[str, str]) -> dict[str, str]:
        return variables.unlisted(env, LOGGED)

    def describe(self, tree: Path, config: Mapping[str, Any], service: str = "") -> ModelDescription:
        return describe.describe(tree, config)

    def launch(self, context: LaunchContext) -> Launch:
        return launch.render(context)

    def explain(self, log: Sequence[str]) -> str:
        return explain.explain(log)

    def needs_administrator(self, config: Mapping[str, Any]) -> list[str]:
        return [REMOTE_CODE] if config.get("trust_remote_code") else []

    def start_seconds(self, config: Mapping[str, Any]) -> int:
        return int(config.get("startup_timeout_seconds", options.START_SECONDS))

    def probe(self, listeners: Listeners, service: str, timeout: float) -> ProbeResult:
        return openai_health.probe(listeners.http, service, timeout)

    def warm_up(self, listeners: Listeners, service: str, timeout: float) -> None:
        openai_health.warm_up(listeners.http, service, timeout)

    def answers(self, listeners: Listeners, service: str, timeout: float) -> bool:
        return openai_health.answers(listeners.http, service, timeout)

    def progress(self, listeners: Listeners, timeout: float) -> float:
        """Tokens read, tokens written, requests ended, and steps of its engine: a long prompt takes many."""
        return prometheus.total(listeners.http, FINISHED_WORK.__contains__, timeout)
