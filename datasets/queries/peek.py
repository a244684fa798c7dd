"""A look at model files before anything is preheated: a throw-away folder of the same shape, with what says something.

Small files, and ONNX graphs up to a bound, are read through the source, so nothing outside the dataset can be reached;
everything else is a hole of the right size. Safetensors files begin with their header, which says what the
tensors are. Good for reading configuration, never for serving.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from datasets import wiring
from datasets.errors import NotLookedInto, SourceError
from datasets.models import Dataset
from datasets.sources.base import Body, Source, clean_path
from datasets.specs import SourceFile, left_out_text

SMALL = 1 << 20
GRAPH = 64 << 20
MOST_BYTES = 128 << 20
MOST_FILES = 2000
"""And empty folders."""
HEADER = 16 << 20
"""The largest header of a safetensors file that is read; of models with thousands of tensors it has about 1 MiB."""


@dataclass(frozen=True)
class Peek:
    """`folder` is None when there is too much to look at. `left_out` is a sentence on what a copy would leave out."""

    folder: Path | None
    left_out: str = ""


@contextmanager
def peek(dataset: Dataset, path: str) -> Iterator[Peek]:
    """The folder exists as long as this lasts. Raises SourceError when `path` is not there."""
    source, path = wiring.source_of(dataset), clean_path(path)
    try:
        source.entry(path)  # a plan would fetch what is too large to look into
    except NotLookedInto:
        yield Peek(None)
        return
    plan = source.plan(path)
    files, left_out = plan.files, left_out_text(plan.left_out)
    content_files = [file for file in files if _says_something(file)]
    unread_graph = any(file.path.endswith(".onnx") and file not in content_files for file in files)
    if (
        len(files) + len(plan.empty_dirs) > MOST_FILES
        or unread_graph
        or sum(file.size for file in content_files) > MOST_BYTES
    ):
        yield Peek(None, left_out)
        return
    with tempfile.TemporaryDirectory(prefix="peek-") as directory:
        for folder in plan.empty_dirs:
            (Path(directory) / folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            _write(source, file, path, Path(directory), whole=file in content_files)
        yield Peek(Path(directory), left_out)


class Peeks(ExitStack):
    """The peeks of one request: each folder is read once, and stays until the request ends."""

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[tuple[int, str], Peek | SourceError] = {}

    @classmethod
    def shared(cls, peeks: Peeks | None) -> AbstractContextManager[Peeks]:
        """`peeks`, which their owner closes; without them new ones, closed at the end of the block."""
        return nullcontext(peeks) if peeks is not None else cls()

    def at(self, dataset: Dataset, path: str) -> Peek:
        """Raises SourceError when `path` is not there."""
        key = dataset.pk, clean_path(path)
        if key not in self._results:
            try:
                self._results[key] = self.enter_context(peek(dataset, path))
            except SourceError as error:
                self._results[key] = error
        result = self._results[key]
        if isinstance(result, SourceError):
            raise result
        return result


def _says_something(file: SourceFile) -> bool:
    return file.size <= SMALL or (file.path.endswith(".onnx") and file.size <= GRAPH)


def _write(source: Source, file: SourceFile, path: str, folder: Path, *, whole: bool) -> None:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        if whole:
            with source.open(file, path) as content:
                while data := content.read(SMALL):
                    out.write(data)
            return
        if file.path.endswith(".safetensors"):
            with source.open(file, path) as content:
                out.write(_header(content))
                out.flush()
        os.truncate(out.fileno(), file.size)


def _header(content: Body) -> bytes:
    """The first 8 bytes say how long the JSON after them is; b"" when that cannot be true."""
    length = content.read(8) or b""
    size = int.from_bytes(length, "little")
    return length + (content.read(size) or b"") if size <= HEADER else b""
