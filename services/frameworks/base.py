"""The contract of a framework: how a model is described, configured, started and asked how it is.

Starts nothing: files in, values out, and a few questions to a replica where it listens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from console.errors import InvalidFields
from services.clients.probes.exchange import ProbeResult
from services.listeners import Listeners
from services.schema.structure import messages_of
from services.specs import Launch, LaunchContext, ModelDescription


class Framework(ABC):
    name: ClassVar[str]
    label: ClassVar[str]
    options: ClassVar[TypeAdapter[Any]]
    """The shape of `framework_config`."""
    warms_up: ClassVar[bool] = False
    """Whether `warm_up` does anything."""
    stall_seconds: ClassVar[int]
    """Where a service does not say for how long a replica may rest with a request before it is tested."""

    @abstractmethod
    def missing(self, runtime: Path) -> str:
        """Why the runtime environment at `runtime` cannot be used, and what to run to change that; "" when it can."""

    def parse_config(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """`framework_config` as people send it, as JSON: only the options that set something.

        Raises InvalidFields, keys `framework_config.<field>`.
        """
        try:
            checked = self.options.validate_python({name: value for name, value in raw.items() if value is not None})
        except ValidationError as error:
            raise InvalidFields(messages_of(error, "framework_config")) from None
        config = self.options.dump_python(checked, mode="json")
        return {name: value for name, value in config.items() if value is not False and value not in ("", [], {})}

    @abstractmethod
    def refused_env(self, names: Iterable[str]) -> list[str]:
        """The names among these environment variables that nobody may set: they would break the isolation."""

    @abstractmethod
    def unlisted_env(self, env: Mapping[str, str]) -> dict[str, str]:
        """The variables that only a service on a trusted dataset may set: name -> why, in a sentence."""

    @abstractmethod
    def describe(self, tree: Path, config: Mapping[str, Any], service: str = "") -> ModelDescription:
        """What the files in `tree` say, with `config` overlaid. Never raises for bad files: they are `problems`.

        `service`: the name of the service, "" while it has none.
        """

    def lacks(self, description: ModelDescription, runtime: Path) -> list[str]:
        """What these models need and the runtime environment at `runtime` does not have, one sentence each."""
        return []

    @abstractmethod
    def launch(self, context: LaunchContext) -> Launch:
        """How to start one replica. Raises ModelError when the files cannot be served."""

    @abstractmethod
    def explain(self, log: Sequence[str]) -> str:
        """One sentence on why the process gave up, from the last lines of its log; "" when the log does not say."""

    def needs_administrator(self, config: Mapping[str, Any]) -> list[str]:
        """What in a parsed `config` only an administrator may ask for, one sentence each; empty when everybody may."""
        return []

    @abstractmethod
    def start_seconds(self, config: Mapping[str, Any]) -> int:
        """How long a replica with this parsed `config` may take to be ready before it counts as failed."""

    @abstractmethod
    def probe(self, listeners: Listeners, service: str, timeout: float) -> ProbeResult:
        """Whether a replica takes requests for the model `service`; never raises for a bad server. `timeout` in s."""

    @abstractmethod
    def warm_up(self, listeners: Listeners, service: str, timeout: float) -> None:
        """Make a new process do once what takes long the first time. Raises ProbeError when it gives no answer."""

    @abstractmethod
    def answers(self, listeners: Listeners, service: str, timeout: float) -> bool:
        """Whether it still computes, whatever its health endpoint says: one tiny inference within `timeout` seconds.

        Any answer counts, an error of the model too; so does a model that cannot be asked. Never raises.
        """

    @abstractmethod
    def progress(self, listeners: Listeners, timeout: float) -> float:
        """A number that grows with the work that a replica finishes, and starts anew when the replica does.

        Of its own counters: compare it with an earlier one only. Raises ProbeError when it cannot be had.
        """
