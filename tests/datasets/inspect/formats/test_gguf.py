"""Headers of GGUF files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats import gguf
from tests.datasets.inspect.made import PATIENT, damaged, text, told
from tests.datasets.inspect.made import gguf as written

TOKENS = struct.pack("<IQ", 8, 3) + text("<s>") + text("</s>") + text("a" * 100)
WHOLE = written(
    [
        ("general.architecture", 8, text("llama")),
        ("general.name", 8, text("Tiny")),
        ("general.file_type", 4, struct.pack("<I", 15)),
        ("llama.context_length", 4, struct.pack("<I", 8192)),
        ("tokenizer.ggml.tokens", 9, TOKENS),
        ("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 3) + bytes(12)),
        ("tokenizer.chat_template", 8, text("x" * 10_000)),
        ("llama.rope.freq_base", 6, struct.pack("<f", 1e4)),
    ]
)


def read(path: Path, data: bytes) -> gguf.Gguf:
    path.write_bytes(data)
    return gguf.read(path, Budget(steps=10_000))


def test_name_context_and_quantisation_are_read_and_vocabularies_read_over(tmp_path: Path) -> None:
    model = read(tmp_path / "m.gguf", WHOLE)
    assert dict(model.facts) == {
        "Name": "Tiny",
        "Architecture": "llama",
        "Quantisation": "Q4_K_M",
        "Context": "8192 tokens",
        "Tensors": "2",
    }
    assert "tokenizer.chat_template" not in model.values and model.values["llama.rope.freq_base"] == 1e4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGML" + bytes(40), "not a GGUF file"),
        (written([], version=1), "of version 1"),
        (WHOLE[:60], "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 60), "which cannot be"),
        (written([("a", 99, b"")]), "unknown type 99"),
        (written([("a", 9, struct.pack("<IQ", 6, 1 << 60))]), "cut short"),
        (written([("a", 9, struct.pack("<IQ", 8, 1 << 60))]), "cut short"),
        (written([("a", 9, struct.pack("<IQ", 9, 1))]), "cannot be read over"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        read(tmp_path / "m.gguf", data)


@PATIENT
@given(damaged(WHOLE))
def test_a_damaged_header_ends_in_one_kind_of_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    with told():
        assert read(tmp_path_factory.getbasetemp() / "m.gguf", data).facts is not None
