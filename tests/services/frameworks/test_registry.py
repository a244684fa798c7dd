"""Frameworks by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.errors import NotFound
from services.frameworks import registry


def test_every_name_gives_the_framework_of_that_name() -> None:
    assert registry.all_names() == ("triton", "vllm")
    assert [registry.get(name).name for name in registry.all_names()] == ["triton", "vllm"]
    assert registry.get("triton") is registry.get("triton")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"no framework 'tgi'.*triton, vllm"):
        registry.get("tgi")


def test_triton_without_a_runtime_says_what_to_run(tmp_path: Path) -> None:
    assert "make runtime-triton" in registry.get("triton").missing(tmp_path)


def test_vllm_without_a_runtime_says_what_to_run(tmp_path: Path) -> None:
    assert "make runtime-vllm" in registry.get("vllm").missing(tmp_path)
