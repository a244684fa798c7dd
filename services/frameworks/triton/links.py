"""The files of a model folder in the generated repository.

It has real folders and a link for each file. A link to a whole folder would be shorter, but then Python writes its
`__pycache__` through it, into model files that other services share.
"""

from __future__ import annotations

import os
from pathlib import Path

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.triton.layout import MODEL, REPOSITORY, Layout
from datasets.inspect.triton.names import DEFAULT_FILES


def links(layout: Layout) -> tuple[tuple[str, str], ...]:
    """Name in the repository -> path relative to the tree. Raises OSError.

    Label files and environments lie beside the version folders. Of several models, only what lies beside them.
    """
    names = [name for name in layout.names.is_folder if not name.startswith(".")]
    if layout.kind == REPOSITORY:
        return tuple((name, name) for name in names if (layout.folder / name).is_file())
    files = files_of(layout.folder, names)
    if layout.kind == MODEL:
        return tuple((name, name) for name in files if name != pbtxt.NAME)
    # All files go into version 1, for data lying beside the model.
    graph = layout.model_file if layout.model_file.endswith(".onnx") else ""
    return tuple((f"1/{DEFAULT_FILES['onnxruntime'] if name == graph else name}", name) for name in files)


def files_of(tree: Path, names: list[str]) -> list[str]:
    """All files below those of `names`, relative to the tree, without the bytecode that Python left."""
    paths = [name for name in names if not (tree / name).is_dir()]
    for name in names:
        for folder, folders, files in os.walk(tree / name):
            folders[:] = sorted(sub for sub in folders if sub != "__pycache__")
            paths.extend(Path(folder, file).relative_to(tree).as_posix() for file in files)
    return sorted(paths)
