"""A Hugging Face model folder without a model: small enough to write for a test, whole enough to be described."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "vocab_size": 256,
    "max_position_embeddings": 2048,
    "torch_dtype": "float32",
}


def write(folder: Path, **config: Any) -> Path:
    """With the adapter `adapters/pirate` in it, and a chat template."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (folder / "model.safetensors").write_bytes(safetensors(3 << 18))
    adapter = folder / "adapters" / "pirate"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text(json.dumps({"r": 8, "peft_type": "LORA"}))
    (adapter / "adapter_model.safetensors").write_bytes(safetensors(16))
    return folder


def safetensors(numbers: int) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * numbers)


def shard(folder: Path, parts: int = 2) -> None:
    """Split model.safetensors into shards with an index, as transformers saves large models."""
    content = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    metadata, body = header.pop("__metadata__", None), content[8 + size :]
    names, weights = list(header), {}
    for part in range(parts):
        file = f"model-{part + 1:05}-of-{parts:05}.safetensors"
        entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
        data = b""
        for name in names[part::parts]:
            begin, end = header[name]["data_offsets"]
            offsets = [len(data), len(data) + end - begin]
            entries[name], weights[name] = {**header[name], "data_offsets": offsets}, file
            data += body[begin:end]
        head = json.dumps(entries).encode()
        (folder / file).write_bytes(struct.pack("<Q", len(head)) + head + data)
    (folder / "model.safetensors").unlink()
    index = {"metadata": {"total_size": len(body)}, "weight_map": weights}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def move_template(folder: Path) -> None:
    """Into tokenizer_config.json, where older transformers save it."""
    path, own = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": own.read_text()}))
    own.unlink()
