"""What a folder of model files is to Triton, by names of files alone: nothing is opened here except directories.

The generated repository has real folders and a link for each file. A link to a whole folder would be shorter, but then
Python writes its `__pycache__` through it, into model files that other services share.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from datasets.inspect.triton.layout import DEFAULT_FILES, is_model, is_version

CONFIG: Final = "config.pbtxt"
MODEL: Final = "model"
"""A Triton model folder: config.pbtxt, version folders, or both."""
BARE: Final = "bare"
"""One model file without a version folder: a repository is generated around it."""
REPOSITORY: Final = "repository"
"""Folders of models. `entries` are the files beside them, which Triton leaves alone and models may read."""
NOTHING: Final = "nothing"


@dataclass(frozen=True)
class Layout:
    """`entries` are what to link into the generated repository: name there -> path relative to the tree."""

    kind: str
    entries: tuple[tuple[str, str], ...] = ()
    versions: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    backend: str = ""
    """Guessed from the file names; config.pbtxt has the last word."""
    graph: str = ""
    """The ONNX file of the highest version, relative to the tree."""


def read(tree: Path) -> Layout:
    """Raises OSError when the tree cannot be listed."""
    names = sorted(entry.name for entry in tree.iterdir() if not entry.name.startswith("."))
    versions = tuple(sorted(int(name) for name in names if is_version(tree / name)))
    if CONFIG in names or versions:
        return model(tree, names, versions)
    models = tuple(name for name in names if is_model(tree / name))
    if models:
        beside = tuple((name, name) for name in names if (tree / name).is_file())
        return Layout(REPOSITORY, beside, models=models)
    return bare(names, tree)


def files_of(tree: Path, names: list[str]) -> list[str]:
    """All files below those of `names`, relative to the tree, without the bytecode that Python left."""
    paths = [name for name in names if not (tree / name).is_dir()]
    for name in names:
        for folder, folders, files in os.walk(tree / name):
            folders[:] = sorted(sub for sub in folders if sub != "__pycache__")
            paths.extend(Path(folder, file).relative_to(tree).as_posix() for file in files)
    return sorted(paths)


def model(tree: Path, names: list[str], versions: tuple[int, ...]) -> Layout:
    """Everything but config.pbtxt is linked: label files and environments lie beside the version folders."""
    entries = tuple((name, name) for name in files_of(tree, names) if name != CONFIG)
    if not versions:
        return Layout(MODEL, entries)
    files = {path.name for path in (tree / str(versions[-1])).iterdir()}
    backend = next((backend for backend, file in DEFAULT_FILES.items() if file in files), "")
    graph = f"{versions[-1]}/{DEFAULT_FILES['onnxruntime']}" if backend == "onnxruntime" else ""
    return Layout(MODEL, entries, versions, backend=backend, graph=graph)


def bare(names: list[str], tree: Path) -> Layout:
    """model.py or model.onnx (or the only *.onnx): all files go into version 1, for data lying beside the model."""
    onnx = [name for name in names if name.endswith(".onnx") and (tree / name).is_file()]
    files = files_of(tree, names)
    if "model.py" in files:
        return Layout(BARE, tuple((f"1/{name}", name) for name in files), (1,), backend="python")
    if "model.onnx" in onnx or len(onnx) == 1:
        graph = "model.onnx" if "model.onnx" in onnx else onnx[0]
        target = DEFAULT_FILES["onnxruntime"]
        entries = tuple((f"1/{target if name == graph else name}", name) for name in files)
        return Layout(BARE, entries, (1,), backend="onnxruntime", graph=graph)
    return Layout(NOTHING)
