"""Writes small files of each format for tests, byte by byte: the console's environment has none of the libraries."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from datasets.inspect.errors import Unreadable

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long a reader takes is not what these are about, and machines are busy."""


class Evil:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/never",)


SYSTEM = f"{os.system.__module__}.system"


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """With some bytes changed, and cut somewhere."""

    def damage(changes: list[tuple[int, int]], cut: int) -> bytes:
        changed = bytearray(data)
        for place, byte in changes:
            changed[place] = byte
        return bytes(changed[:cut])

    places = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255))
    return st.builds(damage, st.lists(places, max_size=8), st.integers(0, len(data)))


@contextmanager
def told(beginning: str = "") -> Iterator[None]:
    """Whatever is wrong is one kind of error, with words."""
    try:
        yield
    except Unreadable as error:
        assert str(error).startswith(beginning) and str(error)


SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I32": 4, "U8": 1, "F8_E4M3": 1}


def safetensors_header(shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, int]:
    """The JSON for tensors in this order, and the bytes that must follow it."""
    position, header = 0, {}
    for name, (dtype, shape) in shapes.items():
        size = SIZES[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    return json.dumps(header).encode(), position


def safetensors(path: Path, shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> Path:
    """A whole file; its tensors are a hole, so they may have gigabytes."""
    header, size = safetensors_header(shapes)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)
    return path


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def gguf(values: Iterable[tuple[str, int, bytes]], tensors: int = 2, version: int = 3) -> bytes:
    """`values`: key, number of the type, and the value's bytes."""
    listed = list(values)
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, len(listed))
    return head + b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in listed)


def config(folder: Path, values: Mapping[str, Any], *, tokenizer: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    if tokenizer:
        (folder / "tokenizer.json").write_text("{}")
    return folder


LLAMA_3_8B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
"""As meta-llama/Meta-Llama-3-8B publishes it, without what does not matter here."""


def llama_shapes(values: Mapping[str, Any], dtype: str = "BF16") -> dict[str, tuple[str, tuple[int, ...]]]:
    """Every tensor of a Llama with this config.json."""
    wide, inner, vocabulary = values["hidden_size"], values["intermediate_size"], values["vocab_size"]
    narrow = wide // values["num_attention_heads"] * values["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, wide)}
    for layer in range(values["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (wide, wide),
            f"{at}.self_attn.k_proj.weight": (narrow, wide),
            f"{at}.self_attn.v_proj.weight": (narrow, wide),
            f"{at}.self_attn.o_proj.weight": (wide, wide),
            f"{at}.mlp.gate_proj.weight": (inner, wide),
            f"{at}.mlp.up_proj.weight": (inner, wide),
            f"{at}.mlp.down_proj.weight": (wide, inner),
            f"{at}.input_layernorm.weight": (wide,),
            f"{at}.post_attention_layernorm.weight": (wide,),
        }
    shapes |= {"model.norm.weight": (wide,), "lm_head.weight": (vocabulary, wide)}
    return {name: (dtype, shape) for name, shape in shapes.items()}
