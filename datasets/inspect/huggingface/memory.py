"""How much memory of a GPU a language model needs. Pure arithmetic; sizes in bytes.

    total = weights + KV cache + margin
    weights  = the bytes of the weight files, or parameters x bytes of the chosen datatype
    KV cache = tokens x bytes per token, tokens = max model length x requests at once
    bytes per token = 2 (key and value) x layers x key-value heads x head size x bytes of a number
    margin   = 10 % of the weights for what is computed on the way, and 1 GiB for CUDA and vLLM itself

The bytes per token are those of "Efficient Memory Management for Large Language Model Serving with PagedAttention"
(Kwon et al., SOSP 2023, section 3): 2 x 5120 x 40 x 2 = 800 KiB for OPT-13B, whose heads have 5120 numbers together.
With grouped queries only the key-value heads count. Multi-head latent attention keeps one latent vector and one rotary
key for each layer instead: layers x (kv_lora_rank + qk_rope_head_dim) ("DeepSeek-V2", 2024, section 2.1). The margin is
our own estimate, and on the safe side for models of billions of parameters. A sliding window, or layers without
attention, need less than this says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

GIB: Final = 1 << 30
MARGIN_SHARE: Final = 0.10
MARGIN_BYTES: Final = 1 * GIB
BYTES_OF: Final = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1, "float8_e4m3fn": 1}
MOST: Final = 1 << 40
"""No number in a config.json that counts something is larger."""


@dataclass(frozen=True)
class Attention:
    """What the key-value cache is made of."""

    layers: int
    heads: int
    kv_heads: int
    head_size: int
    latent: int = 0
    """Numbers for a token in each layer, of multi-head latent attention; 0 for all others."""

    @property
    def numbers_per_token(self) -> int:
        if self.latent:
            return self.layers * self.latent
        return 2 * self.layers * self.kv_heads * self.head_size


def attention(config: Mapping[str, Any]) -> Attention | None:
    """From config.json (of the language model); None when it does not say enough."""
    layers = _first(config, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
    heads = _first(config, "num_attention_heads", "n_head", "num_heads", "n_heads")
    size = _first(config, "hidden_size", "n_embd", "d_model", "dim")
    if not layers or not heads:
        return None
    head_size = _first(config, "head_dim", "kv_channels", "d_kv") or (size // heads if size else 0)
    kv_heads = _first(config, "num_key_value_heads", "num_kv_heads", "n_kv_heads", "multi_query_group_num") or heads
    if config.get("multi_query") is True and not config.get("new_decoder_architecture"):  # Falcon 7B
        kv_heads = 1
    latent = 0
    if rank := _first(config, "kv_lora_rank"):
        latent = rank + (_first(config, "qk_rope_head_dim") or 0)
    return Attention(layers, heads, kv_heads, head_size, latent) if head_size or latent else None


def kv_bytes_per_token(shape: Attention, dtype: str) -> int:
    """`dtype`: of the cache, that of the model unless vLLM is told otherwise; unknown ones count as 16 bits."""
    return shape.numbers_per_token * BYTES_OF.get(dtype, 2)


def needed(weights: int, kv_per_token: int, max_model_len: int, requests: int = 1) -> int:
    """Bytes in all, for so many requests of full length at once."""
    margin = int(weights * MARGIN_SHARE) + MARGIN_BYTES
    return weights + kv_per_token * max_model_len * requests + margin


def _first(config: Mapping[str, Any], *names: str) -> int | None:
    return next((value for name in names if type(value := config.get(name)) is int and 0 < value < MOST), None)
