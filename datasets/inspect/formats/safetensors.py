"""The header of a safetensors file, checked as the format demands; the tensors themselves are never read.

The format (https://github.com/huggingface/safetensors#format): 8 bytes little-endian length N, N bytes of JSON, and
the tensors, which cover the rest without holes and without overlap.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable

MOST_HEADER: Final = 100_000_000
"""Bytes, as the format limits it."""
BITS: Final = {
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "C64": 64,
    "F32": 32,
    "I32": 32,
    "U32": 32,
    "F16": 16,
    "BF16": 16,
    "I16": 16,
    "U16": 16,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
}
PACKED: Final = {
    # Suffix of the name, datatype -> numbers in one element. Their scales and tables are no parameters.
    (".qweight", "I32"): "bits",
    (".weight_packed", "I32"): "bits",
    ("_blocks", "U8"): "two",
}
AUXILIARY: Final = (
    ".qzeros",
    ".g_idx",
    ".scales",
    ".absmax",
    ".quant_map",
    ".nested_absmax",
    ".nested_quant_map",
    ".weight_shape",
    ".weight_scale",
    ".input_scale",
    ".weight_zero_point",
    ".weight_g_idx",
    ".weight_scale_inv",
    "_scales",
    ".k_scale",
    ".v_scale",
    ".SCB",
    ".weight_format",
)


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """`size`: bytes of all tensors."""

    tensors: tuple[Tensor, ...]
    size: int
    metadata: dict[str, str] = field(default_factory=dict)


def read(path: Path, budget: Budget | None = None) -> Header | None:
    """None for a file that is there with its size only (a hole: see queries/peek.py). Raises OSError, Unreadable."""
    total = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length == 0 and total >= 8:
            return None
        if total < 8 or length > MOST_HEADER:
            raise Unreadable("it is not a safetensors file, or its first bytes are damaged: copy it again")
        if length > total - 8:
            raise Unreadable("it is cut short inside its header: copy it again")
        content = file.read(length)
    if not content.startswith(b"{"):
        raise Unreadable("it is not a safetensors file")
    return parse(content, total - 8 - length, budget or Budget())


def parse(content: bytes, size: int, budget: Budget) -> Header:
    """`content`: the JSON; `size`: the bytes that follow it. Raises Unreadable."""
    try:
        raw = json.loads(content, object_pairs_hook=_no_doubles)
    except RecursionError as error:
        raise Unreadable("its header is nested too deeply") from error
    except ValueError as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("its header is damaged: it is no JSON") from error
    if not isinstance(raw, dict):
        raise Unreadable("it is not a safetensors file")
    metadata = raw.pop("__metadata__", None)
    budget.step(len(raw))
    tensors = sorted((_tensor(name, entry) for name, entry in raw.items()), key=lambda one: (one.start, one.end))
    _check_places(tensors, size)
    texts = metadata if isinstance(metadata, dict) else {}
    return Header(tuple(tensors), size, {str(key): str(text) for key, text in texts.items()})


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Unreadable("its header has a name twice")
    return values


def _tensor(name: str, entry: Any) -> Tensor:
    try:
        start, end = entry["data_offsets"]
        dtype, shape = entry["dtype"], tuple(entry["shape"])
    except (LookupError, TypeError, ValueError) as error:
        raise Unreadable(f"its header is damaged at {_short(name)}") from error
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in (start, end, *shape)) or start > end:
        raise Unreadable(f"its header is damaged at {_short(name)}: an offset or a size cannot be")
    if not isinstance(dtype, str):
        raise Unreadable(f"its header is damaged at {_short(name)}: there is no datatype")
    bits = BITS.get(dtype)
    numbers = math.prod(shape) if len(shape) < 64 else -1
    if bits is not None and -(-numbers * bits // 8) != end - start:
        raise Unreadable(
            f"its header contradicts itself at {_short(name)}: {dtype} {list(shape)[:8]} does not have "
            f"{end - start} bytes"
        )
    return Tensor(name, dtype, shape, start, end)


def _check_places(tensors: list[Tensor], size: int) -> None:
    position = 0
    for tensor in tensors:
        if tensor.start < position:
            raise Unreadable(f"its tensors overlap at {_short(tensor.name)}: the file is damaged or made to deceive")
        if tensor.start > position:
            raise Unreadable(f"there is a hole before {_short(tensor.name)}: the file is damaged")
        position = tensor.end
    if position > size:
        raise Unreadable(f"it is cut short: {position - size} bytes are missing at its end; copy it again")
    if position < size:
        raise Unreadable(f"{size - position} bytes follow its last tensor: the file is damaged")


def _short(name: str) -> str:
    return repr(name if len(name) < 80 else f"{name[:77]}...")


def count(header: Header, bits: int = 4) -> dict[str, int]:
    """Parameters by datatype. `bits`: of a quantised model, each number's, by its config.json.

    Packed weights count as the numbers that they hold; scales and tables of a quantisation are no parameters.
    """
    counts: dict[str, int] = {}
    names = {tensor.name for tensor in header.tensors}
    for tensor in header.tensors:
        if tensor.name.endswith(AUXILIARY) or ".quant_state.bitsandbytes" in tensor.name:
            continue
        held = next(
            (what for (end, kind), what in PACKED.items() if tensor.name.endswith(end) and tensor.dtype == kind), ""
        )
        each = {"": 1, "bits": 32 // max(1, bits), "two": 2}[held]
        if tensor.dtype == "U8" and f"{tensor.name}.absmax" in names:  # bitsandbytes, two numbers a byte
            each = 2
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.numbers * each
    return counts
