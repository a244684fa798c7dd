"""Studies a Hugging Face model folder: what vLLM would serve, and what stands in the way.

Both the create form and the launch start here, so they cannot disagree. Runs no model code and asks no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.errors import ModelError
from services.frameworks.vllm.files import Folder, safetensors_header
from services.specs import GIB, ModelDescription

GENERATING: Final = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
LENGTHS: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
"""What different architectures call the length of their context."""
DTYPE_NAMES: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "fp8"}
DTYPE_BYTES: Final = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass
class Study:
    folder: Folder
    options: Mapping[str, Any]
    task: str = ""
    max_model_len: int | None = None
    parameters: int = 0
    dtype: str = ""
    """Of the weights."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def architectures(self) -> list[str]:
        said = self.folder.config.get("architectures")
        return [str(name) for name in said] if isinstance(said, list) else []


def study(tree: Path, options: Mapping[str, Any]) -> Study:
    """Never raises for bad files: what is wrong is in `problems`, one sentence each."""
    made = Study(Folder(tree), options)
    try:
        if trouble := unusable(made.folder):
            made.problems.append(trouble)
            return made
        for check in CHECKS:
            check(made)
    except ModelError as error:
        made.problems.append(str(error))
    except (OSError, UnicodeDecodeError) as error:
        made.problems.append(f"The model files cannot be read: {getattr(error, 'strerror', None) or error}.")
    return made


def describe(tree: Path, options: Mapping[str, Any]) -> ModelDescription:
    made = study(tree, options)
    return ModelDescription(
        backend="vllm", problems=tuple(made.problems), notes=tuple(made.notes), task=made.task,
        max_model_len=made.max_model_len, facts=() if made.problems and not made.task else facts(made),
    )


def facts(made: Study) -> tuple[tuple[str, str], ...]:
    length = context_length(made.folder)
    said = [
        ("Architecture", ", ".join(made.architectures)),
        ("Parameters", human(made.parameters)),
        ("Data type of the weights", made.dtype),
        ("Quantisation", quantization(made.folder)),
        ("Context", f"{length} tokens" if length else ""),
        ("Chat template", "yes" if made.folder.has_chat_template else "no"),
        ("Memory of the weights", f"about {max(0.1, weights_gib(made)):.1f} GiB"),
    ]
    return tuple((label, text) for label, text in said if text)


def unusable(folder: Folder) -> str:
    if folder.has("config.json"):
        return ""
    if folder.has("adapter_config.json"):
        return "This is a LoRA adapter, not a model: choose its base model, and name this folder as a LoRA module."
    if folder.gguf:
        return "GGUF files alone cannot be served here: use the model's Hugging Face folder, with its config.json."
    if folder.has("config.pbtxt"):
        return "This is a Triton model: choose the framework Triton."
    return "There is no config.json: vLLM serves a Hugging Face model folder. Choose that folder as the model path."


def check_weights(made: Study) -> None:
    folder = made.folder
    if folder.safetensors:
        if missing := folder.missing_shards():
            made.problems.append(f"Files of the weights are missing: {', '.join(missing[:5])}. Copy the whole folder.")
        made.parameters, kind = folder.parameters()
        made.dtype = DTYPE_NAMES.get(kind, kind.lower())
    elif folder.pickles:
        made.notes.append(
            f"The weights are Python pickles ({folder.pickles[0]}), which can hold code: prefer safetensors files."
        )
    else:
        made.problems.append("There are no weights: expected *.safetensors files beside config.json.")
    said = folder.text_config.get("dtype") or folder.text_config.get("torch_dtype") or folder.config.get("torch_dtype")
    made.dtype = made.dtype or (str(said) if said else "")
    if not made.parameters and folder.weights_bytes and made.dtype in DTYPE_BYTES:
        made.parameters = folder.weights_bytes // DTYPE_BYTES[made.dtype]


def check_code(made: Study) -> None:
    maps = [name for name in ("config.json", "tokenizer_config.json") if "auto_map" in made.folder.json(name)]
    if maps and not made.options.get("trust_remote_code"):
        made.problems.append(
            f"The model brings Python code of its own (auto_map in {' and '.join(maps)}), which would run here: an "
            "administrator may set trust_remote_code after reading it."
        )
    elif made.options.get("trust_remote_code"):
        made.notes.append(
            "Python code of the model runs on the node with the rights of the console: only for models that you trust."
            if maps else "trust_remote_code is set, and the model brings no code: leave it off."
        )  # fmt: skip


def check_task(made: Study) -> None:
    names = made.architectures
    if not names:
        made.problems.append('config.json names no "architectures": vLLM cannot tell what to load.')
        return
    generates = any(name.endswith(GENERATING) for name in names)
    template = made.folder.has_chat_template
    made.task = made.options.get("task") or (("chat" if template else "completion") if generates else "embedding")
    if made.task != "embedding" and not generates:
        made.problems.append(f"{names[0]} does not generate text: choose the task embedding.")
    elif made.task == "chat" and not template:
        made.problems.append(
            "The model has no chat template: choose the task completion, or add a chat_template to "
            "tokenizer_config.json."
        )
    if not made.folder.has_tokenizer:
        made.problems.append("There is no tokenizer: expected tokenizer.json or tokenizer.model beside config.json.")


def check_length(made: Study) -> None:
    wanted, own = made.options.get("max_model_len"), context_length(made.folder)
    made.max_model_len = wanted or own
    if wanted and own and wanted > own:
        made.problems.append(f"max_model_len is {wanted}, and the model's own context is {own}: choose at most that.")


def check_quantization(made: Study) -> None:
    own, wanted = quantization(made.folder), made.options.get("quantization")
    if own and wanted and own.replace("-", "_") not in (wanted, wanted.removesuffix("_marlin")):
        made.problems.append(f"The model is quantised with {own}, not {wanted}: leave quantization empty.")


def check_heads(made: Study) -> None:
    heads, parts = made.folder.text_config.get("num_attention_heads"), made.options.get("tensor_parallel_size", 1)
    if isinstance(heads, int) and parts > 1 and heads % parts:
        made.problems.append(
            f"tensor_parallel_size is {parts}, and the model's {heads} attention heads cannot be split so: choose one "
            "that divides them."
        )


def check_adapters(made: Study) -> None:
    for module in made.options.get("lora_modules", ()):
        path, folder = module["path"], Folder(made.folder.root / module["path"])
        if not folder.root.is_dir():
            made.problems.append(f"The LoRA module {module['name']} names the folder {path}, which is not there.")
        elif not folder.has("adapter_config.json"):
            made.problems.append(f"The folder {path} of LoRA module {module['name']} has no adapter_config.json.")
        elif not folder.safetensors:
            made.problems.append(f"The folder {path} of LoRA module {module['name']} has no *.safetensors file.")
        else:
            check_adapter(made, module["name"], folder)


def check_adapter(made: Study, name: str, folder: Folder) -> None:
    rank, most = folder.json("adapter_config.json").get("r"), made.options.get("max_lora_rank", 0)
    if isinstance(rank, int) and most and rank > most:
        made.problems.append(f"The LoRA module {name} has rank {rank}: max_lora_rank must be at least that.")
    for file in folder.safetensors:
        safetensors_header(folder.root / file)


CHECKS: Final = (
    check_weights, check_code, check_task, check_length, check_quantization, check_heads, check_adapters,
)  # fmt: skip


def context_length(folder: Folder) -> int | None:
    """Tokens, as config.json has it; None when it does not say. A scaled RoPE makes it longer."""
    config = folder.text_config
    length: int | None = next((config[name] for name in LENGTHS if isinstance(config.get(name), int)), None)
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if length and isinstance(scaling, dict) and scaling.get("rope_type", scaling.get("type")) in ("yarn", "linear"):
        factor = scaling.get("factor")
        original = scaling.get("original_max_position_embeddings")
        if isinstance(factor, int | float) and factor >= 1:
            return max(length, int((original if isinstance(original, int) else length) * factor))
    return length


def lora_rank(tree: Path, modules: list[Mapping[str, str]]) -> int:
    """The highest rank that the adapters say they have; 0 when none says."""
    said = [Folder(tree / module["path"]).json("adapter_config.json").get("r") for module in modules]
    return max((rank for rank in said if isinstance(rank, int)), default=0)


def quantization(folder: Folder) -> str:
    said = folder.config.get("quantization_config") or folder.config.get("compression_config")
    return str(said.get("quant_method") or "") if isinstance(said, dict) else ""


def weights_gib(made: Study) -> float:
    """In memory: as in the files, or as the chosen dtype makes them."""
    chosen = DTYPE_BYTES.get(made.options.get("dtype", ""))
    if chosen and made.parameters and not quantization(made.folder):
        return made.parameters * chosen / GIB
    return made.folder.weights_bytes / GIB


def human(count: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.1f} {letter}"
    return str(count) if count else ""
