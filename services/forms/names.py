"""Which inputs the form has, and how numbers and lists are typed into them.

A list (rules, variables, tensors) is one input name per column, repeated once per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

CONFIG: Final = "framework_config"
BATCHING: Final = f"{CONFIG}.dynamic_batching"
AS_MODEL, ON, OFF = "", "on", "off"
"""Dynamic batching: as the model's own configuration has it, or said here."""

DEFAULTS: Final = {
    "name": "", "team": "", "framework": "triton", "queue": "default", "dataset": "", "model_path": "", "replicas": "1",
    "resources.cpu": "1", "resources.memory_gib": "1", "resources.gpu": "0", "resources.gpu_type": "",
    "auth.policy": "api_key",
    f"{CONFIG}.backend": "", f"{CONFIG}.max_batch_size": "", f"{CONFIG}.instances": "",
    f"{BATCHING}.enabled": AS_MODEL, f"{BATCHING}.preferred_batch_size": "",
    f"{BATCHING}.max_queue_delay_microseconds": "",
}
RULES: Final = ("affinity.required", "affinity.preferred")
TENSORS: Final = (f"{CONFIG}.inputs", f"{CONFIG}.outputs")
PARAMETERS: Final = f"{CONFIG}.parameters"
ENV: Final = "env"
COLUMNS: Final = {
    "affinity.required": ("key", "operator", "values"),
    "affinity.preferred": ("weight", "key", "operator", "values"),
    **dict.fromkeys(TENSORS, ("name", "datatype", "shape")),
    PARAMETERS: ("name", "value"),
    ENV: ("name", "value"),
}
PRESET: Final = {"operator": "In", "weight": "1", "datatype": "FP32"}
"""Columns that always hold something, so that they say nothing about whether a row was filled in."""

LABELS: Final = {
    "name": "Name", "team": "Team", "framework": "Framework", "queue": "Queue", "dataset": "Dataset",
    "model_path": "Model path", "replicas": "Replicas", "resources.cpu": "CPUs", "resources.memory_gib": "Memory, GiB",
    "resources.gpu": "GPUs", "resources.gpu_type": "GPU type", "auth.policy": "Who may call it",
    f"{CONFIG}.backend": "Backend", f"{CONFIG}.max_batch_size": "Max batch size",
    f"{CONFIG}.instances": "Instances in each replica", f"{BATCHING}.enabled": "Dynamic batching",
    f"{BATCHING}.preferred_batch_size": "Preferred batch sizes",
    f"{BATCHING}.max_queue_delay_microseconds": "Longest queue delay",
    "affinity.required": "Required rules", "affinity.preferred": "Preferred rules", f"{CONFIG}.inputs": "Inputs",
    f"{CONFIG}.outputs": "Outputs", PARAMETERS: "Parameters", ENV: "Environment variables",
}
"""What the page calls each field and list."""


def label(path: str) -> str:
    """`affinity.required.0.values` -> "Required rules"; a path that is not on the page stays as it is."""
    part = path
    while part:
        if part in LABELS:
            return LABELS[part]
        part = part.rpartition(".")[0]
    return path


def short(name: str) -> str:
    """`framework_config.inputs` -> `inputs`."""
    return name.rsplit(".", 1)[-1]


def flat(name: str) -> str:
    """`resources.cpu` -> `resources_cpu`, as a template can spell it."""
    return name.replace(".", "_")


def split(text: str) -> list[str]:
    """`a, b` -> ["a", "b"]."""
    return [part.strip() for part in text.split(",") if part.strip()]


def join(values: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in values)


def number(text: str) -> int | float | str:
    """`2` -> 2, `0.5` -> 0.5; anything else as it is, for the parser to say what is wrong."""
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def plain(value: Any) -> str:
    """1.0 -> "1"."""
    return f"{value:g}" if isinstance(value, float) else str(value)
