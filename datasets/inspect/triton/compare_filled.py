"""The inputs that Triton fills itself beside those of the model: controls and states of sequences, batch inputs. Pure.

Rules: ValidateBooleanSequenceControl and ValidateTypedSequenceControl in onnxruntime.cc for controls; for states and
batch inputs, what ONNX Runtime takes when Triton hands them over, since nothing looks at them before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datasets.inspect.config_pbtxt import pbtxt, roles
from datasets.inspect.config_pbtxt.rows import NOTHING, SAME, WRONG, listed, text_of
from datasets.inspect.formats.onnx import Graph, Value
from datasets.inspect.report import Difference

LABELS = {roles.CONTROL: "control", roles.STATE: "state", roles.BATCH_INPUT: "batch input"}


def input_row(filled: roles.Filled, value: Value, config: Any) -> Difference:
    """The row of an input of the model that Triton fills."""
    type_name = pbtxt.TYPES.get(value.element, "") if value.kind == "tensor" else ""
    if not type_name:
        return _row(filled, value, f"The model has {text_of(value)}, which Triton cannot fill: correct the name.")
    if type_name != filled.type_name:
        return _row(filled, value, f"The model has {type_name}: {_advice(filled, type_name)}.")
    return _shape_row(filled, value, batch=config.max_batch_size > 0)


def _advice(filled: roles.Filled, type_name: str) -> str:
    if filled.role != roles.CONTROL or filled.kind == roles.CORRELATION_ID:
        return f"write data_type: {type_name}"
    field = next((field for field, name in roles.FALSE_TRUE.items() if name == type_name), "")
    return f"write {field}: [0, 1]" if field else "export it as int32, float32 or bool"


def _shape_row(filled: roles.Filled, value: Value, *, batch: bool) -> Difference:
    sizes = value.sizes
    if sizes is None:
        return _row(filled, value)
    if filled.role == roles.BATCH_INPUT:
        axes = "1 axis" if filled.rank == 1 else f"{filled.rank} axes"
        text = f"Triton fills it with {axes}, and the model has {len(sizes)}: choose another kind, or export it so."
        return _row(filled, value, "" if len(sizes) == filled.rank else text)
    own = sizes[1 if batch else 0 :]
    if filled.role == roles.CONTROL:
        text = f"The model has {list(own)} where Triton has [1] for a control: export it so."
        return _row(filled, value, "" if own == (1,) else text)
    dims = filled.dims or ()
    fits = len(own) == len(dims) and all(-1 in pair or pair[0] == pair[1] for pair in zip(own, dims, strict=True))
    return _row(filled, value, "" if fits else f"The model has {list(own)}: write dims: {list(own)} for this state.")


def output_row(state: Any, value: Value) -> Difference:
    """The row of an output that becomes a state."""
    type_name, model = pbtxt.type_name(state), text_of(value)
    what, shown = f"state {value.name}", f"{type_name} [{', '.join(map(str, state.dims))}]"
    if pbtxt.TYPES.get(value.element) == type_name and value.kind == "tensor":
        return Difference(what, shown, model, SAME)
    text = f"The model has {model}, and the next request would get it as {state.input_name}: write its data_type there."
    return Difference(what, shown, model, WRONG, text)


def unknown(config: Any, graph: Graph) -> Iterator[Difference]:
    """What config.pbtxt fills or takes and the model does not have."""
    inputs, outputs = [value.name for value in graph.inputs], [value.name for value in graph.outputs]
    names, results = {*inputs}, {*outputs}
    defaults = {value.name for value in graph.defaults}
    for filled in roles.filled(config):
        if filled.name in names:
            continue
        text = f"The model has no input named {filled.name}; it has {listed(inputs)}. Correct the name."
        if filled.name in defaults:
            text = "The model has a value for it, so Triton does not count it: export it without one."
        yield Difference(_what(filled), _text(filled), NOTHING, WRONG, text)
    for name, state in roles.state_outputs(config).items():
        if name not in results:
            text = f"The model has no output named {name}; it has {listed(outputs)}. Correct output_name."
            yield Difference(f"state {name}", pbtxt.type_name(state), NOTHING, WRONG, text)


def _row(filled: roles.Filled, value: Value, text: str = "") -> Difference:
    return Difference(_what(filled), _text(filled), text_of(value), WRONG if text else SAME, text)


def _what(filled: roles.Filled) -> str:
    return f"{LABELS[filled.role]} {filled.name}"


def _text(filled: roles.Filled) -> str:
    dims = "" if filled.dims is None else f" [{', '.join(map(str, filled.dims))}]"
    return f"{filled.type_name}{dims}{f' {filled.kind}' if filled.kind else ''}"
