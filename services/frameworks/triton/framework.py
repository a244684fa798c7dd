"""NVIDIA Triton as a framework: each method is one module of this package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from services.frameworks.base import Availability, Framework
from services.frameworks.triton import describe, explain, launch, options, runtime
from services.specs import Launch, LaunchContext, ModelDescription


class Triton(Framework):
    name: ClassVar[str] = "triton"
    label: ClassVar[str] = "NVIDIA Triton"

    def availability(self, runtime: Path) -> Availability:
        return availability(runtime)

    def parse_config(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return options.parse(raw)

    def refused_env(self, names: Iterable[str]) -> list[str]:
        return launch.refused_env(names)

    def describe(self, tree: Path, config: Mapping[str, Any]) -> ModelDescription:
        return describe.describe(tree, config)

    def launch(self, context: LaunchContext) -> Launch:
        return launch.render(context)

    def explain(self, log: Sequence[str]) -> str:
        return explain.explain(log)


def availability(root: Path) -> Availability:
    reason = runtime.problem(root)
    return Availability(available=not reason, reason=reason)
