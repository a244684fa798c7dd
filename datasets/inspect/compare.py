"""config.pbtxt beside the model that it describes, tensor by tensor. Pure.

The rules are those of Triton's own onnxruntime backend when it loads a model: every input named, datatypes equal, and
dims equal except where the model's are free; with batching, the model's first axis must be free. The bundled runtime
for CPUs forgives some of them, and then the verdict is "differs" and not "wrong".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from datasets.inspect import pbtxt
from datasets.inspect.onnx import ELEMENTS, Graph, Value
from datasets.inspect.report import Difference

SAME, LEFT_OUT, DIFFERS, WRONG = "same", "left_out", "differs", "wrong"
NOTHING: Final = "-"


def compare(config: pbtxt.ModelConfig | None, graph: Graph) -> tuple[Difference, ...]:
    """One row a tensor, of the file and of the model, and one of batching. `config`: None without a file."""
    rows = [*_batching(config, graph)]
    for kind, repeated, values in (
        ("input", config.input if config is not None else (), graph.inputs),
        ("output", config.output if config is not None else (), graph.outputs),
    ):
        rows += _tensors(kind, repeated, values, config.max_batch_size if config is not None else 0)
    return tuple(rows)


def _batching(config: Any, graph: Graph) -> Iterator[Difference]:
    batch = config.max_batch_size if config is not None else 0
    fixed = [value.name for value in (*graph.inputs, *graph.outputs) if not (value.sizes and value.sizes[0] == -1)]
    model = f"fixed first axis in {', '.join(fixed[:3])}" if fixed else "free first axis everywhere"
    said = f"max_batch_size: {batch}" if config is not None else NOTHING
    if batch > 0 and fixed:
        text = f"The model takes no batches: the first axis of {fixed[0]} is fixed. Set max_batch_size to 0."
        yield Difference("batching", said, model, WRONG, text)
    elif batch == 0 and pbtxt.batches(graph):
        text = "The model takes batches, and Triton is not told to make any: set max_batch_size to make it faster."
        yield Difference("batching", said, model, LEFT_OUT, text)
    else:
        yield Difference("batching", said, model, SAME)


def _tensors(kind: str, repeated: Any, values: Sequence[Value], batch: int) -> Iterator[Difference]:
    configured = {tensor.name: tensor for tensor in repeated}
    for value in values:
        what, model = f"{kind} {value.name}", text_of(value)
        if value.name not in configured:
            yield _missing(what, model, kind, bool(configured))
        else:
            yield _tensor(what, kind, configured[value.name], value, batch)
    names = ", ".join(value.name for value in values) or "none"
    there = {value.name for value in values}
    for name, tensor in configured.items():
        if name not in there:
            said = f"The model has no {kind} named {name}; it has {names}. Correct the name."
            yield Difference(f"{kind} {name}", _config_text(tensor, batch), NOTHING, WRONG, said)


def _missing(what: str, model: str, kind: str, others: bool) -> Difference:
    if not others:
        said = f"config.pbtxt names no {kind}s: they are taken from the model."
        return Difference(what, NOTHING, model, LEFT_OUT, said)
    if kind == "output":
        return Difference(what, NOTHING, model, LEFT_OUT, "config.pbtxt leaves this output out: nobody can ask for it.")
    return Difference(what, NOTHING, model, WRONG, "config.pbtxt leaves it out, and the model needs it: add it.")


def _tensor(what: str, kind: str, tensor: Any, value: Value, batch: int) -> Difference:
    said, model = _config_text(tensor, batch), text_of(value)
    wanted, have = pbtxt.TYPES.get(value.element, ""), pbtxt.type_name(tensor)
    if not wanted or value.sizes is None:
        return Difference(what, said, model, DIFFERS, "Triton cannot carry this tensor, or the model says no shape.")
    if wanted != have:
        verdict = WRONG if kind == "input" else DIFFERS
        return Difference(what, said, model, verdict, f"The model has {wanted}: write data_type: {wanted}.")
    if batch and not (value.sizes and value.sizes[0] == -1):
        return Difference(what, said, model, WRONG)  # what is wrong is said of batching
    own, dims = list(value.sizes[1 if batch else 0 :]), pbtxt.dims_of(tensor)
    if pbtxt.fits(dims, own):
        return Difference(what, said, model, SAME)
    shown = own or [1]
    if len(dims) == len(own) and all(one == other or one == -1 for one, other in zip(dims, own, strict=True)):
        text = f"A size is free in config.pbtxt and fixed in the model: write dims: {shown}."
        return Difference(what, said, model, DIFFERS, text)
    hint = ""
    if batch and dims == list(value.sizes):
        hint = " With max_batch_size set, dims leave the batch out."
    elif not batch and [-1, *dims] == list(value.sizes):
        hint = " Without max_batch_size, dims have the batch as well; or set max_batch_size."
    return Difference(what, said, model, WRONG, f"The model has {shown}: write dims: {shown}.{hint}")


def _config_text(tensor: Any, batch: int) -> str:
    dims = ", ".join(map(str, tensor.dims))
    reshape = f" as [{', '.join(map(str, tensor.reshape.shape))}]" if tensor.HasField("reshape") else ""
    return f"{pbtxt.type_name(tensor)} [{dims}]{reshape}{' and the batch' if batch else ''}"


def problems(rows: Sequence[Difference]) -> list[str]:
    """What stops a model with these rows from being served."""
    return [f"{row.what[:1].upper()}{row.what[1:]}: {row.said}" for row in rows if row.verdict == WRONG and row.said]


def notes(rows: Sequence[Difference]) -> list[str]:
    """What does not, and should be put right all the same."""
    return [f"{row.what[:1].upper()}{row.what[1:]}: {row.said}" for row in rows if row.verdict == DIFFERS and row.said]


def text_of(value: Value) -> str:
    if value.kind != "tensor":
        return f"a {value.kind}"
    shape = "of any shape" if value.shape is None else f"[{', '.join(map(str, value.shape))}]"
    return f"{pbtxt.TYPES.get(value.element) or ELEMENTS.get(value.element, f'type {value.element}')} {shape}"
