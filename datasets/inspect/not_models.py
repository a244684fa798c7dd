"""Folders that belong to a model and are none: what they are, and what to choose instead. By names alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

ADAPTER: Final = "This is a LoRA adapter, not a model: choose its base model, and name this folder as a LoRA module."
CACHE: Final = "This is the cache of a Hugging Face model: choose a folder in snapshots as the model path."


def what_to_choose(names: Collection[str]) -> str:
    """A sentence for a folder with these names in it; "" for one that may be a model, or anything else."""
    if "config.json" in names:
        return ""
    if "adapter_config.json" in names:
        return ADAPTER
    return CACHE if {"snapshots", "blobs"} <= {*names} else ""
