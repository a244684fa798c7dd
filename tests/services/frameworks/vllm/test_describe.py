"""What is said of a Hugging Face folder before anything starts."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from services.frameworks.vllm.describe import describe
from tests.datasets.inspect.made import LLAMA_3_8B, config, llama_shapes, safetensors

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "dtype": "float32",
    "max_position_embeddings": 2048,
    "num_attention_heads": 4,
    "hidden_size": 256,
}


def weights(path: Path, shape: tuple[int, ...] = (10, 100), dtype: str = "F32", size: int = 4000) -> None:
    header = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


def model(root: Path, config: dict[str, Any] | None = None, template: str = "{{ messages }}") -> Path:
    (root / "config.json").write_text(json.dumps({**CONFIG, **(config or {})}))
    (root / "tokenizer.json").write_text("{}")
    (root / "tokenizer_config.json").write_text(json.dumps({"chat_template": template} if template else {}))
    weights(root / "model.safetensors")
    return root


def adapter(root: Path, rank: int = 8) -> None:
    weights(root / "adapter_model.safetensors")
    (root / "adapter_config.json").write_text(json.dumps({"r": rank}))


def problem(tree: Path, config: dict[str, Any] | None = None) -> str:
    [message] = describe(tree, config or {}).problems
    return message


def test_a_chat_model_is_told_by_its_files(tmp_path: Path) -> None:
    description = describe(model(tmp_path), {})
    assert not description.problems and not description.notes
    assert (description.task, description.max_model_len, description.backend) == ("chat", 2048, "vllm")
    assert dict(description.facts) == {
        "Architecture": "LlamaForCausalLM",
        "Parameters": "1.0 K",
        "Data type of the weights": "float32",
        "Context": "2048 tokens",
        "Chat template": "yes",
        "Memory of the weights": "about 0.1 GiB",
    }


def test_without_a_chat_template_it_completes(tmp_path: Path) -> None:
    tree = model(tmp_path, template="")
    assert describe(tree, {}).task == "completion"
    assert "no chat template" in problem(tree, {"task": "chat"})
    (tree / "chat_template.jinja").write_text("{{ messages }}")
    assert describe(tree, {}).task == "chat"


def test_a_model_that_does_not_generate_embeds(tmp_path: Path) -> None:
    tree = model(tmp_path, {"architectures": ["BertModel"]})
    assert describe(tree, {}).task == "embedding"
    assert "choose the task embedding" in problem(tree, {"task": "chat"})


def test_the_asked_for_length_is_kept_and_may_not_exceed_the_models(tmp_path: Path) -> None:
    assert describe(model(tmp_path), {"max_model_len": 512}).max_model_len == 512
    assert "2048: choose at most that" in problem(tmp_path, {"max_model_len": 4096})
    scaled = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}
    assert not describe(model(tmp_path, {"rope_scaling": scaled}), {"max_model_len": 8192}).problems


def test_large_files_that_were_not_looked_into_are_counted_by_size(tmp_path: Path) -> None:
    tree = model(tmp_path)
    for name in ("model.safetensors", "tokenizer.json"):
        (tree / name).unlink()
        (tree / name).touch()
        os.truncate(tree / name, 4 << 30)
    description = describe(tree, {})
    assert not description.problems
    facts = dict(description.facts)
    assert (facts["Parameters"], facts["Memory of the weights"]) == ("about 1.07 B", "about 4.0 GiB")
    assert dict(describe(tree, {"dtype": "bfloat16"}).facts)["Memory of the weights"] == "about 2.0 GiB"


def test_code_of_the_model_needs_trust(tmp_path: Path) -> None:
    tree = model(tmp_path, {"auto_map": {"AutoModel": "modeling.Mine"}})
    assert "an administrator may set trust_remote_code" in problem(tree)
    description = describe(tree, {"trust_remote_code": True})
    assert not description.problems and "only for models that you trust" in description.notes[0]


def test_pickles_are_noted(tmp_path: Path) -> None:
    tree = model(tmp_path)
    (tree / "model.safetensors").rename(tree / "pytorch_model.bin")
    description = describe(tree, {})
    assert not description.problems and "can hold code" in description.notes[0]


def test_another_quantisation_than_the_models_is_a_problem(tmp_path: Path) -> None:
    tree = model(tmp_path, {"quantization_config": {"quant_method": "awq"}})
    assert not describe(tree, {"quantization": "awq_marlin"}).problems
    assert "quantised with awq, not fp8" in problem(tree, {"quantization": "fp8"})


def test_heads_that_cannot_be_split_are_a_problem(tmp_path: Path) -> None:
    assert "4 attention heads" in problem(model(tmp_path), {"tensor_parallel_size": 3})


def test_adapters_are_looked_at(tmp_path: Path) -> None:
    tree = model(tmp_path)
    options = {"lora_modules": [{"name": "a", "path": "adapters/a"}]}
    assert "which is not there" in problem(tree, options)
    (tree / "adapters" / "a").mkdir(parents=True)
    assert "has no adapter_config.json" in problem(tree, options)
    (tree / "adapters" / "a" / "adapter_config.json").write_text("{}")
    assert "has no *.safetensors" in problem(tree, options)
    adapter(tree / "adapters" / "a", rank=32)
    assert not describe(tree, options).problems
    assert "has rank 32" in problem(tree, {**options, "max_lora_rank": 16})
    assert "is a LoRA adapter" in problem(tree / "adapters" / "a")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "There is no config.json"),
        ("config.json", b"{", "config.json is not valid JSON"),
        ("config.json", b"[1]", "config.json must hold a JSON object"),
        ("config.json", b"{}", 'names no "architectures"'),
        ("config.json", b"[" * 200_000, "config.json is nested too deeply"),
        ("model.safetensors", None, "There are no weights"),
        ("model.safetensors", b"\x05\0\0\0\0\0\0\0hello", "not a safetensors file"),
        ("model.safetensors", b"\xff" * 100, "its first bytes are damaged"),
        ("model.safetensors", b'\x0a\0\0\0\0\0\0\0{"w": {}  }', "its header is damaged"),
        ("tokenizer.json", None, "There is no tokenizer"),
    ],
)
def test_broken_files_are_said_in_one_sentence(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    tree = model(tmp_path)
    (tree / name).unlink()
    if content is not None:
        (tree / name).write_bytes(content)
    assert message in describe(tree, {}).problems[0]


def test_weights_that_were_cut_short_are_told(tmp_path: Path) -> None:
    tree = model(tmp_path)
    os.truncate(tree / "model.safetensors", (tree / "model.safetensors").stat().st_size - 1)
    assert "model.safetensors: it is cut short: 1 bytes are missing" in problem(tree)


def test_missing_shards_are_named(tmp_path: Path) -> None:
    tree = model(tmp_path)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (tree / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002.safetensors" in problem(tree)


def test_a_folder_of_another_kind_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text("")
    assert "choose the framework Triton" in problem(tmp_path)


def test_the_memory_follows_the_length_the_datatype_and_the_gpus_that_were_chosen(tmp_path: Path) -> None:
    tree = config(tmp_path / "m", LLAMA_3_8B)
    safetensors(tree / "model.safetensors", llama_shapes(LLAMA_3_8B))
    assert "about 18.5 GiB" in describe(tree, {}).gpu_memory
    short = describe(tree, {"max_model_len": 1024}).gpu_memory
    assert "0.1 GiB for the KV cache of one request of 1024 tokens" in short
    assert "29.9 GiB for the weights, 2.0 GiB for the KV cache" in describe(tree, {"dtype": "float32"}).gpu_memory
    assert "9.2 GiB on each of 2 GPUs" in describe(tree, {"tensor_parallel_size": 2}).gpu_memory
    assert describe(tree, {}).dtype == "bfloat16"


def test_pickles_are_code_and_so_is_an_auto_map_that_is_trusted(tmp_path: Path) -> None:
    tree = model(tmp_path, {"auto_map": {"AutoModel": "modeling.Mine"}})
    assert [one.runs for one in describe(tree, {}).executable] == [False]
    assert [one.runs for one in describe(tree, {"trust_remote_code": True}).executable] == [True]
    (tree / "model.safetensors").unlink()
    (tree / "pytorch_model.bin").write_bytes(pickle.dumps(os.system))
    assert [(one.path, one.runs) for one in describe(tree, {}).executable][1] == ("pytorch_model.bin", True)
