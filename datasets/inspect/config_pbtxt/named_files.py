"""Files that config.pbtxt names beside the model's own, and Triton opens at a start. Reads names and sizes only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from datasets.inspect.config_pbtxt import config_fields, pbtxt

WARMUP: Final = "warmup"
INITIAL_STATE: Final = "initial_state"
BYTES_OF: Final = {
    f"TYPE_{name}": size
    for size, names in {
        1: ("BOOL", "UINT8", "INT8"),
        2: ("UINT16", "INT16", "FP16", "BF16"),
        4: ("UINT32", "INT32", "FP32"),
        8: ("UINT64", "INT64", "FP64"),
    }.items()
    for name in names
}
"""Bytes of one number; a text may be empty."""


def problems(config: Any, folder: Path) -> list[str]:
    """Those that are not there or too short, one sentence each. `folder`: that of config.pbtxt. Raises OSError."""
    sentences = []
    for field, path, least in dict.fromkeys(_named(config)):
        if not (folder / path).is_file():
            sentences.append(f"{path} is missing, which config.pbtxt names as {field}: add it.")
        elif (size := (folder / path).stat().st_size) < least:
            sentences.append(f"{path} has {size} bytes, and config.pbtxt has dims for {least}: correct one of them.")
    return sentences


def environment_problems(config: Any, folder: Path) -> list[str]:
    """At most one sentence. Only the Python backend opens an environment; the others ignore the parameter."""
    path = config_fields.environment_of(config)
    # A model without a version folder is put into 1/.
    if not path or any((folder / candidate).exists() for candidate in (path, path.removeprefix("1/"))):
        return []
    return [f"{path} is missing, which the parameter {config_fields.ENVIRONMENT} names: add it."]


def _named(config: Any) -> Iterator[tuple[str, str, int]]:
    """Field, path relative to the folder of config.pbtxt, and the bytes that the file must have."""
    for output in config.output:
        if output.label_filename:
            yield "label_filename", str(output.label_filename), 0
    for sample in config.model_warmup:
        for _, data in sorted(sample.inputs.items()):
            if sample.batch_size and data.input_data_file:
                yield "input_data_file", f"{WARMUP}/{data.input_data_file}", _bytes(data)
    for state in config.sequence_batching.state:
        for initial in state.initial_state:
            if initial.data_file:
                yield "data_file", f"{INITIAL_STATE}/{initial.data_file}", _bytes(initial)


def _bytes(data: Any) -> int:
    return math.prod(max(int(size), 0) for size in data.dims) * BYTES_OF.get(pbtxt.type_name(data), 0)
