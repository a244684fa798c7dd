"""Reads a Hugging Face model folder: its configuration files, and what its weights are. Runs none of its code.

A file that was too large to be looked at beforehand is there with its size and holds zeros only (datasets.peek): then
what is inside is not known, and nothing is said of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from services.errors import ModelError

MOST_JSON: Final = 16 << 20
MOST_HEADER: Final = 100 << 20
PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
TOKENIZERS: Final = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json", "tiktoken.model",
)  # fmt: skip
BYTES_OF: Final = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1,
    "U8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1,
}  # fmt: skip


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
        """Of the language model: the whole config.json, or the part of a model that sees as well."""
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
        return tuple(name for name in self.names if name.endswith(PICKLES) and not name.startswith("training_args"))

    @property
    def gguf(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name.endswith(".gguf"))

    @property
    def weights_bytes(self) -> int:
        chosen = self.safetensors or self.pickles or self.gguf
        return sum((self.root / name).stat().st_size for name in chosen)

    @property
    def has_tokenizer(self) -> bool:
        return any(self.has(name) for name in TOKENIZERS)

    @property
    def has_chat_template(self) -> bool:
        if self.has("chat_template.jinja") or self.has("chat_template.json"):
            return True
        return bool(self.json("tokenizer_config.json").get("chat_template"))

    def missing_shards(self) -> list[str]:
        """Files that the index of the weights names and that are not there."""
        shards = self.json("model.safetensors.index.json").get("weight_map", {})
        return sorted({str(name) for name in shards.values()} - set(self.names)) if isinstance(shards, dict) else []

    def parameters(self) -> tuple[int, str]:
        """How many, and the datatype of most (as safetensors names it); (0, "") when the headers do not say."""
        counts: dict[str, int] = {}
        for name in self.safetensors:
            header = safetensors_header(self.root / name)
            if header is None:
                return 0, ""
            for tensor in header.values():
                start, end = span(tensor)
                kind = str(tensor["dtype"])
                counts[kind] = counts.get(kind, 0) + (end - start) // BYTES_OF.get(kind, 1)
        return (sum(counts.values()), max(counts, key=lambda name: counts[name])) if counts else (0, "")


def read_json(path: Path) -> dict[str, Any]:
    """{} for a file that is missing, or that is there with its size only."""
    if not path.is_file():
        return {}
    if path.stat().st_size > MOST_JSON:
        raise ModelError(f"{path.name} is larger than {MOST_JSON >> 20} MiB: that is no configuration.")
    content = path.read_bytes()
    if content and not content.strip(b"\0"):
        return {}
    try:
        made = json.loads(content)
    except RecursionError as error:
        raise ModelError(f"{path.name} is nested too deeply.") from error
    except ValueError as error:
        raise ModelError(f"{path.name} is not valid JSON: {error}.") from error
    if not isinstance(made, dict):
        raise ModelError(f"{path.name} must hold a JSON object.")
    return made


def safetensors_header(path: Path) -> dict[str, Any] | None:
    """Tensor name -> {dtype, shape, data_offsets}; None when it cannot be seen. Raises ModelError for a broken one."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length == 0:
            return None
        if length > MOST_HEADER or length > path.stat().st_size - 8:
            raise ModelError(f"{path.name} is not a safetensors file, or is cut short: copy it again.")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            end = max((span(tensor)[1] for tensor in header.values()), default=0)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{path.name} is not a safetensors file.") from error
    if end + 8 + length > path.stat().st_size:
        raise ModelError(f"{path.name} is cut short: copy it again.")
    return dict(header)


def span(tensor: Mapping[str, Any]) -> tuple[int, int]:
    """Where its bytes lie. Raises LookupError, ValueError, TypeError when a header's entry is none."""
    start, end = tensor["data_offsets"]
    if not isinstance(tensor["dtype"], str):
        raise ValueError("no datatype")
    return int(start), int(end)
