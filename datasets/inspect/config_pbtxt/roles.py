"""Who fills each input of a model, and who gets each output, as config.pbtxt says: callers, or Triton itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.formats.onnx import Graph, Value

CONTROL: Final = "control"
STATE: Final = "state"
BATCH_INPUT: Final = "batch_input"
FALSE_TRUE: Final = {
    "int32_false_true": "TYPE_INT32",
    "fp32_false_true": "TYPE_FP32",
    "bool_false_true": "TYPE_BOOL",
}
"""Field of a control that is on or off -> datatype of its tensor."""
CORRELATION_ID: Final = "CONTROL_SEQUENCE_CORRID"
ITEM_SHAPE: Final = "BATCH_ITEM_SHAPE"
"""The one kind of batch_input with two axes."""


@dataclass(frozen=True)
class Filled:
    """An input of the model that Triton fills. `dims` leave the batch out; None: only `rank` is known."""

    name: str
    role: str
    type_name: str
    dims: tuple[int, ...] | None
    rank: int
    kind: str = ""
    """The kind of a control or of a batch_input."""


def filled(config: Any) -> Iterator[Filled]:
    """One a tensor that Triton's ONNX Runtime backend counts: a control with two kinds comes twice."""
    if config.WhichOneof("scheduling_choice") == "sequence_batching":
        for control_input in config.sequence_batching.control_input:
            for control in control_input.control:
                kind = control.Kind.Name(control.kind)
                yield Filled(control_input.name, CONTROL, control_type(control), (1,), 1, kind)
        for state in config.sequence_batching.state:
            dims = tuple(state.dims)
            yield Filled(state.input_name, STATE, pbtxt.type_name(state), dims, len(dims))
    for batch_input in config.batch_input:
        kind = batch_input.Kind.Name(batch_input.kind)
        rank = 2 if kind == ITEM_SHAPE else 1
        for name in batch_input.target_name:
            yield Filled(name, BATCH_INPUT, pbtxt.type_name(batch_input), None, rank, kind)


def control_type(control: Any) -> str:
    if control.kind == control.CONTROL_SEQUENCE_CORRID:
        return pbtxt.type_name(control)
    return next((name for field, name in FALSE_TRUE.items() if getattr(control, field)), "TYPE_INVALID")


def state_outputs(config: Any) -> dict[str, Any]:
    """Name of the output -> the state that takes it."""
    if config.WhichOneof("scheduling_choice") != "sequence_batching":
        return {}
    return {str(state.output_name): state for state in config.sequence_batching.state}


def client_inputs(config: Any, graph: Graph) -> tuple[Value, ...]:
    """Inputs of the graph that a request must bring."""
    names = {one.name for one in filled(config)}
    return tuple(value for value in graph.inputs if value.name not in names)


def client_outputs(config: Any, graph: Graph) -> tuple[Value, ...]:
    """Outputs of the graph that a response has: what config.pbtxt names, or all that are no state."""
    named = {tensor.name for tensor in config.output} & {value.name for value in graph.outputs}
    states = state_outputs(config)
    return tuple(value for value in graph.outputs if (value.name in named if named else value.name not in states))


def completes(config: Any) -> bool:
    """Whether Triton's ONNX Runtime backend takes tensors, and so the batching, from the model itself.

    ModelState::AutoCompleteConfig in onnxruntime.cc.
    """
    return not (config.input or config.batch_input) or not config.output
