"""A complete config.pbtxt for an ONNX model. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from google.protobuf import text_format

from datasets.inspect.config_pbtxt import pbtxt, roles
from datasets.inspect.formats.onnx import Graph, Value

USUAL_BATCH: Final = 8


def suggest(graph: Graph, config: pbtxt.ModelConfig | None, name: str = "") -> str:
    """What the file has and the model does not contradict, and the model's own tensors.

    Inputs that Triton fills, and outputs that it takes as state, stay where the file has them and are no tensors of
    callers. "" when Triton cannot carry a tensor. `name`: of the folder, which Triton takes when the file has none.
    """
    suggestion = pbtxt.parse("")
    if config is not None:
        suggestion.CopyFrom(config)
    elif pbtxt.batches(graph):
        suggestion.max_batch_size = USUAL_BATCH
        suggestion.dynamic_batching.SetInParent()
    if name:
        suggestion.name = name
    if not pbtxt.backend(suggestion):
        suggestion.backend = "onnxruntime"
    # Triton can leave an output out, so those that the file names on purpose stay the only ones.
    inputs, outputs = roles.client_inputs(suggestion, graph), roles.client_outputs(suggestion, graph)
    if any(value.element not in pbtxt.TYPES or value.sizes is None for value in (*inputs, *outputs)):
        return ""
    if any(0 in (value.sizes or ()) for value in inputs):
        return ""  # it takes no data, and config.pbtxt cannot say so
    scattered = {name for one in suggestion.batch_output for name in one.target_name}
    batched = all(_takes_batch(value, suggestion, scattered) for value in (*inputs, *outputs))
    if suggestion.max_batch_size and not batched:
        suggestion.max_batch_size = 0  # the first axis is no batch, whatever the file hoped
        suggestion.ClearField("dynamic_batching")
        if suggestion.sequence_batching.HasField("oldest"):
            suggestion.sequence_batching.oldest.ClearField("preferred_batch_size")
    optional = {tensor.name for tensor in suggestion.input if tensor.optional and not suggestion.max_batch_size}
    defaults = tuple(value for value in graph.defaults if value.name in optional)
    _fill(suggestion.input, (*inputs, *defaults), suggestion.max_batch_size, exact=False, any_dims=frozenset())
    _fill(suggestion.output, outputs, suggestion.max_batch_size, exact=True, any_dims=scattered)
    for tensor in suggestion.input:
        tensor.optional = tensor.name in optional and tensor.name not in {value.name for value in inputs}
    return str(text_format.MessageToString(suggestion, use_short_repeated_primitives=True))


def _takes_batch(value: Value, config: Any, scattered: set[str]) -> bool:
    """Or need not: a scalar that the file names, a ragged input, a scattered output."""
    if value.sizes:
        return value.sizes[0] == -1 or value.name in scattered
    return value.name in {tensor.name for tensor in (*config.input, *config.output)}


def _fill(repeated: Any, values: Sequence[Value], batch: int, *, exact: bool, any_dims: Set[str]) -> None:
    """`any_dims`: tensors whose dims in the file need not be those of the model."""
    before: Mapping[str, Any] = {tensor.name: tensor for tensor in repeated}
    after = [
        _tensor(repeated, before.get(value.name), value, batch, exact=exact, any_dims=value.name in any_dims)
        for value in values
    ]
    del repeated[:]
    repeated.extend(after)


def _tensor(repeated: Any, before: Any, value: Value, batch: int, *, exact: bool, any_dims: bool) -> Any:
    """With the model's type and dims; what else the file says of it (label_filename) stays."""
    tensor = type(repeated.add())()
    if before is not None:
        tensor.CopyFrom(before)
    tensor.name = value.name
    tensor.data_type = pbtxt.type_number(pbtxt.TYPES[value.element])
    sizes = [size or -1 for size in value.sizes or ()]
    dims = sizes[1 if batch else 0 :]
    if not exact and tensor.allow_ragged_batch:
        tensor.allow_ragged_batch = any_dims = sizes == [-1]
    if before is not None and _stays(before, dims, batch, scalar=not sizes, exact=exact, any_dims=any_dims):
        return tensor
    tensor.ClearField("dims")
    tensor.ClearField("reshape")
    tensor.dims.extend(dims or [1])  # config.pbtxt cannot say "scalar": that is one element
    if batch and sizes and not dims:
        tensor.reshape.SetInParent()
    return tensor


def _stays(before: Any, dims: list[int], batch: int, *, scalar: bool, exact: bool, any_dims: bool) -> bool:
    """Whether the dims of the file are kept. An empty reshape is for batches only."""
    if before.HasField("reshape") and not before.reshape.shape and not batch:
        return False
    return any_dims or pbtxt.fits(pbtxt.dims_of(before), dims, scalar=scalar, exact=exact)
