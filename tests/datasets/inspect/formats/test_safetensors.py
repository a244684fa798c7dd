"""Headers of safetensors files: what they say, and each way in which they can be wrong."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats import safetensors
from datasets.inspect.huggingface import model as huggingface
from tests.datasets.inspect import made
from tests.datasets.inspect.made import PATIENT, damaged, told
from tests.servers import vllm


def write(path: Path, header: Any, size: int) -> Path:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(size))
    return path


def tensor(start: int, end: int, shape: tuple[int, ...] = (4,), dtype: str = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_tensors_and_metadata_are_read(tmp_path: Path) -> None:
    path = made.safetensors(tmp_path / "m.safetensors", {"a": ("F32", (2, 3)), "b": ("BF16", (5,))})
    header = safetensors.read(path)
    assert header is not None and header.size == 34
    assert [(one.name, one.dtype, one.shape, one.start, one.end) for one in header.tensors] == [
        ("a", "F32", (2, 3), 0, 24),
        ("b", "BF16", (5,), 24, 34),
    ]
    assert safetensors.count(header) == {"F32": 6, "BF16": 5}


def test_a_file_that_was_not_looked_into_is_none(tmp_path: Path) -> None:
    (tmp_path / "hole").write_bytes(bytes(100))
    assert safetensors.read(tmp_path / "hole") is None


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        (b"\x80not json", 0, "not a safetensors file"),
        (b'{"a": ', 0, "its header is damaged: it is no JSON"),
        (b'{"a": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}, "a": {}}', 1, "has a name twice"),
        ({"a": {"dtype": "U8", "shape": [4]}}, 4, "damaged at 'a'"),
        ({"a": tensor(0, -4)}, 4, "an offset or a size cannot be"),
        ({"a": tensor(4, 0)}, 4, "an offset or a size cannot be"),
        ({"a": {**tensor(0, 4), "dtype": 7}}, 4, "there is no datatype"),
        ({"a": tensor(0, 4, (5,))}, 4, r"U8 \[5\] does not have 4 bytes"),
        ({"a": tensor(0, 4), "b": tensor(2, 6)}, 6, "overlap at 'b'"),
        ({"a": tensor(0, 4), "b": tensor(6, 10)}, 10, "a hole before 'b'"),
        ({"a": tensor(0, 4), "b": tensor(4, 8)}, 6, "cut short: 2 bytes are missing"),
        ({"a": tensor(0, 4)}, 9, "5 bytes follow its last tensor"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, header: Any, size: int, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        safetensors.read(write(tmp_path / "m", header, size))


def test_a_header_of_endless_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="nested too deeply"):
        safetensors.read(write(tmp_path / "m", b'{"a":' + b"[" * 100_000, 0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc", "not a safetensors file"),
        (b"\xff" * 40, "first bytes are damaged"),
        (struct.pack("<Q", 500) + b"{}", "cut short inside its header"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(Unreadable, match=message):
        safetensors.read(tmp_path / "m")


@pytest.mark.parametrize(
    ("shapes", "bits", "count"),
    [
        # 4096 x 4096 in 4 bits: GPTQ packs eight of them into a number, along the rows.
        (
            {
                "q.qweight": ("I32", (512, 4096)),
                "q.qzeros": ("I32", (32, 512)),
                "q.scales": ("F16", (32, 4096)),
                "q.g_idx": ("I32", (4096,)),
            },
            4,
            4096 * 4096,
        ),
        ({"q.qweight": ("I32", (1024, 4096))}, 8, 4096 * 4096),
        ({"e.gate_up_proj_blocks": ("U8", (2, 10, 16)), "e.gate_up_proj_scales": ("U8", (2, 10))}, 4, 640),
        ({"w": ("U8", (50, 1)), "w.absmax": ("F32", (2,)), "w.quant_map": ("F32", (16,))}, 4, 100),
        ({"w": ("F8_E4M3", (50, 2)), "w.weight_scale_inv": ("F32", (1,))}, 4, 100),
    ],
)
def test_packed_weights_count_as_the_numbers_that_they_hold(
    tmp_path: Path, shapes: dict[str, tuple[str, tuple[int, ...]]], bits: int, count: int
) -> None:
    header = safetensors.read(made.safetensors(tmp_path / "m", shapes))
    assert header is not None and sum(safetensors.count(header, bits).values()) == count


HEADER, SIZE = made.safetensors_header({"a": ("F32", (2, 3)), "b": ("BF16", (5,))})


@PATIENT
@given(damaged(HEADER), st.integers(0, 50))
def test_a_damaged_header_ends_in_one_kind_of_error(data: bytes, size: int) -> None:
    with told():
        safetensors.count(safetensors.parse(data, size, Budget()))


WRITE = """
import torch
from safetensors.torch import save_file
kinds = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn)
tensors = {str(kind): torch.zeros(3, 5).to(kind) for kind in kinds}
save_file({**tensors, "empty": torch.zeros(0, 4), "scalar": torch.tensor(1.0)}, "m.safetensors", {"format": "pt"})
"""


@pytest.mark.slow
def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    subprocess.run([vllm.runtime_root() / "bin" / "python", "-P", "-c", WRITE], cwd=tmp_path, check=True, timeout=120)
    header = safetensors.read(tmp_path / "m.safetensors")
    assert header is not None and header.metadata == {"format": "pt"} and len(header.tensors) == 9
    assert {one.dtype for one in header.tensors} == {"F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3"}
    assert sum(safetensors.count(header).values()) == 7 * 15 + 1


def test_the_trained_sample_is_counted_as_the_library_counts_it() -> None:
    folder = vllm.sample_model()
    model = huggingface.read(folder)
    assert (model.parameters, model.exact, model.problems) == (1_705_216, True, [])
