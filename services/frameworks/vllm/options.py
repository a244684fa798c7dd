"""`framework_config` of a vLLM service: what people may send.

Whether it fits the model's files is in describe.py; how it becomes flags in launch.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from pydantic import AfterValidator, PlainValidator, TypeAdapter
from typing_extensions import TypedDict

from services.frameworks.vllm import extra_args
from services.schema.kinds import Flag, Number, OneOf, Texts, Whole, Word, about, refuse
from services.schema.structure import Nested, Problem, Rows, refuse_all, repeated

TASKS: Final = ("chat", "completion", "embedding")
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")
LORA_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""vLLM 0.32 takes no other --max-lora-rank."""
MAX_ADAPTERS: Final = 64
START_SECONDS: Final = 600
ADAPTER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def _named(what: str) -> Word:
    return Word(re.compile(r"[a-z0-9][a-z0-9_-]{0,63}"), f"the name of one of vLLM's {what}", optional=True)


def _folder(value: Any) -> str:
    parts = PurePosixPath(value).parts if isinstance(value, str) else ()
    if not parts or value.startswith("/") or ".." in parts or not value.isprintable() or "=" in value:
        refuse("Must be a folder inside the model's own, such as adapters/support.")
    return str(value)


def _differ(rows: list[_Adapter]) -> list[_Adapter]:
    refuse_all(repeated([row.name for row in rows], "name"))
    return rows


def _allowed(arguments: tuple[str, ...]) -> list[str]:
    problems: list[Problem] = [
        ((index,), problem) for index, item in enumerate(arguments) if (problem := extra_args.problem(item))
    ]
    refuse_all([*problems, *repeated([item.partition("=")[0] for item in arguments])])
    return list(arguments)


@dataclass(frozen=True)
class _Adapter:
    name: Annotated[str, Word(ADAPTER_NAME, "letters, digits, dots, dashes: callers name it as service:name")]
    path: Annotated[str, PlainValidator(_folder)]


class Options(TypedDict, total=False):
    task: Annotated[str, OneOf(TASKS, optional=True), about("Task")]
    dtype: Annotated[str, OneOf(DTYPES, optional=True), about("Data type")]
    max_model_len: Annotated[int, Whole(16, 100_000_000), about("Max model length")]
    tensor_parallel_size: Annotated[int, Whole(1, 64), about("Tensor parallel size")]
    gpu_memory_utilization: Annotated[float, Number(0.05, 0.99), about("GPU memory utilisation")]
    quantization: Annotated[str, _named("quantisations, such as awq, gptq or fp8"), about("Quantisation")]
    lora_modules: Annotated[
        list[Annotated[_Adapter, Nested(is_row=True)]],
        Rows(MAX_ADAPTERS, '{"name", "path"}'),
        AfterValidator(_differ),
        about("LoRA modules"),
    ]
    max_loras: Annotated[int, Whole(1, MAX_ADAPTERS), about("Adapters at once")]
    max_lora_rank: Annotated[int, OneOf(LORA_RANKS, optional=True), about("Highest LoRA rank")]
    trust_remote_code: Annotated[bool, Flag(), about("Trust remote code")]
    tool_call_parser: Annotated[str, _named("tool parsers, such as hermes or llama3_json"), about("Tool call parser")]
    enable_auto_tool_choice: Annotated[bool, Flag(), about("The model chooses tools itself")]
    reasoning_parser: Annotated[
        str, _named("reasoning parsers, such as qwen3 or deepseek_r1"), about("Reasoning parser")
    ]
    shared_memory_mib: Annotated[int, Whole(16, 1 << 20), about("Shared memory, MiB")]
    cpu_kvcache_gib: Annotated[int, Whole(1, 4096), about("KV cache on a CPU, GiB")]
    extra_args: Annotated[list[str], Texts(), AfterValidator(_allowed), about("Extra arguments")]
    startup_timeout_seconds: Annotated[int, Whole(10, 24 * 3600), about("Longest start, seconds")]


def _fit(options: Options) -> Options:
    """Raises for options that do not go together."""
    problems: list[Problem] = []
    if not options.get("lora_modules"):
        message = "This is a limit of LoRA modules, and there are none: add one, or leave it empty."
        problems += [((limit,), message) for limit in ("max_loras", "max_lora_rank") if limit in options]
    if options.get("enable_auto_tool_choice") and not options.get("tool_call_parser"):
        message = "Choosing tools by itself needs the parser of the model's tool calls."
        problems.append((("tool_call_parser",), message))
    if options.get("task") == "embedding":
        message = "Only for the tasks chat and completion: an embedding has no such thing."
        names = ("tool_call_parser", "reasoning_parser", "lora_modules")
        problems += [((name,), message) for name in names if options.get(name)]
    refuse_all(problems)
    return options


SHAPE: Final[TypeAdapter[Options]] = TypeAdapter(Annotated[Options, Nested(is_row=True), AfterValidator(_fit)])
