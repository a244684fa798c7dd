"""Folders that belong to a model and are none."""

from __future__ import annotations

import pytest

from datasets.inspect import not_models


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], not_models.ADAPTER),
        (["adapter_config.json", "config.json"], ""),
        (["blobs", "refs", "snapshots"], not_models.CACHE),
        (["snapshots"], ""),
        (["config.pbtxt", "1"], ""),
        ([], ""),
    ],
)
def test_what_to_choose_instead_is_said(names: list[str], sentence: str) -> None:
    assert not_models.what_to_choose(names) == sentence
