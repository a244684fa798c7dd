"""One KServe V1 prediction (`:predict`), timed step by step, and the example that a model's metadata gives for it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from services.clients.inference import http_exchange as http
from services.clients.inference import wire
from services.clients.inference.call import SHOWN_VALUES, Answer, Model, Output
from services.clients.inference.caller import Caller
from services.clients.inference.values import MOST_CONTAINERS, generate
from services.specs import Tensor

ROWS: Final = "instances"
COLUMNS: Final = "inputs"
JSON_BYTES: Final = {"BOOL": len("false,"), "BYTES": len('"hello",')}
"""Size of one value in an example; a number is a zero and a comma."""
MARGIN: Final = 4096
"""Bytes for names."""
LONGEST_EXAMPLE: Final = 4096
"""Values. An example with more would only be in the way."""


def predict(caller: Caller, model: str, body: Mapping[str, Any]) -> Answer:
    """`body`: {"instances": [...]} or {"inputs": ...}. Raises Unavailable when nothing listens there."""

    def build() -> http.Request:
        sent = json.dumps(body, ensure_ascii=False).encode()
        path = f"/v1/models/{quote(model, safe='')}:predict"
        return http.Request(path, http.headers_of(caller, "application/json", sent), sent)

    return http.infer(caller, build, _read, "a V1 prediction", _shown)


def _read(reply: http.Reply) -> tuple[Output, ...]:
    answer = json.loads(reply.body)
    name = "predictions" if "predictions" in answer else "outputs"
    rows = answer[name] if isinstance(answer[name], list) else [answer[name]]
    # A row may be a whole picture: what is shown of it is text, so that it can be cut.
    few = [json.dumps(row, ensure_ascii=False) if isinstance(row, list | dict) else row for row in rows[:SHOWN_VALUES]]
    return (Output(name, "JSON", (len(rows),), wire.Room().take(few), len(rows)),)


def _shown(body: bytes, _size: int, _headers: Mapping[str, str]) -> str:
    return wire.cut(body.decode("utf-8", "replace"))


def example(model: Model) -> dict[str, Any]:
    """A body that the model takes: one row of zeros where all inputs have a free first dimension, else columns.

    Without rows where it would have more values than LONGEST_EXAMPLE.
    """
    if values_of(model) > LONGEST_EXAMPLE:
        return {ROWS: []}
    tensors = {tensor.name: _zeros(tensor) for tensor in model.needed}
    if not in_rows(model):
        return {COLUMNS: tensors}
    rows = {name: value[0] for name, value in tensors.items()}
    return {ROWS: [next(iter(rows.values())) if len(rows) == 1 else rows]}


def fits_v1(model: Model, most: int) -> bool:
    """Whether its example has at most `most` bytes, and no more lists than the bridge reads."""
    size = lists = 0
    for tensor in model.needed:
        sizes = [max(dimension, 1) for dimension in tensor.shape]
        size += JSON_BYTES.get(tensor.datatype, 2) * math.prod(sizes)
        lists += sum(math.prod(sizes[:depth]) for depth in range(len(sizes)))
    return size + lists * 2 + MARGIN <= most and lists < MOST_CONTAINERS


def in_rows(model: Model) -> bool:
    """Whether each input of an example has a first dimension of one instance, and each output can have one, too.

    Where inputs take any number of rows, an output of one is that of all of them.
    """
    inputs = {tensor.shape[:1] for tensor in model.needed}
    rows = {(-1,)} if (-1,) in inputs else {(-1,), (1,)}
    return inputs <= {(-1,), (1,)} and {tensor.shape[:1] for tensor in model.outputs} <= rows


def values_of(model: Model) -> int:
    """How many values an example has."""
    return sum(math.prod(max(size, 1) for size in tensor.shape) for tensor in model.needed)


def _zeros(tensor: Tensor) -> Any:
    if tensor.datatype == "BYTES":
        values = generate("text", tensor.datatype, tensor.shape, text="hello")
    else:
        values = generate("zeros", tensor.datatype, tensor.shape)
    shaped: Any = wire.plain(values)
    for size in reversed(values.shape[1:]):
        shaped = [shaped[i : i + size] for i in range(0, len(shaped), size)]
    return shaped if values.shape else shaped[0]
