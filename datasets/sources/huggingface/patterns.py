"""`include` and `exclude` of a Hugging Face dataset: the official client's patterns, for files and for folders. No I/O.

Patterns are matched against whole paths inside the repository, and `*` goes across `/`: `*.json` also finds `a/b.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from huggingface_hub.utils import filter_repo_objects

_WILD = re.compile(r"[*?[]")


class Patterns:
    """`include` and `exclude` are comma-separated. An empty `include` stands for everything."""

    def __init__(self, include: str, exclude: str) -> None:
        self._include, self._exclude = _split(include), _split(exclude)

    def __bool__(self) -> bool:
        return bool(self._include or self._exclude)

    def files(self, paths: Iterable[str]) -> set[str]:
        """Those that are chosen."""
        return set(filter_repo_objects(paths, allow_patterns=self._include or None, ignore_patterns=self._exclude))

    def file(self, path: str) -> bool:
        return bool(self.files([path]))

    def folder(self, path: str) -> bool:
        """False when nothing below it can be chosen; True also when something only might be."""
        start = f"{path}/"
        if any(pattern.endswith("*") and fnmatchcase(start, pattern) for pattern in self._exclude):
            return False
        return not self._include or any(_may_begin(pattern, start) for pattern in self._include)


def _split(patterns: str) -> list[str]:
    # As the official client has it, a pattern for a folder is one for everything in it.
    parts = [pattern.strip().replace("\\", "/") for pattern in patterns.split(",")]
    return [f"{pattern}*" if pattern.endswith("/") else pattern for pattern in parts if pattern]


def _may_begin(pattern: str, start: str) -> bool:
    match = _WILD.search(pattern)
    if match is None:
        return pattern.startswith(start)
    literal = pattern[: match.start()]
    return literal.startswith(start) or start.startswith(literal)
