"""What each text in a config.pbtxt may be: every field of ModelConfig that holds one is decided here.

A field that names a file stays inside the model's folder. One that names a library, or a setting that may name one,
makes the model code, which needs trust. A field that is not in the table, as one of a later Triton, needs trust too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.report import Executable

NAME: Final = "name"
"""Compared with other names, or shown: opens nothing."""
WORD: Final = "word"
"""Part of a path that Triton makes: letters, digits, dashes and underscores."""
FILE: Final = "file"
"""A file in the model's own folder."""
LIBRARY: Final = "library"
"""A file in the model's own folder that is loaded as code."""
SETTING: Final = "setting"
"""Read by a backend: without trust only those of SETTINGS."""
REFUSED: Final = "refused"
"""Never: it loads what is not of this model."""

FIELDS: Final[dict[str, str]] = {
    "name": NAME,
    "platform": WORD,
    "backend": WORD,
    "runtime": LIBRARY,
    "input.name": NAME,
    "output.name": NAME,
    "output.label_filename": FILE,
    "batch_input.target_name": NAME,
    "batch_input.source_input": NAME,
    "batch_output.target_name": NAME,
    "batch_output.source_input": NAME,
    "optimization.cuda.graph_spec.input{key}": NAME,
    "optimization.cuda.graph_spec.graph_lower_bound.input{key}": NAME,
    "optimization.execution_accelerators.gpu_execution_accelerator.name": WORD,
    "optimization.execution_accelerators.gpu_execution_accelerator.parameters{value}": SETTING,
    "optimization.execution_accelerators.cpu_execution_accelerator.name": WORD,
    "optimization.execution_accelerators.cpu_execution_accelerator.parameters{value}": SETTING,
    "sequence_batching.control_input.name": NAME,
    "sequence_batching.state.input_name": NAME,
    "sequence_batching.state.output_name": NAME,
    "sequence_batching.state.initial_state.data_file": FILE,
    "sequence_batching.state.initial_state.name": NAME,
    "ensemble_scheduling.step.model_name": NAME,
    "ensemble_scheduling.step.model_namespace": NAME,
    "ensemble_scheduling.step.input_map{value}": NAME,
    "ensemble_scheduling.step.output_map{value}": NAME,
    "instance_group.name": NAME,
    "instance_group.rate_limiter.resources.name": NAME,
    "instance_group.profile": NAME,
    "instance_group.host_policy": NAME,
    "default_model_filename": FILE,
    "cc_model_filenames{value}": FILE,
    "metric_tags{value}": NAME,
    "model_metrics.metric_control.metric_identifier.family": NAME,
    "parameters{key}": NAME,
    "parameters{}.string_value": SETTING,
    "model_warmup.name": NAME,
    "model_warmup.inputs{key}": NAME,
    "model_warmup.inputs{}.input_data_file": FILE,
    "model_operations.op_library_filename": LIBRARY,
    "model_repository_agents.agents.name": REFUSED,
    "model_repository_agents.agents.parameters{value}": REFUSED,
}
"""`{key}`: the key of a map whose values are no texts; `{value}`: its texts, checked together with their keys."""

A_WORD: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,9})?")
SWITCH: Final = re.compile(r"(?i)yes|no|true|false|on|off|[01]")
CHOICE: Final = re.compile(r"[A-Za-z0-9_]{1,40}")
SETTINGS: Final[dict[str, re.Pattern[str]]] = {
    **dict.fromkeys(
        (
            "intra_op_thread_count",
            "inter_op_thread_count",
            "execution_mode",
            "level",
            "max_workspace_size_bytes",
            "max_cached_engines",
            "minimum_segment_size",
            "num_of_threads",
            "gpu_mem_limit",
            "cudnn_conv_algo_search",
            "TF_NUM_INTRA_THREADS",
            "TF_NUM_INTER_THREADS",
            "TF_USE_PER_SESSION_THREADS",
            "MAX_SESSION_SHARE_COUNT",
            "INFERENCE_NUM_THREADS",
            "NUM_STREAMS",
            "SCHEDULING_CORE_TYPE",
            "INTRA_OP_THREAD_COUNT",
            "INTER_OP_THREAD_COUNT",
        ),
        NUMBER,
    ),
    **dict.fromkeys(
        (
            "enable_mem_arena",
            "enable_mem_pattern",
            "enable_cuda_graph",
            "FORCE_CPU_ONLY_INPUT_TENSORS",
            "DISABLE_OPTIMIZED_EXECUTION",
            "INFERENCE_MODE",
            "ENABLE_JIT_EXECUTOR",
            "ENABLE_WEIGHT_SHARING",
            "ENABLE_TENSOR_FUSER",
            "ENABLE_CACHE_CLEANING",
            "SKIP_OV_DYNAMIC_BATCHSIZE",
            "ENABLE_BATCH_PADDING",
            "RESHAPE_IO_LAYERS",
            "session.disable_prepacking",
            "session.use_device_allocator_for_initializers",
            "do_copy_in_default_stream",
            "use_tf32",
        ),
        SWITCH,
    ),
    **dict.fromkeys(("precision_mode", "PERFORMANCE_HINT", "device_type"), CHOICE),
}
"""Settings of backends that tune speed and memory, and what their values may be."""
OWN_PREFIXES: Final = ("MODEL_", "APP_")
"""Prefixes of settings that only the model itself reads."""
ENVIRONMENT: Final = "EXECUTION_ENV_PATH"
IN_MODEL: Final = "$$TRITON_MODEL_DIRECTORY/"
SHOWN: Final = 60


@dataclass(frozen=True)
class Text:
    """`path` as in FIELDS; `key` of a map's entry."""

    path: str
    value: str
    key: str = ""

    @property
    def label(self) -> str:
        return f"{self.path.partition('{')[0]}[{self.key}]" if self.key else self.path


def texts(message: Any, prefix: str = "") -> Iterator[Text]:
    """Every text in the message."""
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from _entries(field, value, path)
        elif field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from texts(one, f"{path}.")
        elif field.cpp_type == field.CPPTYPE_STRING:
            for one in value if field.is_repeated else [value]:
                yield Text(path, str(one))


def _entries(field: Any, value: Any, path: str) -> Iterator[Text]:
    of = field.message_type.fields_by_name["value"]
    for key in value:
        if of.message_type is None:
            yield Text(f"{path}{{value}}", str(value[key]), str(key))
            continue
        inner = list(texts(value[key], f"{path}{{}}."))
        yield from (Text(one.path, one.value, str(key)) for one in inner)
        if isinstance(key, str):
            yield Text(f"{path}{{key}}", key)


def problems(config: Any) -> list[str]:
    """What keeps the model from being served at all."""
    messages = []
    for text in texts(config):
        kind = FIELDS.get(text.path, SETTING)
        if kind == REFUSED:
            why = "a service loads the files of its folder, and nothing else"
            messages.append(f"config.pbtxt sets {text.label}: {why}. Leave it out.")
        elif kind == WORD and text.value and not A_WORD.fullmatch(text.value):
            label = text.path.removesuffix(".name")
            noun = label.rpartition(".")[2]
            why = f"which cannot be: a {noun}'s name is a word"
            messages.append(f"config.pbtxt names the {label} {_short(text.value)}, {why}.")
        elif kind in {FILE, LIBRARY} and not is_inside(text.value):
            messages.append(f"{text.label} {_short(text.value)} leads out of the version folder: name a file in it.")
        elif text.key == ENVIRONMENT and not is_inside(text.value.removeprefix(IN_MODEL), within=text.value):
            messages.append(f"{text.label} must be a file of the model, as {IN_MODEL}environment.tar.gz.")
    return list(dict.fromkeys(messages))


def settings(config: Any, name: str) -> list[Executable]:
    """What of the configuration can have code loaded; `name` is what the file is called."""
    executables = []
    for text in texts(config):
        kind = FIELDS.get(text.path, SETTING)
        if kind == LIBRARY and text.value and not (text.path == "runtime" and is_own_runtime(config)):
            reason = f"It names {_short(text.value)} as a library, which Triton loads from beside the model."
            executables.append(Executable(name, "library", reason))
        elif kind == SETTING and not is_listed(text):
            reason = f"It sets {text.label}, which can have files loaded as code."
            executables.append(Executable(name, "setting", reason))
    return executables


def is_own_runtime(config: Any) -> bool:
    """Whether it names the library that Triton loads for its backend without being told."""
    return str(config.runtime) == f"libtriton_{pbtxt.backend(config)}.so"


def is_listed(text: Text) -> bool:
    pattern = SETTINGS.get(text.key)
    if pattern is not None:
        return pattern.fullmatch(text.value) is not None
    return text.key.startswith(OWN_PREFIXES)


def environment_of(config: Any) -> str:
    """Path in the model's folder of the Python environment that the model is run in; "" without one."""
    if ENVIRONMENT not in config.parameters:
        return ""
    return str(config.parameters[ENVIRONMENT].string_value).removeprefix(IN_MODEL).strip("/")


def is_inside(path: str, *, within: str = IN_MODEL) -> bool:
    """A relative path that stays in its folder. `within`: the whole value, which must begin with the folder's name."""
    parts = path.split("/")
    return (
        within.startswith(IN_MODEL)
        and not path.startswith("/")
        and ".." not in parts
        and "\\" not in path
        and path.isprintable()
        and "$" not in path
    )


def _short(value: str) -> str:
    return repr(value if len(value) <= SHOWN else f"{value[:SHOWN]}…")
