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
    """Of the language model: the whole config, or the part of a model that sees as well."""
    weights: tuple[str, ...] = ()
    weights_bytes: int = 0
    parameters: int = 0
    exact: bool = False
    """Whether `parameters` was counted in the headers of the weights; else it follows from their size."""
    dtype: str = ""
    """Of most weights."""
    custom_code: tuple[str, ...] = ()
    """Files with an auto_map, which names Python code to run."""
    problems: list[str] = field(default_factory=list)

    @property
    def architectures(self) -> list[str]:
        said = self.config.get("architectures")
        return [str(name) for name in said] if isinstance(said, list) else []

    @property
    def kv_dtype(self) -> str:
        said = self.text.get("dtype") or self.text.get("torch_dtype") or self.config.get("torch_dtype")
        return said if isinstance(said, str) else self.dtype


def read(folder: Path, budget: Budget | None = None) -> Model:
    """Never raises Unreadable: what is wrong is in `problems`. Raises OSError."""
    budget = budget or Budget()
    made = Model()
    made.config = _json(made, folder, "config.json")
    if not made.architectures and not made.problems:
        made.problems.append('config.json names no "architectures": vLLM cannot tell what to load.')
    inner = made.config.get("text_config")
    made.text = inner if isinstance(inner, dict) else made.config
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    made.problems += windows_text.problems_for_vllm(folder, names)
    index = _json(made, folder, INDEX)
    made.weights = weight_files(names, index)
    made.weights_bytes = sum((folder / name).stat().st_size for name in made.weights if name in names)
    _check_shards(made, index, names)
    _count(made, folder, names, budget)
    made.custom_code = tuple(name for name in CODE_IN if "auto_map" in _json(made, folder, name))
    if not any(name in names for name in TOKENIZERS):
        made.problems.append("There is no tokenizer: expected tokenizer.json or tokenizer.model beside config.json.")
    return made


def _json(made: Model, folder: Path, name: str) -> dict[str, Any]:
    try:
        return read_json(folder / name)
    except Unreadable as error:
        if (said := f"{error}.") not in made.problems:
            made.problems.append(said)
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
        made = json.loads(content)
    except RecursionError as error:
        raise Unreadable(f"{path.name} is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"{path.name} is not valid JSON: {error}") from error
    if not isinstance(made, dict):
        raise Unreadable(f"{path.name} must hold a JSON object")
    return made


def weight_files(names: list[str], index: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that are loaded: what the index names, or all of the best format; not a second copy of the same weights."""
    named = index.get("weight_map")
    if isinstance(named, dict) and named:
        return tuple(sorted({name for name in named.values() if isinstance(name, str)}))
    found = [name for name in names if name.endswith(".safetensors")]
    if "model.safetensors" in found:
        return ("model.safetensors",)
    if found:
        return tuple(name for name in found if not name.startswith("consolidated")) or tuple(found)
    pickles = [name for name in names if name.endswith(PICKLES) and not name.startswith(NOT_WEIGHTS)]
    return tuple(pickles)


def _check_shards(made: Model, index: Mapping[str, Any], names: list[str]) -> None:
    missing = sorted(set(made.weights) - set(names)) if index else []
    if missing:
        made.problems.append(f"Files of the weights are missing: {', '.join(missing[:5])}. Copy the whole folder.")
    elif not made.weights and any(name.endswith(".gguf") for name in names):
        made.problems.append("The weights are GGUF files, which cannot be served here: use safetensors files instead.")
    elif not made.weights:
        made.problems.append("There are no weights: expected *.safetensors files beside config.json.")


def _count(made: Model, folder: Path, names: list[str], budget: Budget) -> None:
    counts: dict[str, int] = {}
    known = bool(made.weights)
    for name in made.weights:
        if name not in names or not name.endswith(".safetensors"):
            known = False
            continue
        try:
            header = safetensors.read(folder / name, budget)
        except TooMuch:
            known = False
            break
        except Unreadable as error:
            made.problems.append(f"{name}: {error}.")
            header = None
        if header is None:
            known = False
            continue
        for kind, number in safetensors.count(header, bits(made.config)).items():
            counts[kind] = counts.get(kind, 0) + number
    if counts:
        kind = max(counts, key=lambda name: counts[name])
        made.dtype = DTYPE_NAMES.get(kind, kind.lower())
    made.parameters, made.exact = (sum(counts.values()), True) if known else (0, False)
    made.dtype = made.dtype or made.kv_dtype
    if not made.parameters and (each := memory.BYTES_OF.get(made.dtype)):
        made.parameters = made.weights_bytes // each


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
    said = _quantization(config).get("quant_method")
    return said if isinstance(said, str) else ""


def bits(config: Mapping[str, Any]) -> int:
    """Of one packed number; 4 when nothing is said."""
    said = _quantization(config)
    value = said.get("bits") or said.get("w_bit")
    if value is None and isinstance(groups := said.get("config_groups"), dict):
        weights = [group.get("weights") for group in groups.values() if isinstance(group, dict)]
        value = next((one.get("num_bits") for one in weights if isinstance(one, dict)), None)
    return value if type(value) is int and 1 <= value <= 32 else 4


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    said = config.get("quantization_config") or config.get("compression_config")
    return said if isinstance(said, dict) else {}


def human(count: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.{2 if letter == 'B' else 1}f} {letter}"
    return str(count) if count else ""
