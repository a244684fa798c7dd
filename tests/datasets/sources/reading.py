"""How tests read what a source has."""

from __future__ import annotations

from datasets.sources.base import Source


def content(source: Source, path: str = "", offset: int = 0) -> dict[str, bytes]:
    """Everything that a plan of `path` gives to read, by the path of each file."""
    contents = {}
    for file in source.plan(path).files:
        with source.open(file, path, offset) as body:
            contents[file.path] = body.read() or b""
    return contents
