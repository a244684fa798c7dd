"""Text files that the console can read and a server cannot, because of how Windows writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from console.formats.text import marked_encoding

READ_BY_VLLM: Final = (".json", ".jinja")
OTHERS_READ_BY_VLLM: Final = frozenset({"vocab.txt", "merges.txt"})
_MARK: Final = 4
"""Bytes of the longest byte order mark."""


def problems_for_vllm(folder: Path, names: Iterable[str]) -> list[str]:
    """vLLM and transformers open these as UTF-8 without a mark: with one they end, or take it for a part of a prompt.

    Raises OSError.
    """
    read = [name for name in names if name.endswith(READ_BY_VLLM) or name in OTHERS_READ_BY_VLLM]
    return [
        f"{name} is text in {encoding}, which vLLM cannot read: save it as UTF-8 without a byte order mark."
        for name in read
        if (encoding := _encoding(folder / name))
    ]


def problem_for_python(path: Path, shown: str) -> str:
    """ "" for source that Python reads: UTF-8, also with a mark. Raises OSError."""
    encoding = _encoding(path)
    if not encoding.startswith(("UTF-16", "UTF-32")):
        return ""
    return f"{shown} is text in {encoding}, which Python cannot read: save it as UTF-8."


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return marked_encoding(file.read(_MARK))
