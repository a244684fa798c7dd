"""What a folder is to Triton by the names in it, be they of a directory or of a listing. Pure but for `Names.of`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.config_pbtxt.rows import listed
from datasets.inspect.triton import versions

DEFAULT_FILES: Final = {
    "onnxruntime": "model.onnx",
    "python": "model.py",
    "pytorch": "model.pt",
    "tensorrt": "model.plan",
    "openvino": "model.xml",
    "tensorrtllm": "",
    "vllm": "model.json",
}
"""Backend -> the file of a version folder that it loads when config.pbtxt does not say otherwise."""
BACKENDS: Final = {
    "model.savedmodel": "tensorflow",
    "model.graphdef": "tensorflow",
    "model.plan": "tensorrt",
    "model.onnx": "onnxruntime",
    "model.xml": "openvino",
    "model.pt": "pytorch",
    "model.py": "python",
}
"""File of a version folder -> the backend, in the order of AutoCompleteBackendFields in Triton's core."""
ALMOST_VERSION: Final = re.compile(r"v?0*\d+(\.\d+)*", re.I)


@dataclass(frozen=True)
class Names:
    """The names in one folder -> whether they are folders themselves, in order."""

    is_folder: Mapping[str, bool]

    @classmethod
    def of(cls, folder: Path) -> Names:
        """Raises OSError."""
        with os.scandir(folder) as entries:
            return cls({entry.name: entry.is_dir() for entry in sorted(entries, key=lambda entry: entry.name)})

    @property
    def files(self) -> list[str]:
        return [name for name, is_folder in self.is_folder.items() if not is_folder]

    @property
    def folders(self) -> list[str]:
        return [name for name, is_folder in self.is_folder.items() if is_folder]

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(sorted(int(name) for name in self.folders if versions.is_version(name)))

    @property
    def has_config(self) -> bool:
        return pbtxt.NAME in self.files

    @property
    def is_model(self) -> bool:
        return self.has_config or bool(self.versions)

    @property
    def backend(self) -> str:
        """The backend that a version folder implies, where config.pbtxt names none."""
        return next((backend for file, backend in BACKENDS.items() if file in self.is_folder), "")

    @property
    def bare(self) -> str:
        """The model file of a folder without version folders; "" when that is not clear."""
        for name in ("model.py", "model.onnx"):
            if name in self.files:
                return name
        graphs = [name for name in self.files if name.endswith(".onnx") and not name.startswith(".")]
        return graphs[0] if len(graphs) == 1 else ""


def without_version(names: Names) -> str:
    """What to do about a folder that has none."""
    almost = [name for name in names.folders if ALMOST_VERSION.fullmatch(name)]
    loose = [name for name in names.files if name in BACKENDS]
    if almost:
        return f"The folder {almost[0]} is no version to Triton: name it with a number that begins with 1 to 9, as 1."
    if loose:
        return f"There is no version folder: make a folder named 1 and move {loose[0]} into it."
    return "There is no version folder: put the model file into a folder named 1."


def problem_of_version(version: int, inside: Names, backend: str, file: str, *, has_config: bool) -> str:
    """What is wrong with a version folder, by its names; "" for what is right.

    `file`: what the backend loads from it, "" when that is not known.
    """
    names = list(inside.is_folder)
    if not names and not (backend and file):
        return f"The version folder {version}/ is empty: put the model file into it."
    if not backend:
        config = "config.pbtxt names no backend" if has_config else "There is no config.pbtxt"
        return (
            f"{config}, and the version folder {version} holds {listed(names)}, which tells no backend: name the file "
            'as Triton expects it (as model.onnx), or set the backend, as backend: "…" in config.pbtxt.'
        )
    is_there = not file or file.partition("/")[0] in names
    return "" if is_there else missing(version, file, backend, names)


def missing(version: int, file: str, backend: str, names: Sequence[str]) -> str:
    ending = Path(file).suffix
    alike = [name for name in names if ending and name.endswith(ending)]
    hint = f" The folder holds {listed(names)}." if names else ""
    hint = f' Rename {alike[0]}, or write default_model_filename: "{alike[0]}".' if alike else hint
    return f"{version}/{file} is missing: the {backend} backend loads it.{hint}"
