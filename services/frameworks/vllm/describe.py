"""Studies a Hugging Face model folder: what vLLM would serve, and what stands in the way.

Both the create form and the launch start here, so they cannot disagree. Runs no model code and asks no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from datasets.inspect import not_models, windows_text
from datasets.inspect.budget import Budget
from datasets.inspect.errors import TooMuch
from datasets.inspect.huggingface import memory
from datasets.inspect.huggingface import model as huggingface
from datasets.inspect.huggingface import summary as words
from datasets.inspect.huggingface.summary import GENERATING
from datasets.inspect.listing import files_below
from datasets.inspect.report import Executable, Memory
from services.errors import ModelError
from services.frameworks.vllm.files import Folder, check_safetensors
from services.frameworks.vllm.options import DTYPES
from services.specs import ModelDescription


@dataclass
class Study:
    folder: Folder
    options: Mapping[str, Any]
    report: huggingface.Model = field(default_factory=huggingface.Model)
    """What the folder says by itself."""
    task: str = ""
    max_model_len: int | None = None
    parameters: int = 0
    dtype: str = ""
    """Datatype of the weights."""
    executable: tuple[Executable, ...] = ()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def architectures(self) -> list[str]:
        return self.report.architectures

    @property
    def gpu_memory(self) -> str:
        return words.gpu_sentence(need(self), self.max_model_len, self.options.get("tensor_parallel_size", 1))


def study(tree: Path, options: Mapping[str, Any]) -> Study:
    """Never raises for bad files: what is wrong is in `problems`, one sentence each."""
    inspection = Study(Folder(tree), options)
    try:
        if trouble := unusable(inspection.folder):
            inspection.problems.append(trouble)
            return inspection
        for check in CHECKS:
            check(inspection)
    except ModelError as error:
        if str(error) not in inspection.problems:
            inspection.problems.append(str(error))
    except (OSError, UnicodeDecodeError) as error:
        inspection.problems.append(f"The model files cannot be read: {getattr(error, 'strerror', None) or error}.")
    return inspection


def describe(tree: Path, options: Mapping[str, Any]) -> ModelDescription:
    inspection = study(tree, options)
    return ModelDescription(
        backend="vllm",
        problems=tuple(inspection.problems),
        notes=tuple(inspection.notes),
        task=inspection.task,
        max_model_len=inspection.max_model_len,
        facts=() if inspection.problems and not inspection.task else facts(inspection),
        dtype=inspection.report.kv_dtype if inspection.report.kv_dtype in DTYPES else "",
        gpu_memory=inspection.gpu_memory,
        executable=inspection.executable,
    )


def facts(inspection: Study) -> tuple[tuple[str, str], ...]:
    """What the files say, with the memory that the chosen length and datatype need."""
    rows = [*words.facts(inspection.report, need=need(inspection), length=inspection.max_model_len)]
    template = "yes" if inspection.folder.has_chat_template else "no"
    rows.insert(-2 if inspection.gpu_memory else len(rows), ("Chat template", template))
    return tuple(rows)


def need(inspection: Study) -> Memory | None:
    """With the datatype that was chosen, which is that of the cache as well."""
    estimate, dtype = words.memory_of(inspection.report), inspection.options.get("dtype", "")
    chosen = memory.BYTES_OF.get(dtype)
    if estimate is None or chosen is None:
        return estimate
    weights = estimate.weights
    if inspection.parameters and not huggingface.quantization(inspection.report.config):
        weights = inspection.parameters * chosen
    attention = memory.attention(inspection.report.text)
    if estimate.kv_per_token is None or attention is None:
        return Memory(weights, None, estimate.max_model_len)
    return Memory(weights, memory.kv_bytes_per_token(attention, dtype), estimate.max_model_len)


def unusable(folder: Folder) -> str:
    if folder.has("config.json"):
        return ""
    if other := not_models.what_to_choose({path.name for path in folder.root.iterdir()}):
        return other
    if folder.gguf:
        return "GGUF files alone cannot be served here: use the model's Hugging Face folder, with its config.json."
    if folder.has("config.pbtxt"):
        return "This is a Triton model: choose the framework Triton."
    return "There is no config.json: vLLM serves a Hugging Face model folder. Choose that folder as the model path."


def check_weights(inspection: Study) -> None:
    report = inspection.report = huggingface.read(inspection.folder.root)
    inspection.problems += report.problems
    inspection.parameters, inspection.dtype = report.parameters, report.dtype
    if not inspection.folder.safetensors and inspection.folder.pickles:
        inspection.notes.append(
            f"The weights are Python pickles ({inspection.folder.pickles[0]}), "
            f"which can hold code: prefer safetensors files."
        )


def check_code(inspection: Study) -> None:
    budget, trusting = Budget(), bool(inspection.options.get("trust_remote_code"))
    try:
        files = files_below(inspection.folder.root, budget)
        inspection.executable = words.code_of(
            inspection.report, inspection.folder.root, files, budget, trusts_remote_code=trusting
        )
    except TooMuch as error:
        raise ModelError(f"The folder cannot be looked through for code: {error}.") from error
    maps = [name for name in ("config.json", "tokenizer_config.json") if "auto_map" in inspection.folder.json(name)]
    if maps and not inspection.options.get("trust_remote_code"):
        inspection.problems.append(
            f"The model brings Python code of its own (auto_map in {' and '.join(maps)}), which would run here: an "
            "administrator may set trust_remote_code after reading it."
        )
    elif inspection.options.get("trust_remote_code"):
        inspection.notes.append(
            "Python code of the model runs on the node with the rights of the console: only for models that you trust."
            if maps
            else "trust_remote_code is set, and the model brings no code: leave it off."
        )


def check_task(inspection: Study) -> None:
    names = inspection.architectures
    if not names:
        return  # said of the folder
    generates = any(name.endswith(GENERATING) for name in names)
    template = inspection.folder.has_chat_template
    inspection.task = inspection.options.get("task") or (
        ("chat" if template else "completion") if generates else "embedding"
    )
    if inspection.task != "embedding" and not generates:
        inspection.problems.append(f"{names[0]} does not generate text: choose the task embedding.")
    elif inspection.task == "chat" and not template:
        inspection.problems.append(
            "The model has no chat template: choose the task completion, or add a chat_template to "
            "tokenizer_config.json."
        )


def check_length(inspection: Study) -> None:
    limit, own = inspection.options.get("max_model_len"), huggingface.context_length(inspection.folder.text_config)
    inspection.max_model_len = limit or own
    if limit and own and limit > own:
        inspection.problems.append(
            f"max_model_len is {limit}, and the model's own context is {own}: choose at most that."
        )


def check_quantization(inspection: Study) -> None:
    own, method = huggingface.quantization(inspection.folder.config), inspection.options.get("quantization")
    if own and method and own.replace("-", "_") not in (method, method.removesuffix("_marlin")):
        inspection.problems.append(f"The model is quantised with {own}, not {method}: leave quantization empty.")


def check_heads(inspection: Study) -> None:
    heads, parts = (
        inspection.folder.text_config.get("num_attention_heads"),
        inspection.options.get("tensor_parallel_size", 1),
    )
    if isinstance(heads, int) and parts > 1 and heads % parts:
        inspection.problems.append(
            f"tensor_parallel_size is {parts}, and the model's {heads} attention heads cannot be split so: choose one "
            "that divides them."
        )


def check_adapters(inspection: Study) -> None:
    for module in inspection.options.get("lora_modules", ()):
        path, folder = module["path"], Folder(inspection.folder.root / module["path"])
        if not folder.root.is_dir():
            inspection.problems.append(f"The LoRA module {module['name']} names the folder {path}, which is not there.")
        elif not folder.has("adapter_config.json"):
            inspection.problems.append(f"The folder {path} of LoRA module {module['name']} has no adapter_config.json.")
        elif not folder.safetensors:
            inspection.problems.append(f"The folder {path} of LoRA module {module['name']} has no *.safetensors file.")
        else:
            check_adapter(inspection, module["name"], folder)


def check_adapter(inspection: Study, name: str, folder: Folder) -> None:
    unreadable = windows_text.problems_for_vllm(folder.root, folder.names)
    inspection.problems += [f"LoRA module {name}: {problem}" for problem in unreadable]
    rank, most = folder.json("adapter_config.json").get("r"), inspection.options.get("max_lora_rank", 0)
    if isinstance(rank, int) and most and rank > most:
        inspection.problems.append(f"The LoRA module {name} has rank {rank}: max_lora_rank must be at least that.")
    for file in folder.safetensors:
        check_safetensors(folder.root / file)


CHECKS: Final = (
    check_weights,
    check_code,
    check_task,
    check_length,
    check_quantization,
    check_heads,
    check_adapters,
)


def lora_rank(tree: Path, modules: list[Mapping[str, str]]) -> int:
    """The highest rank that the adapters say they have; 0 when none says."""
    ranks = [Folder(tree / module["path"]).json("adapter_config.json").get("r") for module in modules]
    return max((rank for rank in ranks if isinstance(rank, int)), default=0)
