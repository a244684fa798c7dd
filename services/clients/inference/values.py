"""Arrays out of what people type, paste, upload or have generated, with messages that say what does not fit."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from services.clients.inference.datatypes import DTYPES as DTYPES
from services.clients.inference.datatypes import FLOAT, KINDS, quoted
from services.clients.inference.datatypes import BadValues as BadValues
from services.clients.inference.datatypes import bytes_per_value as bytes_per_value
from services.clients.inference.tokens import NO_VALUES, explain_word, read_tokens

GENERATORS: Final = ("zeros", "ones", "random", "sequence", "text")
LARGEST_BYTES: Final = 64 << 20
"""The gateway refuses far smaller requests; this only keeps a mistyped shape from filling the memory."""
NOT_JSON: Final = "This is not JSON{}. Write the values as a list: {}."
MOST_CONTAINERS: Final = 1_000_000
"""An empty list takes 3 bytes as JSON, and 60 in memory."""
WORD: Final = re.compile(r"[^\s,;:\[\]{}\"]+")
DEEPEST: Final = 32
"""Levels of nesting; numpy has no arrays of more dimensions than 64."""


def resolve_shape(model_shape: Sequence[int], nested_shape: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The shape of `count` values for an input with `model_shape` (-1: free). `nested_shape`: of a nested list.

    Raises BadValues when more than one shape would do, or none.
    """
    free = [i for i, size in enumerate(model_shape) if size < 0]
    if not free:
        return tuple(model_shape)
    if nested_shape is not None and len(nested_shape) == len(model_shape):
        return tuple(size if size >= 0 else nested_shape[i] for i, size in enumerate(model_shape))
    fixed = math.prod(size for size in model_shape if size >= 0)
    if len(free) == 1 and fixed and count % fixed == 0:
        return tuple(size if size >= 0 else count // fixed for size in model_shape)
    if len(free) == 1 and fixed > 1:
        raise BadValues("data", f"Shape {shown(model_shape)} needs a multiple of {fixed} values, you gave {count}.")
    raise BadValues(
        "shape", f"Say how large each free dimension of {shown(model_shape)} is: {count} values do not tell."
    )


def parse_text(text: str, name: str, datatype: str) -> Any:
    """JSON, or plain values between commas or spaces; for BYTES that is not a JSON list: one value a line."""
    stripped = text.strip()
    if not stripped:
        raise BadValues("data", NO_VALUES)
    if datatype == "BYTES":
        if stripped[0] not in "[{":
            return stripped.splitlines()
        return of_request(parse_json(stripped, like='["a", "b"]'), name)
    if stripped[0] not in '[{"':
        return read_tokens(stripped, name, datatype)
    return of_request(parse_json(stripped, explain=partial(explain_word, name=name, datatype=datatype)), name)


def parse_json(text: str | bytes, *, like: str = "[1, 2, 3]", explain: Callable[[str, str], str] | None = None) -> Any:
    """`like`: how values are written. `explain`: what to say of a bare word at a place, instead of an error of JSON."""

    def refuse(constant: str) -> Any:
        raise BadValues("data", f"JSON has no {constant}. Upload a .npy file to send such values.")

    def real(number: str) -> float:
        if math.isinf(value := float(number)):
            raise BadValues("data", f"{number} does not fit any datatype.")
        return value

    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if raw.count(b"[") + raw.count(b"{") > MOST_CONTAINERS:
        raise BadValues("data", f"These are more than {MOST_CONTAINERS:,} lists. Write the values as one flat list.")
    try:
        return json.loads(text, parse_constant=refuse, parse_float=real)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        word = WORD.match(error.doc, error.pos) if error.msg == "Expecting value" else None
        if explain and word:
            raise BadValues("data", explain(word[0], where)) from None
        raise BadValues("data", NOT_JSON.format(f" ({error.msg}, {where})", like)) from None
    except (ValueError, RecursionError):  # not UTF-8, or a number of thousands of digits
        raise BadValues("data", NOT_JSON.format("", like)) from None


def of_request(value: Any, name: str) -> Any:
    """The data of the input `name` when a whole V2 request, or one of its inputs, was pasted."""
    if isinstance(value, Mapping) and isinstance(value.get("inputs"), list):
        rows = [row for row in value["inputs"] if isinstance(row, Mapping) and row.get("name") == name]
        if not rows:
            raise BadValues("data", f"This request has no input named {name}.")
        value = rows[0]
    if isinstance(value, Mapping):
        if "data" not in value:
            raise BadValues("data", "This is a JSON object without `data`. Write the values as a list: [1, 2, 3].")
        value = value["data"]
    return value


def from_json(data: Any, datatype: str, model_shape: Sequence[int], name: str = "") -> NDArray[Any]:
    """A scalar, a flat or a nested list -> array. `name`: of the input, for what is said of a value.

    Raises BadValues: a ragged list, wrong count, wrong kind, out of range.
    """
    flat: list[Any] = []
    nested_shape = _flatten(data, flat)
    shape = resolve_shape(model_shape, nested_shape, len(flat))
    fits(shape, len(flat))
    array = np.empty(len(flat), dtype=object) if datatype == "BYTES" else None
    if array is not None:
        array[:] = [_as_bytes(value, i) for i, value in enumerate(flat)]
        return array.reshape(shape)
    try:
        return _numbers(flat, datatype).reshape(shape)
    except BadValues as error:
        raise BadValues("data", f"{name}: {error.message}" if name else error.message) from None


def _flatten(data: Any, into: list[Any], depth: int = 0) -> tuple[int, ...]:
    """Appends the values to `into`; the shape of the nesting. A scalar counts as one value."""
    if depth > DEEPEST:
        raise BadValues("data", "This list is nested too deeply.")
    if not isinstance(data, list):
        into.append(data)
        return ()
    if not any(isinstance(item, list) for item in data):
        into.extend(data)
        return (len(data),)
    shapes = {_flatten(item, into, depth + 1) for item in data}
    if len(shapes) != 1:
        raise BadValues("data", "The rows of this list do not all have the same length.")
    return (len(data), *shapes.pop())


def fits(shape: Sequence[int], given: int) -> None:
    needed = math.prod(shape)
    if needed != given:
        plural = "" if needed == 1 else "s"
        raise BadValues("data", f"Shape {shown(shape)} needs {needed} value{plural}, you gave {given}.")


def _numbers(flat: list[Any], datatype: str) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    kind, allowed = KINDS.get(dtype.kind, FLOAT)
    if not set(map(type, flat)) <= allowed:
        i, value = next((i, value) for i, value in enumerate(flat) if type(value) not in allowed)
        raise BadValues("data", f"{datatype} needs {kind} everywhere; value {i + 1} is {quoted(value)}.")
    if dtype.kind in "iu" and flat:
        limits = np.iinfo(dtype)
        for value in (min(flat), max(flat)):
            if not limits.min <= value <= limits.max:
                raise BadValues("data", f"{value} does not fit {datatype}, which holds {limits.min} to {limits.max}.")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=dtype)
    except OverflowError:
        raise BadValues("data", f"A value does not fit {datatype}.") from None
    if dtype.kind not in KINDS and not np.isfinite(array).all():
        raise BadValues("data", f"{flat[int(np.argmin(np.isfinite(array)))]} does not fit {datatype}.")
    return array


def _as_bytes(value: Any, index: int) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            what = f"BYTES needs text everywhere; value {index + 1} is no valid Unicode"
            raise BadValues("data", f"{what}. Upload a file to send other bytes.") from None
    raise BadValues("data", f"BYTES needs text everywhere; value {index + 1} is {quoted(value)}.")


def generate(
    kind: str, datatype: str, shape: Sequence[int], *, low: float = 0.0, high: float = 1.0, text: str = "hello"
) -> NDArray[Any]:
    """An array of `shape`; a free dimension becomes 1. random: uniform from `low` to `high`, integers inclusive."""
    if kind not in GENERATORS:
        raise BadValues("generate", f"Choose one of: {', '.join(GENERATORS)}.")
    if kind == "text" and datatype != "BYTES":
        raise BadValues("generate", f"Text can only fill BYTES, and this input is {datatype}.")
    if not low <= high:
        raise BadValues("generate", "The lower end of the range must not be above the upper end.")
    if kind == "random" and datatype != "BYTES":
        _check_range(datatype, low, high)
    real = tuple(1 if size < 0 else size for size in shape)
    count = check_size(real, datatype)
    if datatype == "BYTES":
        numbers = () if kind == "text" else _generated(kind, np.dtype("<f8"), count, low, high)
        array = np.empty(count, dtype=object)
        array[:] = [f"{number:g}".encode() for number in numbers] or [text.encode()] * count
        return array.reshape(real)
    return _generated(kind, DTYPES[datatype], count, low, high).reshape(real)


def _check_range(datatype: str, low: float, high: float) -> None:
    """Whole numbers are cut to their datatype, floats are not."""
    if DTYPES[datatype].kind in KINDS:
        return
    largest = float(ml_dtypes.finfo(DTYPES[datatype]).max)  # type: ignore[no-untyped-call]
    if (end := max(low, high, key=abs)) and abs(end) > largest:
        raise BadValues("generate", f"{end:g} does not fit {datatype}, which holds up to {largest:g}.")


def check_size(shape: Sequence[int], datatype: str) -> int:
    """How many values `shape` holds. Raises BadValues for more than LARGEST_BYTES."""
    count = math.prod(shape)
    if count * bytes_per_value(datatype) > LARGEST_BYTES:
        limit = f"{LARGEST_BYTES >> 20} MiB"
        raise BadValues("shape", f"Shape {shown(shape)} is more than the {limit} that a test may send.")
    return count


def _generated(kind: str, dtype: np.dtype[Any], count: int, low: float, high: float) -> NDArray[Any]:
    if kind == "zeros":
        return np.zeros(count, dtype)
    if kind == "ones":
        return np.ones(count, dtype)
    if kind == "sequence":
        return np.resize(np.arange(min(count, 1 << (8 * min(dtype.itemsize, 4) - 1)) or 1), count).astype(dtype)
    random = np.random.default_rng()
    if dtype.kind == "b":
        return random.integers(0, 2, count).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        first, last = max(math.ceil(low), int(limits.min)), min(math.floor(high), int(limits.max))
        if first > last:
            raise BadValues("generate", f"No whole number that fits lies between {low:g} and {high:g}.")
        return random.integers(first, last, count, dtype=dtype, endpoint=True)
    # Halves, since numpy refuses a range that is wider than the largest number.
    return (random.uniform(low / 2, high / 2, count) * 2).astype(dtype)


def shown(shape: Sequence[int]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
