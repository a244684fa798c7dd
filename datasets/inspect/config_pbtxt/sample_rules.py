"""What Triton refuses of the data that config.pbtxt gives: samples of a warm-up, states and ids of sequences. Pure.

The rules are those of TritonModelInstance::GenerateWarmupData and of GenerateInitialStateData in the sequence batch
scheduler of Triton's core. Files that it names are in named_files.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from datasets.inspect.config_pbtxt import pbtxt, roles

FREE: Final = -1
TEXT: Final = "TYPE_STRING"


def problems(config: Any) -> list[str]:
    """`config`: with the inputs of the model. One sentence for each rule that is broken, with what to do."""
    return [*_warmups(config), *_states(config), *_ids(config)]


def _warmups(config: Any) -> Iterator[str]:
    """A sample with a batch_size of 0 is never sent."""
    inputs = {str(tensor.name): tensor for tensor in config.input}
    limit = max(int(config.max_batch_size), 1)
    for sample in config.model_warmup:
        label = f"model_warmup {sample.name}".rstrip()
        if sample.batch_size > limit:
            yield f"{label} has the batch_size {sample.batch_size}, and the model takes {limit}: write {limit} or less."
        if not sample.batch_size or not inputs:
            continue
        required = {name for name, tensor in inputs.items() if not tensor.optional}
        if pbtxt.backend(config) == "onnxruntime":  # no scheduler fills them in a warm-up
            required |= {one.name for one in roles.filled(config) if one.role != roles.BATCH_INPUT}
        if missing := sorted(required - set(sample.inputs)):
            yield f"{label} lacks the input {missing[0]}: add it, or leave the sample out."
        for name in sorted(set(sample.inputs) & set(inputs)):
            if text := _sample(sample.inputs[name], inputs[name]):
                yield f"{label}: {name} {text}"


def _sample(data: Any, tensor: Any) -> str:
    dims, own = list(data.dims), list(tensor.dims)
    if FREE in dims:
        return "has a free size: write how many."
    if data.data_type != tensor.data_type:
        return f"has the data_type {pbtxt.type_name(data)}: write {pbtxt.type_name(tensor)}, as the model has it."
    if len(dims) != len(own) or any(other not in (FREE, size) for size, other in zip(dims, own, strict=True)):
        return f"has dims {dims}: write what fits {own}."
    if data.WhichOneof("input_data_type") is None:
        return "has no data: write zero_data: true, random_data: true or input_data_file."
    return ""


def _states(config: Any) -> Iterator[str]:
    states = config.sequence_batching.state
    if states and pbtxt.backend(config) == "python":
        yield (
            "sequence_batching has a state, of which Triton's Python backend hands out the first value only and keeps "
            "none: leave it out, and keep it in model.py for each correlation_id."
        )
    names = Counter(str(state.input_name) for state in states)
    for name in sorted(name for name, times in names.items() if times > 1):
        yield f"The state {name} is listed twice: list it once."
    for state in states:
        for field in ("input_name", "output_name"):
            if not getattr(state, field):
                yield f"The state {state.input_name or state.output_name} has no {field}: write the model's."
        for initial in state.initial_state:
            if text := _initial(initial, state):
                yield f"The initial_state of {state.input_name} {text}"


def _ids(config: Any) -> Iterator[str]:
    controls = (control for tensor in config.sequence_batching.control_input for control in tensor.control)
    is_text = any(one.kind == one.CONTROL_SEQUENCE_CORRID and pbtxt.type_name(one) == TEXT for one in controls)
    if is_text and pbtxt.backend(config) == "python":
        yield (
            "sequence_batching hands the model the sequence's id as TYPE_STRING, which the Python backend of this "
            "release cannot read: write data_type: TYPE_UINT64, or leave that control_input out."
        )


def _initial(initial: Any, state: Any) -> str:
    dims, own = list(initial.dims), list(state.dims)
    if initial.data_type != state.data_type:
        return f"has the data_type {pbtxt.type_name(initial)}: write {pbtxt.type_name(state)}, as the state has it."
    if not initial.name:
        return "has no name: write one."
    pairs = list(zip(dims, own, strict=False))
    if len(dims) != len(own) or any(size == FREE or other not in (FREE, size) for size, other in pairs):
        return f"has dims {dims}: write fixed sizes that fit {own}."
    if initial.WhichOneof("state_data") is None:
        return "has no data: write zero_data: true, or data_file."
    return ""
