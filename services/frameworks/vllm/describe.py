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
    said: huggingface.Model = field(default_factory=huggingface.Model)
    """What the folder says by itself."""
    task: str = ""
    max_model_len: int | None = None
    parameters: int = 0
    dtype: str = ""
    """Of the weights."""
    executable: tuple[Executable, ...] = ()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def architectures(self) -> list[str]:
        return self.said.architectures

    @property
    def gpu_memory(self) -> str:
        return words.gpu_sentence(need(self), self.max_model_len, self.options.get("tensor_parallel_size", 1))


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
        if str(error) not in made.problems:
            made.problems.append(str(error))
    except (OSError, UnicodeDecodeError) as error:
        made.problems.append(f"The model files cannot be read: {getattr(error, 'strerror', None) or error}.")
    return made


def describe(tree: Path, options: Mapping[str, Any]) -> ModelDescription:
    made = study(tree, options)
    return ModelDescription(
        backend="vllm",
        problems=tuple(made.problems),
        notes=tuple(made.notes),
        task=made.task,
        max_model_len=made.max_model_len,
        facts=() if made.problems and not made.task else facts(made),
        dtype=made.said.kv_dtype if made.said.kv_dtype in DTYPES else "",
        gpu_memory=made.gpu_memory,
        executable=made.executable,
    )


def facts(made: Study) -> tuple[tuple[str, str], ...]:
    """What the files say, with the memory that the chosen length and datatype need."""
    said = [*words.facts(made.said, need=need(made), length=made.max_model_len)]
    template = "yes" if made.folder.has_chat_template else "no"
    said.insert(-2 if made.gpu_memory else len(said), ("Chat template", template))
    return tuple(said)


def need(made: Study) -> Memory | None:
    """With the datatype that was chosen, which is that of the cache as well."""
    found, dtype = words.memory_of(made.said), made.options.get("dtype", "")
    chosen = memory.BYTES_OF.get(dtype)
    if found is None or chosen is None:
        return found
    weights = found.weights
    if made.parameters and not huggingface.quantization(made.said.config):
        weights = made.parameters * chosen
    attention = memory.attention(made.said.text)
    if found.kv_per_token is None or attention is None:
        return Memory(weights, None, found.max_model_len)
    return Memory(weights, memory.kv_bytes_per_token(attention, dtype), found.max_model_len)


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


def check_weights(made: Study) -> None:
    said = made.said = huggingface.read(made.folder.root)
    made.problems += said.problems
    made.parameters, made.dtype = said.parameters, said.dtype
    if not made.folder.safetensors and made.folder.pickles:
        made.notes.append(
            f"The weights are Python pickles ({made.folder.pickles[0]}), which can hold code: prefer safetensors files."
        )


def check_code(made: Study) -> None:
    budget, trusting = Budget(), bool(made.options.get("trust_remote_code"))
    try:
        files = files_below(made.folder.root, budget)
        made.executable = words.code_of(made.said, made.folder.root, files, budget, trusts_remote_code=trusting)
    except TooMuch as error:
        raise ModelError(f"The folder cannot be looked through for code: {error}.") from error
    maps = [name for name in ("config.json", "tokenizer_config.json") if "auto_map" in made.folder.json(name)]
    if maps and not made.options.get("trust_remote_code"):
        made.problems.append(
            f"The model brings Python code of its own (auto_map in {' and '.join(maps)}), which would run here: an "
            "administrator may set trust_remote_code after reading it."
        )
    elif made.options.get("trust_remote_code"):
        made.notes.append(
            "Python code of the model runs on the node with the rights of the console: only for models that you trust."
            if maps
            else "trust_remote_code is set, and the model brings no code: leave it off."
        )


def check_task(made: Study) -> None:
    names = made.architectures
    if not names:
        return  # said of the folder
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


def check_length(made: Study) -> None:
    wanted, own = made.options.get("max_model_len"), huggingface.context_length(made.folder.text_config)
    made.max_model_len = wanted or own
    if wanted and own and wanted > own:
        made.problems.append(f"max_model_len is {wanted}, and the model's own context is {own}: choose at most that.")


def check_quantization(made: Study) -> None:
    own, wanted = huggingface.quantization(made.folder.config), made.options.get("quantization")
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
    unreadable = windows_text.problems_for_vllm(folder.root, folder.names)
    made.problems += [f"LoRA module {name}: {problem}" for problem in unreadable]
    rank, most = folder.json("adapter_config.json").get("r"), made.options.get("max_lora_rank", 0)
    if isinstance(rank, int) and most and rank > most:
        made.problems.append(f"The LoRA module {name} has rank {rank}: max_lora_rank must be at least that.")
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
    said = [Folder(tree / module["path"]).json("adapter_config.json").get("r") for module in modules]
    return max((rank for rank in said if isinstance(rank, int)), default=0)
