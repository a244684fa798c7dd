"""Files that config.pbtxt names beside the model's own, and Triton opens at a start. Reads names only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

WARMUP: Final = "warmup"
INITIAL_STATE: Final = "initial_state"


def problems(config: Any, folder: Path) -> list[str]:
    """Those that are not there, one sentence each. `folder`: that of config.pbtxt. Raises OSError."""
    missing = dict.fromkeys(pair for pair in _named(config) if not (folder / pair[1]).is_file())
    return [f"{path} is missing, which config.pbtxt names as {field}: add it." for field, path in missing]


def _named(config: Any) -> Iterator[tuple[str, str]]:
    """Field and path, relative to the folder of config.pbtxt."""
    for output in config.output:
        if output.label_filename:
            yield "label_filename", str(output.label_filename)
    for sample in config.model_warmup:
        for _, data in sorted(sample.inputs.items()):
            if sample.batch_size and data.input_data_file:
                yield "input_data_file", f"{WARMUP}/{data.input_data_file}"
    for state in config.sequence_batching.state:
        for initial in state.initial_state:
            if initial.data_file:
                yield "data_file", f"{INITIAL_STATE}/{initial.data_file}"
