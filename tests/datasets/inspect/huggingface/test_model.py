"""What a Hugging Face folder says, with the numbers of models that everybody knows."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.inspect.folder import inspect
from datasets.inspect.huggingface import model as huggingface
from datasets.inspect.huggingface.memory import GIB
from tests.datasets.inspect import made
from tests.datasets.inspect.made import LLAMA_3_8B, PATIENT, config, llama_shapes, safetensors


def test_llama_3_8b_is_counted_to_the_last_parameter(tmp_path: Path) -> None:
    safetensors(config(tmp_path, LLAMA_3_8B) / "model.safetensors", llama_shapes(LLAMA_3_8B))
    model = huggingface.read(tmp_path)
    assert (model.parameters, model.exact, model.dtype) == (8_030_261_248, True, "bfloat16")
    report = inspect(tmp_path)
    assert report.kind == "huggingface" and not report.problems and not report.executable
    facts = dict(report.facts)
    assert facts["Parameters"] == "8.03 B" and facts["Memory of the weights"] == "about 15.0 GiB"
    assert facts["Attention heads"] == "32 of size 128, 8 for keys and values"
    assert facts["KV cache"] == "128 KiB a token, 1.0 GiB for all of them"
    assert facts["GPU memory"].startswith("about 18.5 GiB for one request of 8192 tokens")
    assert report.memory is not None
    assert (report.memory.kv_per_token, report.memory.max_model_len) == (131_072, 8192)
    assert report.memory.weights == 16_060_522_496


def test_weights_take_the_room_of_the_datatype_that_the_configuration_names(tmp_path: Path) -> None:
    safetensors(config(tmp_path, LLAMA_3_8B) / "model.safetensors", {"w": ("F32", (1000, 1000))})
    report = inspect(tmp_path)
    assert report.memory is not None and report.memory.weights == 2_000_000
    assert dict(report.facts)["Data type of the weights"] == "float32"


def test_shards_are_counted_once_and_missing_ones_named(tmp_path: Path) -> None:
    shapes = llama_shapes({**LLAMA_3_8B, "num_hidden_layers": 2})
    names = list(shapes)
    halves = {"model-1.safetensors": names[:10], "model-2.safetensors": names[10:]}
    index = {"weight_map": {name: file for file, several in halves.items() for name in several}}
    config(tmp_path, {**LLAMA_3_8B, "num_hidden_layers": 2})
    (tmp_path / huggingface.INDEX).write_text(json.dumps(index))
    for file, several in halves.items():
        safetensors(tmp_path / file, {name: shapes[name] for name in several})
    safetensors(tmp_path / "consolidated.safetensors", shapes)  # the same once more, as Mistral publishes it
    whole = huggingface.read(tmp_path)
    assert whole.exact and whole.parameters == 1_486_901_248 and not whole.problems
    (tmp_path / "model-2.safetensors").unlink()
    [problem] = inspect(tmp_path).problems
    assert problem == "Files of the weights are missing: model-2.safetensors. Copy the whole folder."


@pytest.mark.parametrize(
    ("values", "method", "bits"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "gptq", 8),
        ({"quantization_config": {"quant_method": "awq", "w_bit": 4}}, "awq", 4),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {"group_0": {"weights": {"num_bits": 8}}},
                }
            },
            "compressed-tensors",
            8,
        ),
        ({}, "", 4),
        ({"quantization_config": []}, "", 4),
    ],
)
def test_the_quantisation_is_told(values: dict[str, Any], method: str, bits: int) -> None:
    assert (huggingface.quantization(values), huggingface.bits(values)) == (method, bits)


def test_a_gptq_model_counts_what_it_holds_in_its_numbers(tmp_path: Path) -> None:
    folder = config(tmp_path, {**LLAMA_3_8B, "quantization_config": {"quant_method": "gptq", "bits": 4}})
    safetensors(folder / "model.safetensors", {"q.qweight": ("I32", (512, 4096)), "e": ("F16", (10, 10))})
    facts = dict(inspect(folder).facts)
    assert facts["Parameters"] == "16.8 M" and facts["Quantisation"] == "gptq, 4 bits"


@pytest.mark.parametrize(
    ("values", "length"),
    [
        ({"max_position_embeddings": 8192}, 8192),
        ({"n_positions": 1024}, 1024),
        ({}, None),
        (
            {
                "max_position_embeddings": 4096,
                "rope_scaling": {"type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096},
            },
            131_072,
        ),
        ({"max_position_embeddings": 131_072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131_072),
        ({"max_position_embeddings": "many"}, None),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": float("inf")}}, 4096),
    ],
)
def test_the_context_is_told(values: dict[str, Any], length: int | None) -> None:
    assert huggingface.context_length(values) == length


def test_an_encoder_keeps_no_cache(tmp_path: Path) -> None:
    values = {
        "architectures": ["BertModel"],
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_size": 768,
        "max_position_embeddings": 512,
    }
    safetensors(config(tmp_path, values) / "model.safetensors", {"w": ("F32", (1000, 1000))})
    report = inspect(tmp_path)
    assert report.memory is not None and report.memory.kv_per_token is None
    assert "GPU memory" not in dict(report.facts) and report.memory.weights < GIB


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "config.json is not valid JSON"),
        ("config.json", b"[" * 200_000, "nested too deeply"),
        ("config.json", b"[1]", "config.json must hold a JSON object"),
        ("model.safetensors", b"\x05\0\0\0\0\0\0\0hello", "model.safetensors: it is not a safetensors file"),
        ("model.safetensors.index.json", b"nonsense", "model.safetensors.index.json is not valid JSON"),
        ("model.safetensors", None, "There are no weights"),
        ("tokenizer.json", None, "There is no tokenizer"),
    ],
    ids=range(7),
)
def test_what_is_broken_is_said_and_the_rest_still_read(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    safetensors(config(tmp_path, LLAMA_3_8B) / "model.safetensors", {"w": ("BF16", (10,))})
    (tmp_path / name).unlink(missing_ok=True)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    report = inspect(tmp_path)
    assert report.kind == "huggingface" and any(message in problem for problem in report.problems), report.problems


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 1 << 70) | st.floats() | st.text(max_size=5),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        *LLAMA_3_8B,
        "text_config",
        "quantization_config",
        "rope_scaling",
        "kv_lora_rank",
        "head_dim",
        "auto_map",
        "weight_map",
        "dtype",
        "multi_query",
    ]
)


@PATIENT
@given(st.dictionaries(KEYS, VALUES, max_size=8), st.dictionaries(KEYS, VALUES, max_size=2))
def test_a_config_of_any_values_is_read(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], index: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    made.config(folder, {"model_type": "x", **values})
    (folder / huggingface.INDEX).write_text(json.dumps(index))
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert inspect(folder).whole


def test_weights_as_gguf_and_a_config_without_architectures_are_named(tmp_path: Path) -> None:
    config(tmp_path, {"model_type": "llama"})
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert huggingface.read(tmp_path).problems == [
        'config.json names no "architectures": vLLM cannot tell what to load.',
        "The weights are GGUF files, which cannot be served here: use safetensors files instead.",
    ]
