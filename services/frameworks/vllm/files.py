"""Reads a Hugging Face model folder: its configuration files, and what its weights are. Runs none of its code.

A file that was too large to be looked at beforehand is there with its size and holds zeros (datasets.queries.peek).
Then what is inside is not known, and nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets.inspect.errors import Unreadable
from datasets.inspect.formats import safetensors
from datasets.inspect.huggingface import model as huggingface
from datasets.inspect.huggingface.model import NOT_WEIGHTS, PICKLES
from services.errors import ModelError


@dataclass(frozen=True)
class Folder:
    """A model's folder. Reading raises ModelError for a file that is broken; one that is missing reads as {}."""

    root: Path
    cache: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False)

    def has(self, name: str) -> bool:
        return (self.root / name).is_file()

    def json(self, name: str) -> dict[str, Any]:
        if name not in self.cache:
            self.cache[name] = read_json(self.root / name)
        return self.cache[name]

    @property
    def config(self) -> dict[str, Any]:
        return self.json("config.json")

    @property
    def text_config(self) -> Mapping[str, Any]:
        """Config of the language model: the whole config.json, or the part of a model that sees as well."""
        inner = self.config.get("text_config")
        return inner if isinstance(inner, dict) else self.config

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self.root.iterdir() if path.is_file()))

    @property
    def safetensors(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name.endswith(".safetensors"))

    @property
    def pickles(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name.endswith(PICKLES) and not name.startswith(NOT_WEIGHTS))

    @property
    def gguf(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name.endswith(".gguf"))

    @property
    def has_chat_template(self) -> bool:
        if self.has("chat_template.jinja") or self.has("chat_template.json"):
            return True
        return bool(self.json("tokenizer_config.json").get("chat_template"))


def read_json(path: Path) -> dict[str, Any]:
    """{} for a file that is missing, or that is there with its size only."""
    try:
        return huggingface.read_json(path)
    except Unreadable as error:
        raise ModelError(f"{error}.") from error


def check_safetensors(path: Path) -> None:
    """Raises ModelError for a broken file."""
    try:
        safetensors.read(path)
    except Unreadable as error:
        raise ModelError(f"{path.name}: {error}.") from error
