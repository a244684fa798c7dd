"""Short ways to ask a source, for the tests beside this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from datasets.errors import SourceError
from datasets.sources.huggingface.source import HuggingFaceSource
from datasets.specs import Plan, SourceFile

WEIGHTS = 3_000_000
"""Bytes of model.safetensors, the one file that is read in parts."""
Make = Callable[..., HuggingFaceSource]


def whole(source: HuggingFaceSource, file: SourceFile, path: str = "") -> bytes:
    with source.open(file, path) as body:
        return b"".join(iter(lambda: body.read(1 << 20) or b"", b""))


def part(source: HuggingFaceSource, file: SourceFile, offset: int, length: int) -> bytes:
    with source.open(file, "", offset, length) as body:
        return b"".join(iter(lambda: body.read(1 << 20) or b"", b""))


def named(plan: Plan, path: str) -> SourceFile:
    return next(file for file in plan.files if file.path == path)


def refused(call: Callable[[], Any]) -> SourceError:
    with pytest.raises(SourceError) as raised:
        call()
    return raised.value
