from __future__ import annotations

import pytest
from huggingface_hub.utils import filter_repo_objects
from hypothesis import given
from hypothesis import strategies as st

from datasets.sources.huggingface.patterns import Patterns

PATHS = st.lists(st.sampled_from(["a", "b", "ab", "x.json", "y.bin"]), min_size=1, max_size=4).map("/".join)
PIECES = st.sampled_from(["a", "b", "*", "?", "/", ".json", "[ab]", "a/*", "y.bin"])
PATTERN = st.lists(PIECES, min_size=1, max_size=4).map("".join)


def test_without_patterns_everything_is_chosen() -> None:
    patterns = Patterns("", " , ")
    assert not patterns
    assert patterns.files(["a", "b/c"]) == {"a", "b/c"}
    assert patterns.folder("b")


def test_a_star_goes_across_folders() -> None:
    assert Patterns("*.json", "").files(["a.json", "b/c.json", "d.bin"]) == {"a.json", "b/c.json"}


def test_exclude_wins_over_include() -> None:
    assert Patterns("*.json, *.txt", "b/*").files(["a.json", "b/c.json", "d.txt", "e"]) == {"a.json", "d.txt"}


@pytest.mark.parametrize("pattern", ["original/*", "original/", "original*", "orig*", "*"])
def test_a_folder_whose_files_are_all_left_out_is_not_shown(pattern: str) -> None:
    assert not Patterns("", pattern).folder("original")


@pytest.mark.parametrize("pattern", ["original/*.bin", "*.bin", "original", "other/*"])
def test_a_folder_that_may_keep_a_file_is_shown(pattern: str) -> None:
    assert Patterns("", pattern).folder("original")


def test_a_folder_that_include_cannot_reach_is_not_shown() -> None:
    patterns = Patterns("onnx/*.onnx, config.json, tokenizer/vocab.json", "")
    assert patterns.folder("onnx")
    assert patterns.folder("tokenizer")
    assert not patterns.folder("onnx2")
    assert not patterns.folder("original")


@given(PATHS, PATTERN, st.booleans())
def test_the_folders_above_a_chosen_file_are_all_shown(path: str, pattern: str, include: bool) -> None:
    patterns = Patterns(pattern if include else "", "" if include else pattern)
    chosen = set(
        filter_repo_objects(
            [path], allow_patterns=[pattern] if include else None, ignore_patterns=None if include else [pattern]
        )
    )
    assert patterns.files([path]) == chosen
    if chosen:
        above = [path[:index] for index, letter in enumerate(path) if letter == "/"]
        assert all(patterns.folder(folder) for folder in above)
