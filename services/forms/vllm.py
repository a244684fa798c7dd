"""The fields of a vLLM service: what is left empty is as the model's own config.json, or vLLM itself, has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.http import QueryDict

from services.forms.typed import CONFIG, Row, number, plain
from services.frameworks.vllm.options import LORA_RANKS

TASKS: Final = [
    ("", "As config.json says"),
    ("chat", "Chat"),
    ("completion", "Completion"),
    ("embedding", "Embedding"),
]
DTYPES: Final = [
    ("", "As vLLM chooses"),
    ("auto", "auto: as config.json says"),
    ("float32", "float32"),
    ("bfloat16", "bfloat16"),
    ("float16", "float16"),
]
RANKS: Final = [("", "As the adapters have it"), *((str(rank), str(rank)) for rank in LORA_RANKS)]
READ: Final = ("task", "max_model_len", "dtype")
"""What the files say is filled in. Left as it was read, it is not sent: other files may say something else."""
TEXTS: Final = ("task", "dtype", "quantization", "tool_call_parser", "reasoning_parser")
NUMBERS: Final = (
    "max_model_len",
    "tensor_parallel_size",
    "gpu_memory_utilization",
    "max_loras",
    "max_lora_rank",
    "shared_memory_mib",
    "cpu_kvcache_gib",
    "startup_timeout_seconds",
)
SWITCHES: Final = ("trust_remote_code", "enable_auto_tool_choice")
EXTRA: Final = "extra_args"

MODULES: Final = f"{CONFIG}.lora_modules"
DEFAULTS: Final = {f"{CONFIG}.{name}": "" for name in (*TEXTS, *NUMBERS, *SWITCHES, EXTRA)}
COLUMNS: Final = {MODULES: ("name", "path")}
LABELS: Final = {
    **{
        f"{CONFIG}.{name}": label
        for name, label in {
            "task": "Task",
            "dtype": "Data type",
            "max_model_len": "Max model length",
            "tensor_parallel_size": "Tensor parallel size",
            "gpu_memory_utilization": "GPU memory utilisation",
            "quantization": "Quantisation",
            "max_loras": "Adapters at once",
            "max_lora_rank": "Highest LoRA rank",
            "trust_remote_code": "Trust remote code",
            "tool_call_parser": "Tool call parser",
            "enable_auto_tool_choice": "The model chooses tools itself",
            "reasoning_parser": "Reasoning parser",
            "shared_memory_mib": "Shared memory, MiB",
            "cpu_kvcache_gib": "KV cache on a CPU, GiB",
            "extra_args": "Extra arguments",
            "startup_timeout_seconds": "Longest start, seconds",
        }.items()
    },
    MODULES: "LoRA modules",
}


def to_config(post: QueryDict, rows: Callable[[str], Sequence[Row]]) -> dict[str, Any]:
    """Only what was filled in, and is not what the files say anyway."""
    texts = {name: post.get(f"{CONFIG}.{name}", "").strip() for name in (*TEXTS, *NUMBERS)}
    given = {name: text for name, text in texts.items() if text and text != post.get(f"{CONFIG}.{name}.read")}
    config: dict[str, Any] = {name: number(text) if name in NUMBERS else text for name, text in given.items()}
    config |= {name: True for name in SWITCHES if post.get(f"{CONFIG}.{name}")}
    if modules := [{"name": row["name"].strip(), "path": row["path"]} for row in rows(MODULES)]:
        config["lora_modules"] = modules
    if arguments := [line.strip() for line in post.get(f"{CONFIG}.{EXTRA}", "").splitlines() if line.strip()]:
        config[EXTRA] = arguments
    return config


def values(config: Mapping[str, Any]) -> dict[str, str]:
    """The fields as the page shows them, of a revision's configuration."""
    return {
        **{f"{CONFIG}.{name}": plain(config[name]) for name in (*TEXTS, *NUMBERS) if name in config},
        **{f"{CONFIG}.{name}": "on" for name in SWITCHES if config.get(name)},
        f"{CONFIG}.{EXTRA}": "\n".join(config.get(EXTRA, ())),
    }


def rows_of(config: Mapping[str, Any]) -> dict[str, list[Row]]:
    return {MODULES: [{"name": m["name"], "path": m["path"]} for m in config.get("lora_modules", ())]}
