"""What a Hugging Face folder says: architecture, parameters, datatype, context, attention, quantisation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from datasets.inspect import windows_text
from datasets.inspect.budget import Budget
from datasets.inspect.errors import TooMuch, Unreadable
from datasets.inspect.formats import safetensors
from datasets.inspect.huggingface import memory

MOST_JSON: Final = 16 << 20
PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
NOT_WEIGHTS: Final = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")
"""What training leaves beside the weights; nothing that serves a model opens it."""
TOKENIZERS: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
    "tiktoken.model",
)
LENGTHS: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
"""What different architectures call the length of their context."""
DTYPE_NAMES: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "fp8", "F64": "float64"}
CODE_IN: Final = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
INDEX: Final = "model.safetensors.index.json"


@dataclass
class Model:
    config: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)
    """Config of the language model: the whole config, or the part of a model that sees as well."""
    weights: tuple[str, ...] = ()
    weights_bytes: int = 0
    parameters: int = 0
    exact: bool = False
    """Whether `parameters` was counted in the headers of the weights; else it follows from their size."""
    dtype: str = ""
    """Datatype of most weights."""
    custom_code: tuple[str, ...] = ()
    """Files with an auto_map, which names Python code to run."""
    problems: list[str] = field(default_factory=list)

    @property
    def architectures(self) -> list[str]:
        names = self.config.get("architectures")
        return [str(name) for name in names] if isinstance(names, list) else []

    @property
    def kv_dtype(self) -> str:
        dtype = self.text.get("dtype") or self.text.get("torch_dtype") or self.config.get("torch_dtype")
        return dtype if isinstance(dtype, str) else self.dtype


def read(folder: Path, budget: Budget | None = None) -> Model:
    """Never raises Unreadable: what is wrong is in `problems`. Raises OSError."""
    budget = budget or Budget()
    model = Model()
    model.config = _json(model, folder, "config.json")
    if not model.architectures and not model.problems:
        model.problems.append('config.json names no "architectures": vLLM cannot tell what to load.')
    inner = model.config.get("text_config")
    model.text = inner if isinstance(inner, dict) else model.config
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    model.problems += windows_text.problems_for_vllm(folder, names)
    index = _json(model, folder, INDEX)
    model.weights = weight_files(names, index)
    model.weights_bytes = sum((folder / name).stat().st_size for name in model.weights if name in names)
    _check_shards(model, index, names)
    _count(model, folder, names, budget)
    model.custom_code = tuple(name for name in CODE_IN if "auto_map" in _json(model, folder, name))
    if not any(name in names for name in TOKENIZERS):
        model.problems.append("There is no tokenizer: expected tokenizer.json or tokenizer.model beside config.json.")
    return model


def _json(model: Model, folder: Path, name: str) -> dict[str, Any]:
    try:
        return read_json(folder / name)
    except Unreadable as error:
        if (problem := f"{error}.") not in model.problems:
            model.problems.append(problem)
        return {}


def read_json(path: Path) -> dict[str, Any]:
    """{} for a file that is missing, or that is there with its size only. Raises Unreadable, naming the file."""
    if not path.is_file():
        return {}
    if path.stat().st_size > MOST_JSON:
        raise Unreadable(f"{path.name} is larger than {MOST_JSON >> 20} MiB: that is no configuration")
    content = path.read_bytes()
    if content and not content.strip(b"\0"):
        return {}
    try:
        document = json.loads(content)
    except RecursionError as error:
        raise Unreadable(f"{path.name} is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"{path.name} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise Unreadable(f"{path.name} must hold a JSON object")
    return document


def weight_files(names: list[str], index: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that are loaded: what the index names, or all of the best format; not a second copy of the same weights."""
    named = index.get("weight_map")
    if isinstance(named, dict) and named:
        return tuple(sorted({name for name in named.values() if isinstance(name, str)}))
    tensor_files = [name for name in names if name.endswith(".safetensors")]
    if "model.safetensors" in tensor_files:
        return ("model.safetensors",)
    if tensor_files:
        return tuple(name for name in tensor_files if not name.startswith("consolidated")) or tuple(tensor_files)
    pickles = [name for name in names if name.endswith(PICKLES) and not name.startswith(NOT_WEIGHTS)]
    return tuple(pickles)


def _check_shards(model: Model, index: Mapping[str, Any], names: list[str]) -> None:
    missing = sorted(set(model.weights) - set(names)) if index else []
    if missing:
        model.problems.append(f"Files of the weights are missing: {', '.join(missing[:5])}. Copy the whole folder.")
    elif not model.weights and any(name.endswith(".gguf") for name in names):
        model.problems.append("The weights are GGUF files, which cannot be served here: use safetensors files instead.")
    elif not model.weights:
        model.problems.append("There are no weights: expected *.safetensors files beside config.json.")


def _count(model: Model, folder: Path, names: list[str], budget: Budget) -> None:
    counts: dict[str, int] = {}
    is_exact = bool(model.weights)
    for name in model.weights:
        if name not in names or not name.endswith(".safetensors"):
            is_exact = False
            continue
        try:
            header = safetensors.read(folder / name, budget)
        except TooMuch:
            is_exact = False
            break
        except Unreadable as error:
            model.problems.append(f"{name}: {error}.")
            header = None
        if header is None:
            is_exact = False
            continue
        for kind, number in safetensors.count(header, bits(model.config)).items():
            counts[kind] = counts.get(kind, 0) + number
    if counts:
        kind = max(counts, key=lambda name: counts[name])
        model.dtype = DTYPE_NAMES.get(kind, kind.lower())
    model.parameters, model.exact = (sum(counts.values()), True) if is_exact else (0, False)
    model.dtype = model.dtype or model.kv_dtype
    if not model.parameters and (each := memory.BYTES_OF.get(model.dtype)):
        model.parameters = model.weights_bytes // each


def context_length(config: Mapping[str, Any]) -> int | None:
    """Tokens, as config.json has it; None when it does not say. A scaled RoPE makes it longer."""
    length = next((value for name in LENGTHS if type(value := config.get(name)) is int and value > 0), None)
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if length and isinstance(scaling, dict) and scaling.get("rope_type", scaling.get("type")) in ("yarn", "linear"):
        factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
        if isinstance(factor, int | float) and 1 <= factor < 1e6:
            return max(length, int((original if type(original) is int else length) * factor))
    return length


def quantization(config: Mapping[str, Any]) -> str:
    method = _quantization(config).get("quant_method")
    return method if isinstance(method, str) else ""


def bits(config: Mapping[str, Any]) -> int:
    """Bits of one packed number; 4 by default."""
    settings = _quantization(config)
    value = settings.get("bits") or settings.get("w_bit")
    if value is None and isinstance(groups := settings.get("config_groups"), dict):
        weights = [group.get("weights") for group in groups.values() if isinstance(group, dict)]
        value = next((one.get("num_bits") for one in weights if isinstance(one, dict)), None)
    return value if type(value) is int and 1 <= value <= 32 else 4


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = config.get("quantization_config") or config.get("compression_config")
    return settings if isinstance(settings, dict) else {}


def human(count: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.{2 if letter == 'B' else 1}f} {letter}"
    return str(count) if count else ""
