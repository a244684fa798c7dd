"""The memory of a GPU that a language model needs, against numbers that others have published."""

from __future__ import annotations

from typing import Any

import pytest

from datasets.inspect.huggingface import memory
from tests.datasets.inspect.made import LLAMA_3_8B

PUBLISHED = [
    # "Efficient Memory Management for Large Language Model Serving with PagedAttention", section 3: 800 KiB.
    ({"num_hidden_layers": 40, "num_attention_heads": 40, "hidden_size": 5120}, 800 * 1024),
    # "Insights into DeepSeek-V3", table 1: 70.272 KB, 327.680 KB and 516.096 KB a token.
    (
        {
            "num_hidden_layers": 61,
            "num_attention_heads": 128,
            "num_key_value_heads": 128,
            "hidden_size": 7168,
            "kv_lora_rank": 512,
            "qk_rope_head_dim": 64,
        },
        70_272,
    ),
    ({"num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "hidden_size": 8192}, 327_680),
    ({"num_hidden_layers": 126, "num_attention_heads": 128, "num_key_value_heads": 8, "hidden_size": 16384}, 516_096),
    (LLAMA_3_8B, 2 * 32 * 8 * 128 * 2),
    # A head size of its own (Gemma 2 9B), and the names of older architectures (GPT-2).
    (
        {
            "num_hidden_layers": 42,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "hidden_size": 3584,
            "head_dim": 256,
        },
        2 * 42 * 8 * 256 * 2,
    ),
    ({"n_layer": 12, "n_head": 12, "n_embd": 768}, 2 * 12 * 768 * 2),
    ({"num_hidden_layers": 32, "num_attention_heads": 71, "hidden_size": 4544, "multi_query": True}, 2 * 32 * 64 * 2),
]


@pytest.mark.parametrize(("config", "expected"), PUBLISHED)
def test_the_cache_of_a_token_has_the_published_size(config: dict[str, Any], expected: int) -> None:
    attention = memory.attention(config)
    assert attention is not None and memory.kv_bytes_per_token(attention, "bfloat16") == expected


def test_llama_3_8b_in_bfloat16_fits_a_gpu_of_24_gib_with_its_whole_context() -> None:
    weights = 8_030_261_248 * 2
    attention = memory.attention(LLAMA_3_8B)
    assert attention is not None
    cache = memory.kv_bytes_per_token(attention, "bfloat16")
    assert cache * 8192 == memory.GIB
    total = memory.needed(weights, cache, 8192)
    assert total == weights + memory.GIB + weights // 10 + memory.GIB
    assert 18 < total / memory.GIB < 20
    assert memory.needed(weights, cache, 8192, 16) - total == 15 * memory.GIB


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_hidden_layers": 2},
        {"num_hidden_layers": "2", "num_attention_heads": 2, "hidden_size": 8},
        {"num_hidden_layers": 2, "num_attention_heads": 2},
        {"num_hidden_layers": True, "num_attention_heads": 1},
        {"num_hidden_layers": 1 << 60, "num_attention_heads": 2, "hidden_size": 8},
    ],
)
def test_of_a_config_that_says_too_little_nothing_is_said(config: dict[str, Any]) -> None:
    assert memory.attention(config) is None
