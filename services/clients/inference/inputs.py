"""The `inputs` of a test request against what the model says of itself: arrays, or every wrong field named."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from numpy.typing import NDArray

from console.errors import InvalidFields
from services.clients.inference import files, values
from services.clients.inference.call import Input, Model, SequenceStep
from services.clients.inference.datatypes import quoted
from services.clients.inference.values import BadValues, shown
from services.specs import Tensor

LARGEST_ID: Final = (1 << 63) - 1
LONGEST_ID: Final = 128
"""Bytes, in Triton."""
LARGEST_OWN_ID: Final = (1 << 31) - 1
"""A model may keep ids in 32 bits."""


def read_inputs(rows: Any, model: Model) -> tuple[Input, ...]:
    """`rows`: [{"name", "datatype"?, "shape"?, and one of "data", "text", "generate", "file"}].

    data      a list, flat or nested
    text      what was typed: JSON or numbers
    generate  zeros, ones, random (with low, high), sequence, text (with text_value)
    file      {"name", "content": bytes}
    Inputs may be left out: which of them are optional is the server's to say. Raises InvalidFields with keys
    `inputs.<i>.<field>`.
    """
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidFields({"inputs": "Must be a list of objects with name, datatype, shape and data."})
    tensors = {tensor.name: tensor for tensor in model.inputs}
    errors: dict[str, list[str]] = {}
    inputs: list[Input] = []
    for i, row in enumerate(rows):
        try:
            inputs.append(_read(row, tensors, [done.name for done in inputs]))
        except BadValues as error:
            errors[f"inputs.{i}.{error.field}"] = [error.message]
    if errors:
        raise InvalidFields(errors)
    return tuple(inputs)


def read_step(given: Any, model: Model) -> SequenceStep | None:
    """The `sequence` of a test request: {"id", "start"?, "end"?}.

    Without it, a model with sequences gets one of this request alone. Its id is random, so that no test meddles with a
    sequence of a caller. Raises InvalidFields.
    """
    if not model.sequences:
        if given is not None:
            raise InvalidFields({"sequence": "The model has no sequences: leave this out."})
        return None
    if given is None:
        return SequenceStep(secrets.randbelow(LARGEST_OWN_ID) + 1)
    if not isinstance(given, Mapping):
        raise InvalidFields({"sequence": "Must be an object with id, start and end."})
    errors = {}
    if not _is_id(given.get("id")):
        errors["sequence.id"] = [f"Must be a whole number from 1, or a text of at most {LONGEST_ID} bytes."]
    for flag in ("start", "end"):
        if not isinstance(given.get(flag, False), bool):
            errors[f"sequence.{flag}"] = ["Must be true or false."]
    if errors:
        raise InvalidFields(errors)
    return SequenceStep(given["id"], given.get("start", False), given.get("end", False))


def _is_id(value: Any) -> bool:
    if type(value) is int:
        return 0 < value <= LARGEST_ID
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= LONGEST_ID
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can spell
        return False


def _read(row: Mapping[str, Any], tensors: Mapping[str, Tensor], done: Sequence[str]) -> Input:
    name = row.get("name")
    if not isinstance(name, str) or name not in tensors:
        raise BadValues("name", f"The model has no input named {name!r}. It has: {', '.join(tensors) or 'none'}.")
    if name in done:
        raise BadValues("name", f"The input {name} is given twice.")
    tensor = tensors[name]
    datatype = row.get("datatype") or tensor.datatype
    if datatype != tensor.datatype:
        raise BadValues("datatype", f"{name} is {tensor.datatype}, not {datatype}.")
    if datatype not in values.DTYPES:
        raise BadValues("datatype", f"The test panel cannot send {datatype}.")
    shape = _shape(row.get("shape"), tensor)
    return Input(name, datatype, _values(row, name, datatype, shape))


def _shape(given: Any, tensor: Tensor) -> tuple[int, ...]:
    """The shape asked for: the model's, with its free dimensions filled in where they are given."""
    if given is None:
        return tensor.shape
    if not isinstance(given, list | tuple):
        raise BadValues("shape", "Must be a list of whole numbers, such as [1, 64].")
    for position, size in enumerate(given, start=1):
        if type(size) is not int or size < -1:
            where = f"dimension {position} is {quoted(size)}"
            raise BadValues("shape", f"Must be a list of whole numbers, such as [1, 64]; {where}.")
    if len(given) != len(tensor.shape) or any(b not in (-1, a) for a, b in zip(given, tensor.shape, strict=True)):
        raise BadValues("shape", f"Shape {shown(given)} does not fit {shown(tensor.shape)} (-1 is any size).")
    values.check_size([max(size, 1) for size in given], tensor.datatype)
    return tuple(given)


def _values(row: Mapping[str, Any], name: str, datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    ways = [way for way in ("data", "text", "generate", "file") if row.get(way) is not None]
    if len(ways) != 1:
        raise BadValues("data", "Give exactly one of: data, text, generate, file.")
    value = row[ways[0]]
    if ways == ["data"]:
        return values.from_json(value, datatype, shape)
    if ways == ["text"]:
        return values.from_json(values.parse_text(str(value), name, datatype), datatype, shape, name)
    if ways == ["generate"]:
        low, high = (_number(row.get(end), default, end) for end, default in (("low", 0.0), ("high", 1.0)))
        text = row.get("text_value", "hello")
        return values.generate(str(value), datatype, shape, low=low, high=high, text=str(text))
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), bytes):
        raise BadValues("file", "Choose a file. (The REST API takes `data` instead.)")
    return files.from_file(value["content"], str(value.get("name", "")), name, datatype, shape)


def _number(given: Any, default: float, field: str) -> float:
    if given is None or given == "":
        return default
    try:
        number = float(given) if isinstance(given, int | float) and not isinstance(given, bool) else math.nan
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise BadValues("generate", f"`{field}` must be a number.")
    return number
