"""What is said of a folder of model files: plain values, stored as JSON beside a copy. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import TypeAdapter

VERSION: Final = 4
"""Version of the readers. A stored report of another version is made again."""


@dataclass(frozen=True)
class Executable:
    """Content that runs as code when it is loaded.

    kind: python, pickle, torchscript, auto_map, keras_lambda, library, bytecode, script, archive, configuration,
    plan, backend or setting.
    """

    path: str
    kind: str
    said: str
    """One sentence for people."""
    runs: bool = True
    """False for what merely lies there: nothing that serves this folder opens it."""
    seen: bool = True
    """False for what was not looked into, as it lies at its source: it may turn out to be harmless."""
    imports: tuple[str, ...] = ()
    """For a pickle: what loading it imports and may call, as `module.name`."""
    others: tuple[str, ...] = ()
    """Files that run with it, as those that a program may import."""


@dataclass(frozen=True)
class ModelTensor:
    """An input or output as the model's file has it; in `shape` a text is a named free size, -1 an unnamed one."""

    name: str
    datatype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Difference:
    """One row of config.pbtxt beside the model. verdict: same, left_out, differs (works in places) or wrong."""

    what: str
    config: str
    model: str
    verdict: str
    said: str = ""
    """What follows from it, and what to do; "" when they agree."""


@dataclass(frozen=True)
class Memory:
    """What a language model needs of a GPU, in bytes. See huggingface/memory.py for the formula."""

    weights: int
    kv_per_token: int | None
    """None when the architecture's cache cannot be told from config.json."""
    max_model_len: int | None


@dataclass(frozen=True)
class Report:
    """`kind` as of recognise.py, and gguf. `problems` stop a model from being served; `notes` do not."""

    kind: str
    summary: str
    name: str = ""
    """Name of the folder, in a repository of several models."""
    facts: tuple[tuple[str, str], ...] = ()
    inputs: tuple[ModelTensor, ...] = ()
    outputs: tuple[ModelTensor, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    executable: tuple[Executable, ...] = ()
    comparison: tuple[Difference, ...] = ()
    suggested: str = ""
    """A complete config.pbtxt."""
    memory: Memory | None = None
    models: tuple[Report, ...] = ()
    """Reports of the models of a Triton repository."""
    whole: bool = True
    """False when it was not looked at to its end: then there may be more, in `executable` too."""
    version: int = VERSION

    @property
    def runs_code(self) -> tuple[Executable, ...]:
        """What would run here if it were served."""
        own = tuple(entry for entry in self.executable if entry.runs)
        return own + tuple(entry for model in self.models for entry in model.runs_code)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """The inverse. Raises LookupError or ValueError for JSON that is no report of this version."""
        if data["version"] != VERSION:
            raise ValueError("a report of another version")
        return _ADAPTER.validate_python(data)


_ADAPTER: Final = TypeAdapter(Report)
