"""Folders that belong to a model and are none."""

from __future__ import annotations

import pytest

from datasets import other_folders


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], other_folders.ADAPTER),
        (["adapter_config.json", "config.json"], ""),
        (["blobs", "refs", "snapshots"], other_folders.CACHE),
        (["snapshots"], ""),
        (["config.pbtxt", "1"], ""),
        ([], ""),
    ],
)
def test_what_to_choose_instead_is_said(names: list[str], sentence: str) -> None:
    assert other_folders.what_to_choose(names) == sentence
