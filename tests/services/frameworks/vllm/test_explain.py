"""Why vLLM gave up, from the ends of logs of real starts that failed (vLLM 0.32; lines and paths shortened)."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.frameworks.vllm.explain import explain

LOGS = Path(__file__).parent / "testdata" / "logs"
SENTENCES = {
    "kv_cache_too_small": "The KV cache is too small for max_model_len 1000000: choose at most 262016, or give it more "
    "memory.",
    "max_model_len": "max_model_len is 4096, and the model's own context is 2048: choose at most that.",
    "no_tokenizer": "The model's tokenizer is missing or cannot be read: tokenizer.json must lie beside config.json.",
    "port_in_use": "The HTTP port is in use by another process.",
    "quantization_on_cpu": "The quantisation fp8 does not compute in float32: choose another dtype.",
    "unknown_architecture": "vLLM does not serve models of the architecture LlamaOfMarsForCausalLM.",
    "unknown_quantization": "vLLM has no quantisation named nonsense.",
    "unknown_type": "vLLM does not serve models of the type marsllama.",
    "unknown_reasoning_parser": "vLLM has no reasoning parser named nonsense.",
    "lora_rank": "A LoRA module has rank 8, and max_lora_rank is 1: raise it.",
    "unknown_tool_parser": "vLLM has no tool call parser named nonsense.",
    "weights_cut_short": "A file of the weights is broken or cut short: copy it again.",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_failed_start_is_explained_in_one_sentence(name: str) -> None:
    assert explain((LOGS / f"{name}.txt").read_text().splitlines()) == SENTENCES[name]


def test_every_recorded_log_is_explained() -> None:
    assert {path.stem for path in LOGS.iterdir()} == set(SENTENCES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "not enough memory"),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory", "not enough"),
        (
            "ValueError: Free memory on device cuda:0 (3.2/23.5 GiB) on startup is less than desired GPU memory",
            "lower gpu_memory_utilization",
        ),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`", "KV cache"),
        ("(APIServer pid=7) RuntimeError: something of its own", "vLLM ended with RuntimeError: something of its own."),
    ],
)
def test_what_happens_on_a_gpu_only_is_explained_from_vllms_own_messages(line: str, message: str) -> None:
    assert message in explain([line, "RuntimeError: Engine core initialization failed. See root cause above."])


@pytest.mark.parametrize("log", [[], ["INFO: Application startup complete."], ["RuntimeError"], [""]])
def test_a_log_that_says_nothing_is_not_explained(log: list[str]) -> None:
    assert explain(log) == ""


def test_braces_and_long_lines_in_a_log_do_no_harm() -> None:
    message = explain(["ValueError: {0} {oops} " + "x" * 100_000])
    assert message.startswith("vLLM ended with ValueError: {0} {oops}") and len(message) < 600
