"""KServe V1 (TensorFlow Serving's REST API) to V2: `instances` or `inputs` become tensors by the model's metadata.

Rows (`instances`) are stacked into one request where the first dimension of every input is free and the rows agree
about the rest; else each row is a request of its own, and its answer one prediction. Which it was stands in the `Plan`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.bridge import json_values
from services.bridge.errors import BridgeError, Kind, invalid
from services.bridge.json_values import BadValue, Ragged
from services.bridge.tensors import Array, Model, Named, Outputs, count
from services.specs import Tensor

Row = Mapping[str, Any]
MOST_CONTAINERS = 1_000_000
"""An empty list takes 3 bytes as JSON, and 60 in memory."""
ASKED = 'Send {"instances": [...]}, one entry a row, or {"inputs": ...}, one entry a tensor.'


@dataclass(frozen=True)
class Plan:
    """`requests`: the inputs of each V2 request."""

    requests: tuple[tuple[Named, ...], ...]
    rows: int | None
    """How many instances were asked; None for the column format."""
    stacked: bool = False
    """All rows are one request, along the first dimension."""
    batches: bool = False
    """Each request's first dimension counts rows; else a request is one row, without such a dimension."""


def read(content: bytes, model: Model) -> Plan:
    """Raises BridgeError(INVALID) with a sentence that names the instance and the tensor."""
    if content.count(b"[") + content.count(b"{") > MOST_CONTAINERS:
        raise BridgeError(Kind.TOO_LARGE, f"These are more than {MOST_CONTAINERS:,} lists; send fewer rows at once.")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not JSON ({error}). {ASKED}") from None
    if not isinstance(data, dict) or ("instances" in data) == ("inputs" in data):
        raise invalid(f"The body needs either instances or inputs. {ASKED}")
    if "inputs" in data:
        return _columns(data["inputs"], model)
    instances = data["instances"]
    if not isinstance(instances, list) or not instances:
        raise invalid("instances must be a list with at least one entry.")
    return _rows(_named_rows(instances, model), model)


def _named_rows(instances: list[Any], model: Model) -> list[Row]:
    names = {tensor.name for tensor in model.inputs}
    rows: list[Row] = []
    for i, entry in enumerate(instances):
        if isinstance(entry, dict) and not json_values.is_binary(entry, names):
            _check_names(entry, names, f"instances[{i}]")
            rows.append(entry)
        elif len(names) == 1:
            rows.append({model.inputs[0].name: entry})
        else:
            raise invalid(f"instances[{i}] must be an object with {_listed(names)}: the model has {len(names)} inputs.")
    return rows


def _check_names(given: Row, names: set[str], where: str) -> None:
    if missing := names - given.keys():
        raise invalid(f"{where} lacks {_listed(missing)}. The model's inputs are {_listed(names)}.")
    if extra := given.keys() - names:
        raise invalid(f"{where} has {_listed(extra)}, which the model does not know. Its inputs are {_listed(names)}.")


def _rows(rows: list[Row], model: Model) -> Plan:
    batches = all(tensor.shape[:1] == (-1,) for tensor in model.inputs)
    if batches:
        stacked = [_stack([row[tensor.name] for row in rows], tensor) for tensor in model.inputs]
        together = tuple(item for item in stacked if item is not None)
        if len(together) == len(stacked):
            return Plan((together,), len(rows), stacked=True, batches=True)
    requests, whole = [], []
    for i, row in enumerate(rows):
        made = [_alone(row[tensor.name], tensor, f"instances[{i}]", batches) for tensor in model.inputs]
        requests.append(tuple(item for item, _ in made))
        whole.append(all(is_whole for _, is_whole in made))
    # A model that has a first dimension which the rows do not: its answer has it too, and it is not the caller's.
    return Plan(tuple(requests), len(rows), batches=not any(whole))


def _stack(column: list[Any], tensor: Tensor) -> Named | None:
    """None when the rows do not fit into one array; going through them one by one then says why, or does without."""
    try:
        flat, shape = json_values.flatten(column)
        row = _fitting(shape[1:], tensor.shape[1:])
        if row is None:
            return None
        return Named(tensor.name, tensor.datatype, json_values.array(flat, tensor).reshape(len(column), *row))
    except (BadValue, Ragged):
        return None


def _alone(value: Any, tensor: Tensor, where: str, batches: bool) -> tuple[Named, bool]:
    """One row as a request of its own, and whether it is the whole input: if not, a first dimension was added."""
    name = f"{where}.{tensor.name}" if tensor.name else where
    try:
        flat, shape = json_values.flatten([value])
        values = json_values.array(flat, tensor)
    except Ragged:
        raise invalid(f"{name} is ragged: its lists do not all have the same length.") from None
    except BadValue as error:
        raise invalid(f"{name}: {error}") from None
    shape, wanted = shape[1:], tensor.shape
    has_first = batches or wanted[:1] == (1,)
    if has_first and (row := _fitting(shape, wanted[1:])) is not None:
        return Named(tensor.name, tensor.datatype, values.reshape(1, *row)), False
    if (fit := _fitting(shape, wanted)) is not None:
        return Named(tensor.name, tensor.datatype, values.reshape(fit)), True
    one = wanted[1:] if has_first else wanted
    raise invalid(f"{name} has shape {_shown(shape)}, and the model wants {_shown(one)} for each instance.")


def _columns(inputs: Any, model: Model) -> Plan:
    names = {tensor.name for tensor in model.inputs}
    if isinstance(inputs, dict) and not json_values.is_binary(inputs, names):
        _check_names(inputs, names, "inputs")
    elif len(names) == 1:
        inputs = {model.inputs[0].name: inputs}
    else:
        raise invalid(f"inputs must be an object with {_listed(names)}: the model has {len(names)} inputs.")
    return Plan((tuple(_column(inputs[tensor.name], tensor) for tensor in model.inputs),), None)


def _column(value: Any, tensor: Tensor) -> Named:
    try:
        flat, shape = json_values.flatten([value])
        values = json_values.array(flat, tensor)
    except Ragged:
        raise invalid(f"inputs.{tensor.name} is ragged: its lists do not all have the same length.") from None
    except BadValue as error:
        raise invalid(f"inputs.{tensor.name}: {error}") from None
    fit = _fitting(shape[1:], tensor.shape)
    if fit is None:
        raise invalid(
            f"inputs.{tensor.name} has shape {_shown(shape[1:])}, and the model wants {_shown(tensor.shape)}."
        )
    return Named(tensor.name, tensor.datatype, values.reshape(fit))


def _fitting(found: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...] | None:
    """The shape to send for values nested as `found`; a lone value also fits where one value is wanted."""
    if len(found) == len(wanted) and all(want in (-1, size) for size, want in zip(found, wanted, strict=True)):
        return tuple(found)
    ones = tuple(1 if size == -1 else size for size in wanted)
    return ones if not found and count(ones) == 1 else None


def answer(plan: Plan, answers: Sequence[Outputs]) -> bytes:
    """`answers` in the order of the plan's requests. Raises BridgeError when a model gives another number of rows."""
    if plan.rows is None:
        named = {item.name: json_values.plain(item.values, item.name).tolist() for item in answers[0].tensors}
        return _dump({"outputs": _single_or_all(named)})
    columns: dict[str, list[Any]] = {}
    for outputs in answers:
        for item in outputs.tensors:
            columns.setdefault(item.name, []).extend(_predictions(plan, item))
    for name, column in columns.items():
        if len(column) != plan.rows:
            raise _wrong_rows(name, len(column), plan.rows)
    if len(columns) == 1:
        return _dump({"predictions": next(iter(columns.values()))})
    return _dump({"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]})


def _predictions(plan: Plan, item: Named) -> list[Any]:
    values: Array = json_values.plain(item.values, item.name)
    if plan.batches and not values.ndim:
        raise _wrong_rows(item.name, 1, plan.rows or 0)
    rows: list[Any] = values.tolist() if plan.batches else [values.tolist()]
    return rows


def _single_or_all(named: dict[str, Any]) -> Any:
    return next(iter(named.values())) if len(named) == 1 else named


def _wrong_rows(name: str, given: int, wanted: int) -> BridgeError:
    return BridgeError(Kind.BAD_ANSWER, f"The model gave {given} rows of {name} for {wanted} instances.")


def split(plan: Plan, largest: int) -> Plan:
    """The same question in requests of at most `largest` rows each, for a model that takes no more at once."""
    if not plan.stacked:
        return plan
    (together,) = plan.requests
    parts = [
        tuple(Named(item.name, item.datatype, item.values[start : start + largest]) for item in together)
        for start in range(0, plan.rows or 0, largest)
    ]
    return Plan(tuple(parts), plan.rows, stacked=False, batches=True)


def _dump(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def _listed(names: set[str]) -> str:
    *first, last = sorted(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def _shown(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"

