"""Values between JSON and tensors as TensorFlow Serving's REST API writes them: `{"b64": "..."}` is binary, NaN and
Infinity are tokens. Pure. What is wrong with a value is said here, where it stands is the caller's to add.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

import numpy as np

from services.bridge.values.tensors import Array
from services.clients.inference.values import DTYPES
from services.specs import Tensor

DEEPEST: Final = 32
"""Levels of nesting; numpy has no arrays of more dimensions than 64."""
SHORTEST: Final = 10_000
"""Up to so many floats of 32 or 16 bits are written in the shortest form of 32 bits (0.1); more, as the double they
equal, ten times as fast. Both read back as the same float."""
B64: Final = "b64"
KINDS: Final[dict[str, tuple[str, frozenset[type]]]] = {
    "b": ("true or false", frozenset({bool})),
    "i": ("a whole number", frozenset({int})),
    "u": ("a whole number", frozenset({int})),
}
FLOAT: Final = ("a number", frozenset({int, float}))


class BadValue(Exception):
    """A value that the tensor cannot hold; the text is a sentence without its beginning."""


class Ragged(Exception):
    """Lists at one level that differ in length."""


def is_binary(value: Any, names: set[str]) -> bool:
    """Whether an object is `{"b64": ...}` and not one with an input of that name."""
    return isinstance(value, dict) and value.keys() == {B64} and B64 not in names


def flatten(value: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The values of a nested list, and its shape. Raises Ragged, BadValue."""
    flat: list[Any] = []
    return flat, _flatten(value, flat, 0)


def _flatten(value: Any, into: list[Any], depth: int) -> tuple[int, ...]:
    if type(value) is not list:
        into.append(value)
        return ()
    if depth > DEEPEST:
        raise BadValue("lists are nested too deeply.")
    if list not in set(map(type, value)):
        into.extend(value)
        return (len(value),)
    shapes = {_flatten(item, into, depth + 1) for item in value}
    if len(shapes) != 1:
        raise Ragged
    return (len(value), *shapes.pop())


def array(flat: list[Any], tensor: Tensor) -> Array:
    """One dimension of the tensor's type. Raises BadValue."""
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise BadValue(f"the model wants {tensor.datatype}, which this protocol has no values for.")
    if dtype.kind == "O":
        values = np.empty(len(flat), object)
        values[:] = [_bytes(value) for value in flat]
        return values
    kind, allowed = KINDS.get(dtype.kind, FLOAT)
    if not allowed.issuperset(map(type, flat)):
        wrong = next(value for value in flat if type(value) not in allowed)
        raise BadValue(f"{tensor.datatype} needs {kind}, not {_quoted(wrong)}.")
    if dtype.kind in "iu" and flat:
        limits = np.iinfo(dtype)
        for value in (min(flat), max(flat)):
            if not limits.min <= value <= limits.max:
                raise BadValue(f"{value} does not fit {tensor.datatype}, which holds {limits.min} to {limits.max}.")
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, dtype)
    except OverflowError:
        raise BadValue(f"a number is too large for {tensor.datatype}.") from None


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise BadValue('a text is no valid Unicode; send binary values as {"b64": "..."}.') from None
    if isinstance(value, dict) and value.keys() == {B64} and isinstance(value[B64], str):
        try:
            return base64.b64decode(value[B64], validate=True)
        except (binascii.Error, ValueError):
            raise BadValue("the text in b64 is not base64.") from None
    raise BadValue(f'BYTES needs a text or {{"b64": "..."}}, not {_quoted(value)}.')


def _quoted(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def plain(values: Array, name: str) -> Array:
    """An array of the same shape whose `tolist()` is valid JSON.

    Texts stay texts, unless one of the tensor is none or its name ends with `_bytes`: then all are `{"b64": "..."}`.
    """
    kind = values.dtype.kind
    if kind == "O":
        return _texts(values, name)
    if kind in "biu" or values.dtype == np.float64:
        return values
    single = values.astype(np.float32, copy=False)
    if single.size > SHORTEST:
        return single
    shortest = np.array([float(str(value)) for value in single.ravel()], np.float64)
    return shortest.reshape(single.shape)


def _texts(values: Array, name: str) -> Array:
    texts = np.empty(values.size, object)
    try:
        if name.endswith("_bytes"):
            raise ValueError
        texts[:] = [value.decode() for value in values.ravel()]
    except ValueError:
        texts[:] = [{B64: base64.b64encode(value).decode()} for value in values.ravel()]
    return texts.reshape(values.shape)
