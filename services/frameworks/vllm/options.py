"""`framework_config` of a vLLM service: what people may send, and what is wrong with what they sent.

Whether it fits the model's files is in describe.py; how it becomes flags in launch.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from console.errors import InvalidFields
from services.frameworks.vllm import extra_args

PREFIX: Final = "framework_config"
TASKS: Final = ("chat", "completion", "embedding")
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")
LORA_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""vLLM 0.32 takes no other --max-lora-rank."""
MAX_ADAPTERS: Final = 64
START_SECONDS: Final = 600
WORD: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
ADAPTER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Problems(dict[str, list[str]]):
    """Field path -> messages, collected so that every wrong field is named at once."""

    def add(self, field: str, message: str) -> None:
        self.setdefault(f"{PREFIX}.{field}", []).append(message)


Parser = Callable[[str, Any, Problems], Any]


def parse(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Only the keys that set something. Raises InvalidFields."""
    problems = Problems()
    options: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in PARSERS:
            problems.add(str(key), f"vLLM has no such option here. Options: {', '.join(PARSERS)}.")
        elif value is not None:
            options[key] = PARSERS[key](key, value, problems)
    if not problems:
        check_together(options, problems)
    if problems:
        raise InvalidFields(problems)
    return {key: value for key, value in options.items() if value not in ("", [], False)}


def check_together(options: Mapping[str, Any], problems: Problems) -> None:
    for limit in ("max_loras", "max_lora_rank"):
        if limit in options and not options.get("lora_modules"):
            problems.add(limit, "This is a limit of LoRA modules, and there are none: add one, or leave it empty.")
    if options.get("enable_auto_tool_choice") and not options.get("tool_call_parser"):
        problems.add("tool_call_parser", "Choosing tools by itself needs the parser of the model's tool calls.")
    if options.get("task") == "embedding":
        for field in ("tool_call_parser", "reasoning_parser", "lora_modules"):
            if options.get(field):
                problems.add(field, "Only for the tasks chat and completion: an embedding has no such thing.")


def integer(least: int, most: int) -> Parser:
    def check(field: str, value: Any, problems: Problems) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            problems.add(field, f"Must be a whole number, not {value!r}.")
        elif not least <= value <= most:
            problems.add(field, f"Must be between {least} and {most}, not {value}.")
        else:
            return value
        return least

    return check


def choice(*allowed: Any) -> Parser:
    def check(field: str, value: Any, problems: Problems) -> Any:
        if value != "" and (isinstance(value, bool) or value not in allowed):
            problems.add(field, f"Must be one of {', '.join(map(str, allowed))}, not {value!r}.")
        return value

    return check


def word(what: str) -> Parser:
    def check(field: str, value: Any, problems: Problems) -> str:
        if not isinstance(value, str) or (value and not WORD.fullmatch(value)):
            problems.add(field, f"Must be {what}, not {value!r}.")
            return ""
        return value

    return check


def switch(field: str, value: Any, problems: Problems) -> bool:
    if not isinstance(value, bool):
        problems.add(field, f"Must be true or false, not {value!r}.")
    return bool(value)


def fraction(field: str, value: Any, problems: Problems) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.05 <= value <= 0.99:
        problems.add(field, f"Must be a share of the GPU's memory between 0.05 and 0.99, not {value!r}.")
        return 0.9
    return float(value)


def lora_modules(field: str, value: Any, problems: Problems) -> list[dict[str, str]]:
    if not isinstance(value, list | tuple) or len(value) > MAX_ADAPTERS:
        problems.add(field, f'Must be a list of at most {MAX_ADAPTERS} {{"name", "path"}}.')
        return []
    modules = [lora_module(f"{field}.{index}", item, problems) for index, item in enumerate(value)]
    names = [item["name"] for item in modules]
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        problems.add(field, f"{name!r} is there more than once.")
    return modules


def lora_module(field: str, value: Any, problems: Problems) -> dict[str, str]:
    if not isinstance(value, Mapping) or set(value) - {"name", "path"}:
        problems.add(field, 'Must be {"name", "path"}.')
        return {"name": "", "path": ""}
    name, path = value.get("name"), value.get("path")
    if not isinstance(name, str) or not ADAPTER_NAME.fullmatch(name):
        problems.add(f"{field}.name", "Must be letters, digits, dots, dashes: callers name it as service:name.")
        name = ""
    if not isinstance(path, str) or not inside(path):
        problems.add(f"{field}.path", "Must be a folder inside the model's own, such as adapters/support.")
        path = ""
    return {"name": name, "path": path}


def inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and path.isprintable() and "=" not in path


def arguments(field: str, value: Any, problems: Problems) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        problems.add(field, "Must be a list of texts such as --max-num-seqs=64.")
        return []
    for index, item in enumerate(value):
        if trouble := extra_args.problem(item):
            problems.add(f"{field}.{index}", trouble)
    names = [item.partition("=")[0] for item in value]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(field, f"{name} is there more than once.")
    return list(value)


PARSERS: Final[dict[str, Parser]] = {
    "task": choice(*TASKS),
    "dtype": choice(*DTYPES),
    "max_model_len": integer(16, 100_000_000),
    "tensor_parallel_size": integer(1, 64),
    "gpu_memory_utilization": fraction,
    "quantization": word("the name of one of vLLM's quantisations, such as awq, gptq or fp8"),
    "lora_modules": lora_modules,
    "max_loras": integer(1, MAX_ADAPTERS),
    "max_lora_rank": choice(*LORA_RANKS),
    "trust_remote_code": switch,
    "tool_call_parser": word("the name of one of vLLM's tool parsers, such as hermes or llama3_json"),
    "enable_auto_tool_choice": switch,
    "reasoning_parser": word("the name of one of vLLM's reasoning parsers, such as qwen3 or deepseek_r1"),
    "shared_memory_mib": integer(16, 1 << 20),
    "cpu_kvcache_gib": integer(1, 4096),
    "extra_args": arguments,
    "startup_timeout_seconds": integer(10, 24 * 3600),
}
