"""KServe V1 (TensorFlow Serving's REST API) to V2: `instances` or `inputs` become tensors by the model's metadata.

Rows (`instances`) are stacked into one request where the first dimension of every input is free and the rows agree
about the rest; else each row is a request of its own. Which it was stands in the `Plan`. A prediction is a row of the
outputs, or the whole of an output that has no row for each instance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.bridge.errors import BridgeError, Kind, invalid
from services.bridge.values import json_values
from services.bridge.values.json_values import BadValue, Ragged
from services.bridge.values.tensors import Array, Model, NamedTensor, Outputs, count
from services.specs import Tensor

Row = Mapping[str, Any]
MOST_CONTAINERS = 1_000_000
"""An empty list takes 3 bytes as JSON, and 60 in memory."""
TRIED_ROWS = 7
"""Rows of zeros that are tried: many models answer with the one, three, five or ten best, hardly any with seven."""
COLUMNS_INSTEAD = 'It has no row for each: send {"inputs": ...}, one entry a tensor, and outputs come back whole.'
ASKED = 'Send {"instances": [...]}, one entry a row, or {"inputs": ...}, one entry a tensor.'


@dataclass(frozen=True)
class Plan:
    """`requests`: the inputs of each V2 request, the same ones in all."""

    requests: tuple[tuple[NamedTensor, ...], ...]
    rows: int | None
    """How many instances were asked; None for the column format."""
    stacked: bool = False
    """All rows are one request, along the first dimension."""
    batches: bool = False
    """Each request's first dimension counts rows; else a request is one row, without such a dimension."""
    free: bool = False
    """With `batches`: that dimension may be of any size."""


class LeftOut(BridgeError):
    """Inputs are missing, and a model's metadata does not tell whether they may be."""

    def __init__(self, message: str) -> None:
        super().__init__(Kind.INVALID, message)


def read(content: bytes, model: Model, optional: Set[str] = frozenset()) -> Plan:
    """`optional`: names of the inputs that may be left out.

    Raises BridgeError(INVALID) with a sentence that names the instance and the tensor.
    """
    if content.count(b"[") + content.count(b"{") > MOST_CONTAINERS:
        raise BridgeError(Kind.TOO_LARGE, f"These are more than {MOST_CONTAINERS:,} lists; send fewer rows at once.")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not JSON ({error}). {ASKED}") from None
    if not isinstance(data, dict) or ("instances" in data) == ("inputs" in data):
        raise invalid(f"The body needs either instances or inputs. {ASKED}")
    names = Names(model, optional)
    if "inputs" in data:
        return _columns(names.check(data["inputs"], "inputs"), model)
    instances = data["instances"]
    if not isinstance(instances, list) or not instances:
        raise invalid("instances must be a list with at least one entry.")
    rows = [names.check(entry, f"instances[{i}]") for i, entry in enumerate(instances)]
    _check_alike(rows)
    return _rows(rows, model)


class Names:
    """The names of a model's inputs, of which some may be left out."""

    def __init__(self, model: Model, optional: Set[str]) -> None:
        self._all = {tensor.name for tensor in model.inputs}
        self._required = self._all - optional
        few = self._all if len(self._all) == 1 else self._required
        self._lone = next(iter(few)) if len(few) == 1 else None
        """Name of the input that takes a value without a name."""

    def check(self, given: Any, where: str) -> Row:
        """Values by name. Raises LeftOut, BridgeError."""
        if not isinstance(given, dict) or json_values.is_binary(given, self._all):
            if self._lone is None:
                number = len(self._all)
                raise LeftOut(f"{where} must be an object with {self._listed()}: the model has {number} inputs.")
            return {self._lone: given}
        if missing := self._required - given.keys():
            raise LeftOut(f"{where} lacks {_listed(missing)}. The model's inputs are {self._listed()}.")
        if extra := given.keys() - self._all:
            raise invalid(
                f"{where} has {_listed(extra)}, which the model does not know. Its inputs are {self._listed()}."
            )
        return given

    def _listed(self) -> str:
        return _listed(name if name in self._required else f"{name} (optional)" for name in self._all)


def _check_alike(rows: list[Row]) -> None:
    """Rows travel together, and Triton has an input for all rows or for none."""
    first = rows[0].keys()
    for i, row in enumerate(rows):
        if row.keys() != first:
            missing, extra = first - row.keys(), row.keys() - first
            verb, names, other = ("lacks", missing, "has") if missing else ("has", extra, "lacks")
            raise invalid(
                f"instances[{i}] {verb} {_listed(names)}, which instances[0] {other}: give an optional input in every "
                "instance or in none."
            )


def _rows(rows: list[Row], model: Model) -> Plan:
    inputs = [tensor for tensor in model.inputs if tensor.name in rows[0]]
    if not inputs:
        return Plan(((),) * len(rows), len(rows))
    batches = all(tensor.shape[:1] == (-1,) for tensor in inputs)
    if batches:
        stacked = [_stack([row[tensor.name] for row in rows], tensor) for tensor in inputs]
        together = tuple(item for item in stacked if item is not None)
        if len(together) == len(stacked):
            return Plan((together,), len(rows), stacked=True, batches=True, free=True)
    requests, whole = [], []
    has_first = all(tensor.shape[:1] in ((-1,), (1,)) for tensor in inputs)
    for i, row in enumerate(rows):
        pairs = [_alone(row[tensor.name], tensor, f"instances[{i}]", has_first) for tensor in inputs]
        requests.append(tuple(item for item, _ in pairs))
        flags = [is_whole for _, is_whole in pairs]
        whole.append(any(flags) if batches else all(flags))
    # A model that has a first dimension which the rows do not: its answer has it too, and it is not the caller's.
    added = not any(whole)
    return Plan(tuple(requests), len(rows), batches=added, free=added and batches)


def _stack(column: list[Any], tensor: Tensor) -> NamedTensor | None:
    """None when the rows do not fit into one array; going through them one by one then says why, or does without."""
    try:
        flat, shape = json_values.flatten(column)
        row = _fitting(shape[1:], tensor.shape[1:])
        if row is None:
            return None
        return NamedTensor(tensor.name, tensor.datatype, json_values.array(flat, tensor).reshape(len(column), *row))
    except (BadValue, Ragged):
        return None


def _alone(value: Any, tensor: Tensor, where: str, has_first: bool) -> tuple[NamedTensor, bool]:
    """One row as a request of its own, and whether it is the whole input: if not, a first dimension was added.

    `has_first`: every input has a first dimension that one row may have.
    """
    name = f"{where}.{tensor.name}" if tensor.name else where
    values, shape = _values(value, tensor, name)
    model_shape = tensor.shape
    has_first = has_first or model_shape[:1] == (1,)
    if has_first and (row := _fitting(shape, model_shape[1:])) is not None:
        return NamedTensor(tensor.name, tensor.datatype, values.reshape(1, *row)), False
    if (fit := _fitting(shape, model_shape)) is not None:
        return NamedTensor(tensor.name, tensor.datatype, values.reshape(fit)), True
    one = model_shape[1:] if has_first else model_shape
    raise invalid(f"{name} has shape {_shown(shape)}, and the model wants {_shown(one)} for each instance.")


def _values(value: Any, tensor: Tensor, name: str) -> tuple[Array, tuple[int, ...]]:
    """Flat, and the shape of their nesting."""
    try:
        flat, shape = json_values.flatten([value])
        return json_values.array(flat, tensor), tuple(shape[1:])
    except Ragged:
        raise invalid(f"{name} is ragged: its lists do not all have the same length.") from None
    except BadValue as error:
        raise invalid(f"{name}: {error}") from None


def _columns(inputs: Row, model: Model) -> Plan:
    columns = (_column(inputs[tensor.name], tensor) for tensor in model.inputs if tensor.name in inputs)
    return Plan((tuple(columns),), None)


def _column(value: Any, tensor: Tensor) -> NamedTensor:
    values, shape = _values(value, tensor, f"inputs.{tensor.name}")
    fit = _fitting(shape, tensor.shape)
    if fit is None:
        raise invalid(f"inputs.{tensor.name} has shape {_shown(shape)}, and the model wants {_shown(tensor.shape)}.")
    return NamedTensor(tensor.name, tensor.datatype, values.reshape(fit))


def _fitting(nested_shape: Sequence[int], model_shape: Sequence[int]) -> tuple[int, ...] | None:
    """The shape to send for values nested as `nested_shape`; a lone value also fits where one value is wanted."""
    if len(nested_shape) == len(model_shape) and all(
        want in (-1, size) for size, want in zip(nested_shape, model_shape, strict=True)
    ):
        return tuple(nested_shape)
    ones = tuple(1 if size == -1 else size for size in model_shape)
    return ones if not nested_shape and count(ones) == 1 else None


def answer(plan: Plan, answers: Sequence[Outputs], whole: Set[str] = frozenset()) -> bytes:
    """`answers` in the order of the plan's requests. `whole`: names of the outputs that have no row for each instance.

    Raises BridgeError when another output lacks a row, or has one too many.
    """
    if plan.rows is None:
        named = {item.name: json_values.plain(item.values, item.name).tolist() for item in answers[0].tensors}
        return _dump({"outputs": _single_or_all(named)})
    predictions: list[dict[str, Any]] = []
    for inputs, outputs in zip(plan.requests, answers, strict=True):
        rows = 1 if len(plan.requests) == plan.rows else len(inputs[0].values)
        batch: list[dict[str, Any]] = [{} for _ in range(rows)]
        for item in outputs.tensors:
            values = _predictions(item, rows if plan.batches and item.name not in whole else None)
            for prediction, value in zip(batch, values, strict=True):
                prediction[item.name] = value
        predictions += batch
    names = {name for prediction in predictions for name in prediction}
    if len(names) == 1 and all(predictions):
        (name,) = names
        return _dump({"predictions": [prediction[name] for prediction in predictions]})
    return _dump({"predictions": predictions})


def _predictions(item: NamedTensor, rows: int | None) -> list[Any]:
    """One for each row; the whole output is one when `rows` is None."""
    values: Array = json_values.plain(item.values, item.name)
    if rows is None:
        return [values.tolist()]
    if values.shape[:1] != (rows,):
        instances = "1 instance" if rows == 1 else f"{rows} instances"
        shape = _shown(values.shape)
        raise invalid(f"The model answered {instances} with {item.name} of shape {shape}. {COLUMNS_INSTEAD}")
    return list(values.tolist())


def _single_or_all(named: dict[str, Any]) -> Any:
    return next(iter(named.values())) if len(named) == 1 else named


def split(plan: Plan, largest: int) -> Plan:
    """The same question in requests of at most `largest` rows each, for a model that takes no more at once."""
    if not plan.stacked:
        return plan
    (together,) = plan.requests
    parts = [
        tuple(NamedTensor(item.name, item.datatype, item.values[start : start + largest]) for item in together)
        for start in range(0, plan.rows or 0, largest)
    ]
    return Plan(tuple(parts), plan.rows, stacked=False, batches=True, free=True)


def whole_outputs(plan: Plan, model: Model) -> Set[str]:
    """Outputs without a row for each instance, as far as their shapes tell: a row is where the inputs have it too."""
    rows = {(-1,), (1,)} if plan.free else {(1,)}
    return {tensor.name for tensor in model.outputs if tensor.shape[:1] not in rows}


def zeros(plan: Plan, rows: int, largest: int) -> tuple[NamedTensor, ...]:
    """A request of so many rows of zeros, shaped like those of the plan; fewer, where they take more than `largest`
    bytes."""
    row = sum(_size(item.values[:1]) for item in plan.requests[0])
    rows = max(1, min(rows, largest // max(row, 1)))
    return tuple(NamedTensor(item.name, item.datatype, _zeros(item.values, rows)) for item in plan.requests[0])


def _size(values: Array) -> int:
    """Bytes of the values as they are sent, or nearly."""
    return sum(map(len, values.ravel())) if values.dtype.kind == "O" else values.nbytes


def _zeros(values: Array, rows: int) -> Array:
    """Zeros, or the first row repeated for texts: many models cannot read an empty text."""
    if values.dtype.kind == "O":
        return np.repeat(values[:1], rows, axis=0)
    return np.zeros((rows, *values.shape[1:]), values.dtype)


def _dump(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def _listed(names: Iterable[str]) -> str:
    *first, last = sorted(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def _shown(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
