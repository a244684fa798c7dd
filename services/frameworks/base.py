"""The contract of a framework: how a model is described, configured and started. Pure: reads files, starts nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from services.specs import Launch, LaunchContext, ModelDescription


@dataclass(frozen=True)
class Availability:
    available: bool
    reason: str = ""
    """Why not, and what to run to change that."""


class Framework(ABC):
    name: ClassVar[str]
    label: ClassVar[str]

    @abstractmethod
    def availability(self, runtime: Path) -> Availability:
        """Whether the runtime environment at `runtime` is installed and complete."""

    @abstractmethod
    def parse_config(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """`framework_config` as people send it, normalised. Raises InvalidFields, keys `framework_config.<field>`."""

    @abstractmethod
    def refused_env(self, names: Iterable[str]) -> list[str]:
        """Of these names of environment variables, those that nobody may set: they would break the isolation."""

    @abstractmethod
    def describe(self, tree: Path, config: Mapping[str, Any]) -> ModelDescription:
        """What the files in `tree` say, with `config` overlaid. Never raises for bad files: they are `problems`."""

    @abstractmethod
    def launch(self, context: LaunchContext) -> Launch:
        """How to start one replica. Raises ModelError when the files cannot be served."""

    @abstractmethod
    def explain(self, log: Sequence[str]) -> str:
        """One sentence on why the process gave up, from the last lines of its log; "" when the log does not say."""
