"""A Hugging Face folder in words and numbers, for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from datasets.inspect import executable
from datasets.inspect.budget import Budget
from datasets.inspect.huggingface import memory
from datasets.inspect.huggingface.model import NOT_WEIGHTS, PICKLES, Model, bits, context_length, human, quantization
from datasets.inspect.report import Executable, Memory, Report

GENERATING: Final = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
CONCURRENT: Final = 16
"""Requests at once that the second estimate is for."""


def report_of(model: Model, folder: Path, name: str, files: list[str], budget: Budget) -> Report:
    executables = code_of(model, folder, files, budget)
    notes = []
    loaded = pickles_loaded(files)
    if loaded and not {one.path for one in executables} & loaded:
        notes.append(f"{min(loaded)} is a pickle, and holds nothing but tensors.")
    called = ", ".join(model.architectures) or str(model.config.get("model_type", "no architecture named"))
    return Report(
        "huggingface",
        f"A Hugging Face model: {called}.",
        name,
        facts=facts(model, memory_of(model)),
        problems=tuple(model.problems),
        notes=tuple(notes),
        executable=executables,
        memory=memory_of(model),
    )


def code_of(
    model: Model, folder: Path, files: list[str], budget: Budget, *, trusts_remote_code: bool | None = None
) -> tuple[Executable, ...]:
    """`trusts_remote_code`: what the service that loads the folder says; None without one."""
    reason = "It names Python code of its own (auto_map), which runs when the service trusts remote code."
    others = tuple(file for file in files if file.lower().endswith(executable.PROGRAMS))
    runs = trusts_remote_code is not False
    named = tuple(Executable(file, "auto_map", reason, runs, others=others) for file in model.custom_code)
    if trusts_remote_code and others and not named:  # any of its files may name them
        reason = "A Python program, and the service trusts remote code."
        named = (Executable(others[0], "python", reason, others=others),)
    return (*named, *executable.find(folder, files, pickles_loaded(files), budget))


def pickles_loaded(files: list[str]) -> frozenset[str]:
    """The pickles that vLLM would take for weights: without safetensors, every one in the folder itself."""
    own = [file for file in files if "/" not in file]
    if any(file.endswith(".safetensors") for file in own):
        return frozenset()
    return frozenset(file for file in own if file.endswith(PICKLES) and not file.startswith(NOT_WEIGHTS))


def memory_of(model: Model) -> Memory | None:
    """None without weights. They take the room of the datatype that config.json names: vLLM turns them into that."""
    if not model.weights_bytes:
        return None
    each, weights = memory.BYTES_OF.get(model.kv_dtype), model.weights_bytes
    if each and model.exact and not quantization(model.config):
        weights = model.parameters * each
    attention = memory.attention(model.text)
    per_token = memory.kv_bytes_per_token(attention, model.kv_dtype) if attention and generates(model) else None
    return Memory(weights, per_token, context_length(model.text))


def generates(model: Model) -> bool:
    """Whether it keeps keys and values of the tokens that it wrote; an encoder does not."""
    return any(name.endswith(GENERATING) for name in model.architectures)


def facts(model: Model, need: Memory | None, length: int | None = None) -> tuple[tuple[str, str], ...]:
    """`length`: tokens of the longest request, when it is not the model's own context."""
    own, attention = context_length(model.text), memory.attention(model.text)
    method = quantization(model.config)
    rows = [
        ("Architecture", ", ".join(model.architectures)),
        ("Parameters", f"{'' if model.exact else 'about '}{human(model.parameters)}" if model.parameters else ""),
        ("Data type of the weights", model.dtype),
        ("Quantisation", f"{method}, {bits(model.config)} bits" if method in ("awq", "gptq") else method),
        ("Context", f"{own} tokens" if own else ""),
        ("Layers", str(attention.layers) if attention else ""),
        ("Attention heads", heads(attention) if attention else ""),
        ("Memory of the weights", f"about {gib(need.weights)}" if need else ""),
        *memory_facts(need, length),
    ]
    return tuple((label, text) for label, text in rows if text)


def heads(attention: memory.Attention) -> str:
    if attention.latent:
        return f"{attention.heads}, with a latent cache of {attention.latent} numbers a layer"
    shared = f", {attention.kv_heads} for keys and values" if attention.kv_heads != attention.heads else ""
    return f"{attention.heads} of size {attention.head_size}{shared}"


def memory_facts(need: Memory | None, length: int | None = None) -> list[tuple[str, str]]:
    """`length`: tokens of the longest request, when it is not the model's own."""
    length = length or (need.max_model_len if need else None)
    if need is None or need.kv_per_token is None or not length:
        return []
    one, several = (gib(memory.needed(need.weights, need.kv_per_token, length, count)) for count in (1, CONCURRENT))
    return [
        ("KV cache", f"{need.kv_per_token / 1024:g} KiB a token, {gib(need.kv_per_token * length)} for all of them"),
        ("GPU memory", f"about {one} for one request of {length} tokens, {several} for {CONCURRENT} at once"),
    ]


def gpu_sentence(need: Memory | None, length: int | None, parts: int = 1) -> str:
    """What to ask for; `parts`: GPUs that one replica is spread over. "" when it cannot be told."""
    length = length or (need.max_model_len if need else None)
    if need is None or need.kv_per_token is None or not length:
        return ""
    cache = need.kv_per_token * length
    total = memory.needed(need.weights, need.kv_per_token, length)
    each = f", {gib(total // parts)} on each of {parts} GPUs" if parts > 1 else ""
    return (
        f"It needs about {gib(total)} of GPU memory{each}: {gib(need.weights)} for the weights, {gib(cache)} for the "
        f"KV cache of one request of {length} tokens, and a margin. More requests at once need that much more each."
    )


def gib(size: int) -> str:
    return f"{max(0.1, size / memory.GIB):.1f} GiB"
